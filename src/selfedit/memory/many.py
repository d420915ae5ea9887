"""Many passages in memory at once (the paper's table 2, continued pretraining), by every way to keep
them: one adapter of all, an adapter of each with a router, or the passages in the prompt, found by the
same router.

Every way has the same self-edits, one of each passage, written by the bare model. An adapter of a
passage is trained when a question meets it: with `asked` passages of a library of N, the answers are
those of a library with all N adapters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

from selfedit.config import TrainSettings, stable_hash
from selfedit.domains.conditions import Bench
from selfedit.domains.knowledge import Knowledge
from selfedit.domains.knowledge.evaluation import REGIMES
from selfedit.domains.knowledge.settings import LearnSettings, for_memory
from selfedit.loops.sampler import Writer
from selfedit.memory.answering import Adapted, Answering
from selfedit.memory.answers import answers_of
from selfedit.memory.continual import plan_of
from selfedit.memory.continual_kinds import Base, Trained, Trainings, joined
from selfedit.memory.costs import question_cost, with_passages
from selfedit.memory.loaded import Loaded
from selfedit.memory.many_result import Library, Many, Row
from selfedit.memory.routed import MakeRouter, Routed
from selfedit.memory.router import Hit, Router
from selfedit.store import LearnedDocument, LearnedPassage, Store
from selfedit.types import Prompt, Task, TrainingPlan

# base: the bare model. in-context: the passage in the prompt. retrieval: those that the router finds,
# three at most. own: the adapter of the passage that the question is about, as if routing never failed.
# routed, summed: those that the router finds, one, or up to two with their weights. single: one adapter
# of all, trained as a library of that kind is. cpt: one adapter of all, trained as the paper does.
Way = Literal["base", "in-context", "retrieval", "own", "routed", "summed", "single", "cpt"]
WAYS: tuple[Way, ...] = get_args(Way)
_SHOWN, _SUMMED = 3, 2


@dataclass(frozen=True, slots=True)
class ManySettings:
    """counts: passages in memory. ways: to answer. asked: passages whose questions are asked, the first
    ones; None: all."""

    counts: tuple[int, ...]
    ways: tuple[Way, ...]
    asked: int | None = None


class _Always(Router):
    """Finds the only passage."""

    def __init__(self) -> None:
        super().__init__(("",))

    def find(self, question: str, most: int = 1) -> list[Hit]:
        return [Hit(0, 1.0, 1.0)]


class ManyPassages:
    """bench: has the tasks of the largest library. folder: where adapters lie, those of `eval
    continual` among them. router: makes the one that all ways share."""

    def __init__(
        self, bench: Bench, store: Store, folder: Path, settings: ManySettings, router: MakeRouter
    ) -> None:
        self.bench, self.settings, self.router = bench, settings, router
        assert isinstance(bench.domain, Knowledge)
        self.domain: Knowledge = bench.domain
        self.inner = cast(LearnSettings, bench.settings.inner)
        self.writer = Writer(bench.model, store, bench.progress)
        self.trainings = Trainings(bench, folder, self.inner)
        self.adapters: dict[str, Trained] = {}  # by the passage's id
        self.loaded = Loaded(bench.model, lambda name: self.trainings.load(bench.model, name))

    def run(self) -> Many:
        """Every way with every number of passages. Raises SelfEditError."""
        libraries = []
        for count in self.settings.counts:
            tasks = self.bench.tasks[:count]
            asked = tasks[: self.settings.asked or count]
            rows: dict[str, Row] = {way: self._row(way, tasks, asked) for way in self.settings.ways}
            libraries.append(Library(count, len(asked), rows, self._found(tasks, asked)))
        return Many(self.bench.model.name, tuple(libraries), self.inner.seed)

    def _row(self, way: Way, tasks: Sequence[Task], asked: Sequence[Task]) -> Row:
        prompts = [prompt for task in asked for prompt in self.domain.queries(task)]
        trained: Sequence[Trained] = ()
        answering: Answering = Adapted()
        key = ""
        if way == "in-context":
            prompts = [with_passages([t], p) for t in asked for p in self.domain.queries(t)]
        elif way == "retrieval":
            prompts = self._with_found(tasks, prompts)
        elif way in ("single", "cpt"):
            one = self._together(way, tasks)
            trained = [one]
            if not one.failure:
                key, answering = one.key, Adapted(self.trainings.load(self.bench.model, one.key))
        elif way == "own":
            trained = [self._adapter(task) for task in asked]
            return self._of_scores(way, self._own_scores(asked), trained)
        elif way in ("routed", "summed"):
            answering = self._routed(tasks, prompts, _SUMMED if way == "summed" else 1)
            met = dict.fromkeys(name for prompt in prompts for name, _ in answering.mix(prompt))
            trained = [one for one in self.adapters.values() if one.key in met]
            key = stable_hash([way, *(answering.mix(prompt) for prompt in prompts)])
        values = self._scores(asked, prompts, answering, key)
        cost = question_cost(self.bench, way, prompts, answering, key)
        return self._of_scores(way, values, trained, cost)

    def _of_scores(
        self,
        way: Way,
        values: Sequence[float],
        trained: Sequence[Trained],
        cost: dict[str, float] | None = None,
    ) -> Row:
        return Row(
            tuple(values),
            None if cost is None else cost["tokens"],
            None if cost is None else cost["milliseconds"],
            len(trained),
            sum(one.tokens for one in trained),
            sum(one.seconds for one in trained),
        )

    # -- answers -----------------------------------------------------------------------------------

    def _scores(
        self, asked: Sequence[Task], prompts: Sequence[Prompt], answering: Answering, key: str
    ) -> list[float]:
        """Of each task, the share of its questions that is answered right. key: of what answers."""

        def ask() -> dict[str, Any]:
            replies = answers_of(answering, prompts, self.writer, "memory")
            return {"answers": [reply.text for reply in replies]}

        told = [[prompt.text, prompt.kind, prompt.prefix] for prompt in prompts]
        found = self.bench.once(
            stable_hash(["many answers", self.bench.model.identity, key, told]), ask
        )
        rest = iter(found["answers"])
        return [self.domain.score(task, [next(rest) for _ in task.queries]).value for task in asked]

    def _own_scores(self, asked: Sequence[Task]) -> list[float]:
        values = []
        for task in asked:
            one = self._adapter(task)
            answering = Adapted() if one.failure else self._always(task)
            key = "" if one.failure else one.key
            values += self._scores([task], self.domain.queries(task), answering, key)
        return values

    def _always(self, task: Task) -> Routed:
        """Its adapter, whatever is asked; the answers are those of `routed`, each asked once."""
        return Routed(self._documents([task]), self.loaded, router=lambda passages: _Always())

    # -- what is trained -----------------------------------------------------------------------------

    def _plans(self, tasks: Sequence[Task]) -> list[TrainingPlan]:
        edits = self.writer.propose(self.domain, tasks, self.inner)
        return [plan_of(self.domain, task, own) for task, own in zip(tasks, edits, strict=True)]

    def _adapter(self, task: Task) -> Trained:
        """Of a passage, trained when it is first needed."""
        if task.id not in self.adapters:
            (plan,) = self._plans([task])
            base = Base(self.bench.model, self.trainings)
            self.adapters[task.id] = self.trainings.train(base, plan, self.inner)
        return self.adapters[task.id]

    def _together(self, way: Way, tasks: Sequence[Task]) -> Trained:
        """One adapter of all passages."""
        inner, plan = for_memory(self.inner, "single"), joined(self._plans(tasks))
        if way == "cpt":
            train = TrainSettings.model_validate(REGIMES["cpt"]["train"])
            inner, plan = inner.model_copy(update={"train": train}), replace(plan, neighbours=())
        return self.trainings.train(Base(self.bench.model, self.trainings), plan, inner)

    # -- what the router finds -----------------------------------------------------------------------

    def _routed(self, tasks: Sequence[Task], prompts: Sequence[Prompt], most: int) -> Routed:
        """A memory in which all passages that these questions meet have their adapters; one whose
        training failed has none, and is not met."""
        while True:
            answering = Routed(self._documents(tasks), self.loaded, most=most, router=self.router)
            met = {one.document.source for prompt in prompts for one in answering.sources(prompt)}
            missing = [task for task in tasks if task.id in met and task.id not in self.adapters]
            if not missing:
                return answering
            for task in missing:
                self._adapter(task)

    def _documents(self, tasks: Sequence[Task]) -> list[LearnedDocument]:
        """Their titles and texts alone are what the router knows: retrieval has no more."""
        documents = []
        for task in tasks:
            one = self.adapters.get(task.id)
            texts = () if one is not None and one.failure else (task.context,)
            name = one.key if one is not None else task.id
            passage = LearnedPassage(task.title, task.context, texts, name)
            documents.append(LearnedDocument(task.id, task.title, task.id, (passage,)))
        return documents

    def _bare_router(self, tasks: Sequence[Task]) -> Routed:
        documents = [
            LearnedDocument(
                t.id, t.title, t.id, (LearnedPassage(t.title, t.context, (t.context,), t.id),)
            )
            for t in tasks
        ]
        return Routed(documents, self.loaded, most=_SHOWN, router=self.router)

    def _with_found(self, tasks: Sequence[Task], prompts: Sequence[Prompt]) -> list[Prompt]:
        router, by_id = self._bare_router(tasks), {task.id: task for task in tasks}
        return [
            with_passages([by_id[one.document.source] for one in router.sources(prompt)], prompt)
            for prompt in prompts
        ]

    def _found(self, tasks: Sequence[Task], asked: Sequence[Task]) -> dict[str, float]:
        """Shares of the questions that the router takes where."""
        router = self._bare_router(tasks)
        counts = {"right": 0, "among": 0, "bare": 0, "wrong": 0}
        total = 0
        for task in asked:
            for prompt in self.domain.queries(task):
                found = [one.document.source for one in router.sources(prompt)]
                total += 1
                counts["right" if found[:1] == [task.id] else "wrong" if found else "bare"] += 1
                counts["among"] += task.id in found
        return {name: count / total for name, count in counts.items()}
