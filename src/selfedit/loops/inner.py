"""The inner loop: self-edits are trained, each into its own adapter, and tested closed-book.

A wave is a group of self-edits that train together over one frozen model, with the result of training
each alone. Finished trials go to `sink` wave by wave, so that a killed run loses one wave at most.
`runners.local` says where they are kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from selfedit.config import InnerSettings
from selfedit.errors import OutOfMemory
from selfedit.loops.jobs import Wanted, asked_trials, plan_jobs
from selfedit.loops.measures import Asked, Measure
from selfedit.loops.waves import Job, Wave, WaveBudget, plan_waves
from selfedit.progress import Progress, Silent, Tracked, by_steps
from selfedit.seams import Adapters, Asking, Domain, Model
from selfedit.types import SelfEdit, Task, TrainingRecord, Trial

# Told of finished trials with the bank that they were trained in: the k-th trial has the k-th adapter.
Keep = Callable[[Sequence[Trial], Adapters], None]
# Of keys, the trials that are finished.
Known = Callable[[Sequence[str]], dict[str, Trial]]
Sink = Callable[[Sequence[Trial]], None]

# Share of training in a wave's progress; answering is the rest.
_TRAINING_SHARE = 0.9


def run_trials(
    model: Model,
    domain: Domain,
    pairs: Sequence[tuple[Task, SelfEdit]],
    settings: InnerSettings,
    *,
    known: Known = lambda keys: {},
    sink: Sink = lambda trials: None,
    keep: Keep = lambda trials, bank: None,
    progress: Progress | None = None,
) -> list[Trial]:
    """Score every (task, edit) with each of `settings.seeds` seeds; trials in that order.

    known(keys): finished trials, which are not run again. sink(trials): called as trials finish; keep
    before it, with their adapters.
    """
    progress = progress or Silent()
    plan = PlannedTrials.of(model, domain, pairs, settings, known, sink)
    progress.start("training and testing self-edits", plan.jobs)
    progress.found(plan.jobs - plan.missing)
    for wave in plan.waves:
        trials = run_wave(model, domain, wave, settings, progress, keep)
        sink(trials)
        plan.add(trials)
    return plan.trials()


@dataclass
class PlannedTrials:
    """Trials that are wanted: those that are known, and the waves of those that are not.

    jobs: trainings that they are made of. missing: those that were not known. waves: of the missing
    ones, planned as they are read.
    """

    jobs: int
    missing: int
    waves: Iterator[Wave]
    _asked: Sequence[Wanted]
    _found: dict[str, Trial]

    @classmethod
    def of(
        cls,
        model: Model,
        domain: Domain,
        pairs: Sequence[tuple[Task, SelfEdit]],
        settings: InnerSettings,
        known: Known,
        sink: Sink,
    ) -> PlannedTrials:
        """See `run_trials`. Trials of edits with nothing to train on go to the sink now."""
        asked = asked_trials(model, domain, pairs, settings)
        found = known([one.key for one in asked])
        jobs, unsound = plan_jobs(model, domain, asked, settings)
        if new := [trial for trial in unsound if trial.key not in found]:
            sink(new)
            found.update((trial.key, trial) for trial in new)
        missing = {job.key for job in jobs if job.key not in found}
        budget = WaveBudget.of(model, settings)
        return cls(len(jobs), len(missing), _missing(plan_waves(jobs, budget), missing), asked, found)

    def add(self, trials: Sequence[Trial]) -> None:
        self._found.update((trial.key, trial) for trial in trials)

    def trials(self) -> list[Trial]:
        """All that were wanted, in their order. Edits that share a trial each get it as their own."""
        return [
            replace(self._found[one.key], task_id=one.task.id, edit=one.edit) for one in self._asked
        ]


def _missing(waves: Iterator[Wave], keys: Set[str]) -> Iterator[Wave]:
    """Waves are planned over all jobs, done or not, so that a resumed run has the same waves."""
    for wave in waves:
        if jobs := [job for job in wave.jobs if job.key in keys]:
            yield wave.part(jobs)


@dataclass(frozen=True, slots=True)
class Tested:
    """Jobs that were trained together, and what came of it. asked: by the number of the job; one whose
    training failed is not asked. seconds: wall time."""

    jobs: Sequence[Job]
    records: Sequence[TrainingRecord]
    asked: Mapping[int, Asked]
    seconds: float


def run_wave(
    model: Model,
    domain: Domain,
    wave: Wave,
    settings: InnerSettings,
    progress: Progress,
    keep: Keep = lambda trials, bank: None,
) -> list[Trial]:
    """The wave's trials, in the order of its jobs. Raises OutOfMemory (`tested`)."""
    done: list[Trial] = []
    for part, bank in tested(model, domain, wave, settings, progress):
        trials = score(domain, part, Measure(settings.measure))
        keep(trials, bank)
        done += trials
    return done


def tested(
    model: Model, domain: Asking, wave: Wave, settings: InnerSettings, progress: Progress
) -> Iterator[tuple[Tested, Adapters]]:
    """Train and ask a wave; one that does not fit into memory is halved, and its halves come one after
    the other. Raises OutOfMemory if a single self-edit does not fit: that is not the edit's fault, so
    there is no trial of it."""
    start, tracked = time.perf_counter(), Tracked(progress)
    try:
        bank, records = train(model, wave, settings, tracked)
        asked = ask(model, domain, wave.jobs, bank, records, Measure(settings.measure))
    except OutOfMemory as error:
        if len(wave.jobs) == 1:
            raise
        tracked.take_back()
        progress.warn(f"{error}: going on with waves of half as many self-edits")
    else:
        tracked.advance((1 - _TRAINING_SHARE) * len(wave.jobs))
        yield Tested(wave.jobs, records, asked, time.perf_counter() - start), bank
        return
    for part in wave.halves():
        yield from tested(model, domain, part, settings, progress)


def train(
    model: Model, wave: Wave, settings: InnerSettings, progress: Progress
) -> tuple[Adapters, list[TrainingRecord]]:
    """An adapter for each job, and the record of its training."""
    return model.train(
        [job.plan for job in wave.jobs],
        settings.lora,
        settings.train,
        [job.seed for job in wave.jobs],
        slots=wave.slots,
        on_step=by_steps(progress, _TRAINING_SHARE * len(wave.jobs)),
    )


def ask(
    model: Model,
    domain: Asking,
    jobs: Sequence[Job],
    bank: Adapters,
    records: Sequence[TrainingRecord],
    measure: Measure,
) -> dict[int, Asked]:
    """What each adapter says to the queries of its task, by its number; one whose training failed is
    not asked."""
    sound = [k for k, record in enumerate(records) if not record.failure]
    asked = measure.ask(model, domain, [jobs[k].task for k in sound], bank, sound)
    return dict(zip(sound, asked, strict=True))


def score(domain: Domain, part: Tested, measure: Measure) -> list[Trial]:
    """The jobs' trials. Their wall time is divided among them by tokens."""
    whole = sum(job.tokens for job in part.jobs)
    trials = []
    for k, (job, record) in enumerate(zip(part.jobs, part.records, strict=True)):
        failure, found = record.failure, None
        if k in part.asked:
            found = measure.score(domain, job.task, part.asked[k])
            failure = "" if found is not None else "the adapted model's probabilities are not numbers"
        trial = Trial(
            key=job.key,
            task_id=job.task.id,
            edit=job.edit,
            seed=job.seed,
            status="failed" if failure else "scored",
            reason=failure or job.note,
            score=found,
            losses=tuple(record.losses),
            tokens=record.tokens,
            seconds=part.seconds * job.tokens / whole,
            plan=job.plan,
        )
        trials.append(trial)
    return trials
