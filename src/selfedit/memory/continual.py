"""The continual experiment (section 5 and figure 6 of the paper): documents are learned one after the
other, and after each of them all questions about it and the earlier ones are asked.

Every kind of memory learns the same self-edits, written by the bare model, in the same order, so that a
difference between two kinds is the memory's. Nothing is chosen by questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from selfedit.config import stable_hash
from selfedit.domains.conditions import Bench
from selfedit.domains.knowledge import Knowledge
from selfedit.domains.knowledge.regimes import passage_sequence
from selfedit.domains.knowledge.settings import LearnSettings, MemoryKind
from selfedit.errors import InvalidSelfEdit
from selfedit.loops.sampler import Writer
from selfedit.memory.answering import Adapted
from selfedit.memory.answers import answers_of
from selfedit.memory.continual_kinds import Growing, Trainings, growing
from selfedit.memory.continual_result import Continual, Course, Learned
from selfedit.memory.costs import question_cost, with_passages
from selfedit.memory.probe import probe
from selfedit.memory.router import Router
from selfedit.store import Store
from selfedit.types import Prompt, SelfEdit, Task, TrainingPlan

_SHOWN = 3  # passages in the prompt of retrieval, as `eval knowledge` has it by default


@dataclass(frozen=True, slots=True)
class ContinualSettings:
    """contexts: documents of a sequence. kinds: of memory. probe_every: documents between two probes of
    what was broken; 0: none, else the last one is always probed. probe_questions: general questions
    asked."""

    contexts: int
    kinds: tuple[MemoryKind, ...]
    probe_every: int = 8
    probe_questions: int = 100


def plan_of(domain: Knowledge, task: Task, edits: Sequence[SelfEdit]) -> TrainingPlan:
    """A document's first self-edit, or the passage alone where that holds nothing to train on."""
    try:
        return domain.parse(task, edits[0])
    except InvalidSelfEdit:
        return TrainingPlan((passage_sequence(domain, task),))


class Experiment:
    """bench: has the tasks of all sequences, end to end. folder: where adapters lie until they are
    deleted; a run that goes on needs them."""

    def __init__(self, bench: Bench, store: Store, folder: Path, settings: ContinualSettings) -> None:
        self.bench, self.settings = bench, settings
        assert isinstance(bench.domain, Knowledge)
        self.domain: Knowledge = bench.domain
        self.inner = cast(LearnSettings, bench.settings.inner)
        self.writer = Writer(bench.model, store, bench.progress)
        self.trainings = Trainings(bench, folder, self.inner)

    def run(self) -> Continual:
        """All sequences of all kinds. Raises SelfEditError."""
        tasks, length = self.bench.tasks, self.settings.contexts
        plans = self._plans()
        courses: dict[str, list[Course]] = {kind: [] for kind in self.settings.kinds}
        untouched = [
            self._accuracy(tasks[at : at + length], None, "") for at in range(0, len(tasks), length)
        ]
        costs: dict[str, dict[str, float]] = {}
        for at in range(0, len(tasks), length):
            own = tasks[at : at + length]
            memories: dict[str, Growing] = {}
            for kind in self.settings.kinds:
                memories[kind] = growing(kind, self.bench.model, self.trainings)
                courses[kind].append(self._course(memories[kind], own, plans[at : at + length]))
            if at == 0:
                costs = self._costs(own, memories)
        return Continual(
            self.bench.model.name, length, tuple(map(tuple, untouched)), courses, costs, self.inner.seed
        )

    def _plans(self) -> list[TrainingPlan]:
        """What each document is learned by."""
        edits = self.bench.propose(self.bench.model, self.domain, self.inner)
        return [
            plan_of(self.domain, task, own) for task, own in zip(self.bench.tasks, edits, strict=True)
        ]

    def _course(self, memory: Growing, tasks: Sequence[Task], plans: Sequence[TrainingPlan]) -> Course:
        steps = []
        for i, (task, plan) in enumerate(zip(tasks, plans, strict=True)):
            done = memory.learn(task, plan)
            known = tasks[: i + 1]
            row = self._accuracy(known, memory, memory.key)
            broken = self._broken(memory) if self._is_probed(i) else {}
            steps.append(Learned(tuple(row), done.seconds, done.tokens, done.failure, broken))
        return Course(tuple(steps))

    def _is_probed(self, i: int) -> bool:
        every = self.settings.probe_every
        return every > 0 and ((i + 1) % every == 0 or i + 1 == self.settings.contexts)

    def _accuracy(self, tasks: Sequence[Task], memory: Growing | None, key: str) -> list[float]:
        """Of each task: the share of its questions that are answered right. memory: None: the bare
        model."""
        prompts = [prompt for task in tasks for prompt in self.domain.queries(task)]

        def ask() -> dict[str, Any]:
            answering = Adapted() if memory is None else memory.answering()
            replies = answers_of(answering, prompts, self.writer, "memory")
            return {"answers": [reply.text for reply in replies]}

        asked = [[prompt.text, prompt.kind, prompt.prefix] for prompt in prompts]
        identity = self.bench.model.identity
        answers = self.bench.once(stable_hash(["continual answers", identity, key, asked]), ask)
        rest = iter(answers["answers"])
        return [self.domain.score(task, [next(rest) for _ in task.queries]).value for task in tasks]

    def _broken(self, memory: Growing) -> dict[str, Any]:
        """What the probe measures: general questions kept, and drift."""

        def measure() -> dict[str, Any]:
            found = probe(
                self.bench.model,
                memory.answering(),
                progress=self.bench.progress,
                sample=self.settings.probe_questions,
            )
            return {
                "general_before": found.general_before,
                "general_after": found.general_after,
                "general_kept": found.general_kept,
                "drift": found.drift,
            }

        identity, sample = self.bench.model.identity, self.settings.probe_questions
        return self.bench.once(stable_hash(["continual probe", identity, memory.key, sample]), measure)

    def _costs(
        self, tasks: Sequence[Task], memories: dict[str, Growing]
    ) -> dict[str, dict[str, float]]:
        """What a question costs after the first sequence: tokens of the prompt, and milliseconds."""
        queries = [(task, prompt) for task in tasks for prompt in self.domain.queries(task)]
        closed = [prompt for _, prompt in queries]
        router = Router(f"{task.title}\n{task.context}" for task in tasks)
        shown = [[tasks[hit.place] for hit in router.find(own.text, _SHOWN)] for own in closed]
        ways: dict[str, tuple[list[Prompt], Growing | None]] = {
            "base": (closed, None),
            "in-context": ([with_passages([task], prompt) for task, prompt in queries], None),
            "retrieval": ([with_passages(s, p) for s, p in zip(shown, closed, strict=True)], None),
        }
        ways |= {kind: (closed, memories[kind]) for kind in memories}
        return {name: self._cost(name, prompts, memory) for name, (prompts, memory) in ways.items()}

    def _cost(self, name: str, prompts: Sequence[Prompt], memory: Growing | None) -> dict[str, float]:
        answering = Adapted() if memory is None else memory.answering()
        return question_cost(self.bench, name, prompts, answering, memory.key if memory else "")
