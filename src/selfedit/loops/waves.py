"""Waves: which self-edits train together, over one frozen model.

The plan depends on the jobs and the budget alone, and the budget on machine, model and settings, never
on the memory that happens to be free: in float32 the last bits of an adapter depend on
the shapes of its wave's matrix products, so that only equal waves give a resumed run equal bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from selfedit.config import InnerSettings, TrainSettings
from selfedit.seams import Model
from selfedit.types import SelfEdit, Task, TrainingPlan

# For each of the threads that work side by side (one, except on a CPU): tokens of all its adapters in a
# step, and their number. A CPU's products reach full speed at 128 rows, and 4 adapters per thread,
# refilled once, train as fast as 8 (docs/log.md, 2026-11-25); a GPU wants thousands, and as many
# adapters as memory allows: 750 recorded trainings take 2,850 steps with 24 slots, 1,190 with 64.
STEP_TOKENS = {"cpu": 256, "mps": 1024, "cuda": 8192}
SLOTS = {"cpu": 4, "mps": 8, "cuda": 64}
# Adapters that train one after the other in a slot before a wave ends. A killed run loses a wave; on a
# CPU tokens decide, not steps, so that a longer one would gain little.
LANE = {"cpu": 2, "mps": 1, "cuda": 4}


@dataclass(frozen=True, slots=True)
class Job:
    """One trial that is to be run.

    tokens: number in its sequences. num_steps: of its training. together: its sequences in one step.
    note: which part of the edit is not trained on, and why.
    """

    key: str
    task: Task
    edit: SelfEdit
    seed: int
    plan: TrainingPlan
    tokens: int
    num_steps: int
    together: int
    note: str = ""

    @classmethod
    def of(
        cls,
        key: str,
        task: Task,
        edit: SelfEdit,
        seed: int,
        plan: TrainingPlan,
        tokens: int,
        train: TrainSettings,
        note: str = "",
    ) -> Job:
        together = min(train.batch_size, len(plan.sequences))
        steps = train.steps(len(plan.sequences), plan.epochs)
        return cls(key, task, edit, seed, plan, tokens, steps, together, note)

    @property
    def mean_length(self) -> float:
        return self.tokens / len(self.plan.sequences)


@dataclass(frozen=True, slots=True)
class Wave:
    """Jobs that train together, `slots` of them at a time; a finished one's slot takes the next."""

    jobs: tuple[Job, ...]
    slots: int

    def part(self, jobs: Sequence[Job]) -> Wave:
        """A wave like this one with some of its jobs."""
        return Wave(tuple(jobs), min(self.slots, len(jobs)))

    def halves(self) -> tuple[Wave, Wave]:
        """Two waves with half of its jobs and slots each."""
        narrow = replace(self, slots=-(-self.slots // 2))
        middle = len(self.jobs) // 2
        return narrow.part(self.jobs[:middle]), narrow.part(self.jobs[middle:])


@dataclass(frozen=True, slots=True)
class WaveBudget:
    """What a wave may hold.

    tokens: mean number in one optimizer step. slots: their maximum. memory: maximum of `cost`, the peak
    bytes of training a wave in addition to the model. lane: maximum of jobs for each slot.
    """

    tokens: int
    slots: int
    memory: int
    cost: Callable[[Wave], int] = lambda wave: 0
    lane: int = 1

    @classmethod
    def of(cls, model: Model, settings: InnerSettings) -> WaveBudget:
        planned = model.planned_memory(settings.lora, settings.train)

        def cost(wave: Wave) -> int:
            plans, seeds = [job.plan for job in wave.jobs], [job.seed for job in wave.jobs]
            return planned(plans, seeds, wave.slots)

        return cls(
            tokens=model.num_workers * STEP_TOKENS.get(model.device, 1024),
            slots=model.num_workers * SLOTS.get(model.device, 8),
            memory=model.memory_budget,
            cost=cost,
            lane=LANE.get(model.device, 1),
        )

    def holds(self, wave: Wave) -> bool:
        """Whether the wave is within the budget: in tokens whichever of its jobs train together, in
        memory as `lanes` puts them (where one fails early, another order is rarely dearer)."""
        widest = sorted((job.mean_length * job.together for job in wave.jobs), reverse=True)
        return (
            wave.slots <= self.slots
            and len(wave.jobs) <= self.lane * wave.slots
            and sum(widest[: wave.slots]) <= self.tokens
            and self.cost(wave) <= self.memory
        )

    def joined(self, wave: Wave, job: Job) -> Wave | None:
        """The wave with the job in a slot of its own, else behind another; None if it holds neither."""
        jobs = (*wave.jobs, job)
        larger = [Wave(jobs, wave.slots)]
        if len(wave.jobs) == wave.slots:  # while no job waits behind another
            larger.insert(0, Wave(jobs, wave.slots + 1))
        return next(filter(self.holds, larger), None)


def plan_waves(jobs: Sequence[Job], budget: WaveBudget) -> Iterator[Wave]:
    """Jobs of similar step count and sequence length together, as many as the budget holds.

    Jobs of similar step count end together: on a recorded round (250 edits, 4 to 67 sequences each)
    that saves a third of the steps compared with an order by length alone. The longest come first, so
    that the short ones behind them fill what is left of their slots' time.

    A job that exceeds the budget by itself is a wave of its own; every job is in exactly one wave.
    """
    wave: Wave | None = None
    for job in sorted(jobs, key=lambda job: (-job.num_steps, -job.mean_length, -job.tokens, job.key)):
        larger = budget.joined(wave, job) if wave is not None else None
        if wave is not None and larger is None:
            yield wave
        wave = larger or Wave((job,), 1)
    if wave is not None:
        yield wave
