"""How each kind of memory takes in one document after another, in the continual experiment.

A training is stored under everything that determines it, and its adapter lies in a folder of that name:
a killed experiment goes on where it was, and kinds that begin with the same training share it.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from selfedit.config import stable_hash
from selfedit.domains.conditions import Bench
from selfedit.domains.knowledge.settings import LearnSettings, MemoryKind, for_memory
from selfedit.errors import AdapterError
from selfedit.memory.answering import Adapted, Answering
from selfedit.memory.costs import clock
from selfedit.memory.loaded import Loaded
from selfedit.memory.routed import Routed
from selfedit.memory.router import RULES
from selfedit.progress import by_steps
from selfedit.seams import Adapters, Model
from selfedit.store import LearnedDocument, LearnedPassage
from selfedit.types import Task, TrainingPlan

# Statements of earlier documents that `stack-anchored` trains on again, of all together.
REPLAYED = 16


@dataclass(frozen=True, slots=True)
class Trained:
    """A training. key: the name of its adapter. seconds (`costs.clock`), tokens: of it alone. failure:
    why there is no adapter; the model then stays as it was."""

    key: str
    seconds: float
    tokens: int
    failure: str = ""


class Trainings:
    """Trains single adapters, each once. folder: where they lie. inner: how they are trained."""

    def __init__(self, bench: Bench, folder: Path, inner: LearnSettings) -> None:
        self.bench, self.folder, self.inner = bench, folder, inner

    def train(self, base: Base, plan: TrainingPlan, inner: LearnSettings) -> Trained:
        key = stable_hash(
            {
                "continual": 1,
                "base": base.identity,
                "plan": asdict(plan),
                "lora": inner.lora.digest(),
                "train": inner.train.digest(),
                "seed": inner.seed,
            }
        )

        def work() -> dict[str, Any]:
            now = clock(base.model)
            start = now()
            self.bench.progress.start("training on one more document", 100)
            adapters, (record,) = base.model.train(
                [plan],
                inner.lora,
                inner.train,
                [inner.seed],
                on_step=by_steps(self.bench.progress, 100),
            )
            seconds = now() - start
            if not record.failure:
                base.model.save_adapter(adapters, 0, self.folder / key)
            return {"seconds": seconds, "tokens": record.tokens, "failure": record.failure}

        found = self.bench.once(key, work)
        if not found["failure"] and not (self.folder / key).is_dir():
            work()  # the folder was deleted
        return Trained(key, **found)

    def load(self, model: Model, key: str) -> Adapters:
        """Raises AdapterError."""
        try:
            return model.load_adapter(self.folder / key)
        except AdapterError:
            shutil.rmtree(
                self.folder / key, ignore_errors=True
            )  # damaged: the next run trains it again
            raise


class Base:
    """A model with adapters merged in, made when it is needed."""

    def __init__(self, bare: Model, trainings: Trainings, merged: Sequence[str] = ()) -> None:
        self.merged, self._bare, self._trainings = tuple(merged), bare, trainings
        self._model: Model | None = None if merged else bare
        self._below: Base | None = None

    @property
    def identity(self) -> list[object]:
        return [self._bare.identity, list(self.merged)] if self.merged else [self._bare.identity]

    @property
    def model(self) -> Model:
        if self._model is None:
            below = self._below or Base(self._bare, self._trainings, self.merged[:-1])
            adapters = self._trainings.load(below.model, self.merged[-1])
            revision = stable_hash([self._bare.revision, *self.merged])
            self._model, self._below = below.model.merged(adapters, 0, revision), None
        return self._model

    def over(self, key: str) -> Base:
        """With one more adapter."""
        above = Base(self._bare, self._trainings, (*self.merged, key))
        above._below = self
        return above


class Growing(Protocol):
    """A memory that takes in one document after another."""

    def learn(self, task: Task, plan: TrainingPlan) -> Trained: ...

    @property
    def key(self) -> str:
        """What determines its answers."""
        ...

    def answering(self) -> Answering: ...


class Stacked:
    """Each adapter is merged before the next one is trained: the paper's way. anchored: held to the
    bare model, and trained on a few earlier statements, too."""

    def __init__(self, bare: Model, trainings: Trainings, anchored: bool) -> None:
        self.trainings, self.anchored = trainings, anchored
        self.base = Base(bare, trainings)
        self.plans: list[TrainingPlan] = []

    def learn(self, task: Task, plan: TrainingPlan) -> Trained:
        inner = for_memory(self.trainings.inner, "stack-anchored" if self.anchored else "stack")
        if self.anchored:
            own = replace(plan, sequences=(*plan.sequences, *_replayed(self.plans, inner.seed)))
        else:
            own = replace(plan, neighbours=())
        done = self.trainings.train(self.base, own, inner)
        self.plans.append(plan)
        if not done.failure:
            self.base = self.base.over(done.key)
        return done

    @property
    def key(self) -> str:
        return stable_hash(["stack", *self.base.merged])

    def answering(self) -> Answering:
        return Adapted(other=self.base.model) if self.base.merged else Adapted()


class Single:
    """One adapter, trained anew on everything."""

    def __init__(self, bare: Model, trainings: Trainings) -> None:
        self.bare, self.trainings = bare, trainings
        self.plans: list[TrainingPlan] = []
        self.adapter = ""

    def learn(self, task: Task, plan: TrainingPlan) -> Trained:
        self.plans.append(plan)
        inner = for_memory(self.trainings.inner, "single")
        done = self.trainings.train(Base(self.bare, self.trainings), joined(self.plans), inner)
        self.adapter = self.adapter if done.failure else done.key
        return done

    @property
    def key(self) -> str:
        return stable_hash(["single", self.adapter])

    def answering(self) -> Answering:
        return Adapted(self.trainings.load(self.bare, self.adapter)) if self.adapter else Adapted()


class RoutedMemory:
    """An adapter of each document, and the router between them."""

    def __init__(self, bare: Model, trainings: Trainings) -> None:
        self.bare, self.trainings = bare, trainings
        self.documents: list[LearnedDocument] = []
        self.loaded = Loaded(bare, lambda key: trainings.load(bare, key))

    def learn(self, task: Task, plan: TrainingPlan) -> Trained:
        done = self.trainings.train(Base(self.bare, self.trainings), plan, self.trainings.inner)
        if not done.failure:
            texts = tuple(sequence.text for sequence in plan.sequences)
            passage = LearnedPassage(task.title, task.context, texts, done.key)
            self.documents.append(LearnedDocument(task.id, task.title, task.id, (passage,)))
        return done

    @property
    def key(self) -> str:
        return stable_hash(
            ["routed", RULES, *(p.adapter for own in self.documents for p in own.passages)]
        )

    def answering(self) -> Routed:
        return Routed(self.documents, self.loaded)


def growing(kind: MemoryKind, bare: Model, trainings: Trainings) -> Growing:
    """An empty memory of a kind."""
    if kind == "single":
        return Single(bare, trainings)
    if kind == "routed":
        return RoutedMemory(bare, trainings)
    return Stacked(bare, trainings, anchored=kind == "stack-anchored")


def joined(plans: Sequence[TrainingPlan]) -> TrainingPlan:
    """All sequences, each once; of the neighbours of each, its share."""
    sequences = dict.fromkeys(one for plan in plans for one in plan.sequences)
    near = dict.fromkeys(
        one for plan in plans for one in plan.neighbours[: -(-len(plan.neighbours) // len(plans))]
    )
    return TrainingPlan(tuple(sequences), neighbours=tuple(near))


def _replayed(plans: Sequence[TrainingPlan], seed: int) -> tuple[Any, ...]:
    """As many sequences of each earlier plan, drawn."""
    if not plans:
        return ()
    draw = random.Random(stable_hash([seed, len(plans)]))
    each = -(-REPLAYED // len(plans))
    return tuple(
        one
        for plan in plans[-REPLAYED:]
        for one in draw.sample(plan.sequences, min(each, len(plan.sequences)))
    )
