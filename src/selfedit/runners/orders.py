"""A wave as an order to a worker, and what comes back of it.

A worker gets texts and numbers: what to train on, and what to ask. It needs neither the domain's code
nor its grader: the driver works out the questions before, and grades the answers behind.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version

from selfedit.config import InnerSettings, MeasureSettings
from selfedit.errors import ModelError
from selfedit.loops.inner import Tested, tested
from selfedit.loops.measures import Asked, Measure
from selfedit.loops.policies import Policies
from selfedit.loops.waves import Job, Wave
from selfedit.progress import Silent
from selfedit.seams import Asking, Domain, GoldReplies, Model, PolicyRef
from selfedit.types import Prompt, SelfEdit, Task, TrainingRecord

_NO_EDIT = SelfEdit("", 0, (), ())


@dataclass(frozen=True, slots=True)
class Questions:
    """Implements `seams.Asking` with prompts that were worked out before, by the tasks' numbers."""

    prompts: Mapping[str, tuple[Prompt, ...]]

    def queries(self, task: Task) -> tuple[Prompt, ...]:
        return self.prompts[task.id]


@dataclass(frozen=True, slots=True)
class QuestionsWithGolds(Questions):
    """Implements `seams.GoldReplies`, too, for rewards that read how likely a right answer is."""

    golds: Mapping[str, tuple[tuple[str, ...], ...]]
    opened: Mapping[str, tuple[Prompt, ...]]

    def gold_replies(self, task: Task) -> tuple[tuple[str, ...], ...]:
        return self.golds[task.id]

    def open_book(self, task: Task) -> tuple[Prompt, ...]:
        return self.opened[task.id]


@dataclass(frozen=True, slots=True)
class Order:
    """Train this wave over this policy and ask its questions. identity: of the model that the driver
    has loaded (`seams.Sampler`). wave: its jobs hold numbered tasks without a context, and no edits."""

    policy: PolicyRef
    identity: tuple[str, ...]
    wave: Wave
    questions: Asking
    settings: InnerSettings

    @classmethod
    def of(
        cls, policy: PolicyRef, model: Model, domain: Domain, wave: Wave, settings: InnerSettings
    ) -> Order:
        tasks = {job.task: str(n) for n, job in enumerate(wave.jobs)}
        numbered = {task: Task(n, "", "", task.queries) for task, n in tasks.items()}
        jobs = [replace(job, task=numbered[job.task], edit=_NO_EDIT) for job in wave.jobs]
        plain = InnerSettings(lora=settings.lora, train=settings.train, measure=settings.measure)
        questions = _questions(domain, tasks, settings.measure)
        return cls(policy, tuple(model.identity), wave.part(jobs), questions, plain)


def _questions(domain: Domain, tasks: Mapping[Task, str], measure: MeasureSettings) -> Questions:
    prompts = {n: domain.queries(task) for task, n in tasks.items()}
    if not (Measure(measure).is_read and isinstance(domain, GoldReplies)):
        return Questions(prompts)
    golds = {n: domain.gold_replies(task) for task, n in tasks.items()}
    opened = {}
    if measure.place == "opening":
        opened = {n: domain.open_book(task) for task, n in tasks.items()}
    return QuestionsWithGolds(prompts, golds, opened)


@dataclass(frozen=True, slots=True)
class Part:
    """`loops.inner.Tested` of the wave's next `count` jobs."""

    count: int
    records: Sequence[TrainingRecord]
    asked: Mapping[int, Asked]
    seconds: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an order: one part, or several where the wave did not fit into memory."""

    parts: tuple[Part, ...]
    warnings: tuple[str, ...] = ()

    def tested(self, jobs: Sequence[Job]) -> Iterator[Tested]:
        """With the jobs of the wave that was ordered, as the driver has them."""
        at = 0
        for part in self.parts:
            yield Tested(jobs[at : at + part.count], part.records, part.asked, part.seconds)
            at += part.count


class Worker:
    """Carries out orders with one model, which it loads when an order names another one.

    load: loads a model by its name. threads: of the driver's CPU computations, which decide the last
    bits of sums; None: as it happens to be.
    """

    def __init__(self, load: Callable[[str], Model], threads: int | None = None) -> None:
        self._load, self._threads = load, threads
        self._policies: Policies | None = None

    def version(self) -> str:
        """The selfedit that the worker has."""
        return version("selfedit")

    def run(self, order: Order) -> Outcome:
        """Raises ModelError where the model is another one than the driver's, and SelfEditError."""
        model, warnings = self._model(order), _Warnings()
        parts = tuple(
            Part(len(part.jobs), part.records, part.asked, part.seconds)
            for part, _ in tested(model, order.questions, order.wave, order.settings, warnings)
        )
        return Outcome(parts, tuple(warnings.said))

    def _model(self, order: Order) -> Model:
        here = platform.node()
        try:
            if self._policies is None:
                self._policies = Policies(self._load(order.policy.name), self._load)
                self._use_threads()
            model = self._policies.get(order.policy)
        except ModelError as error:
            raise ModelError(
                f"the worker on {here} cannot load the policy: {error}\nEvery machine of the cluster "
                "must find the model under the same name, and --library on storage that all of them "
                "share."
            ) from error
        if tuple(model.identity) != order.identity:
            raise ModelError(
                f"the worker on {here} has loaded {order.policy.name} as {list(model.identity)}, and "
                f"the driver as {list(order.identity)}: give --device, --dtype and --prompt-format, so "
                "that they do not depend on the machine."
            )
        return model

    def _use_threads(self) -> None:
        if self._threads is not None:
            import torch

            torch.set_num_threads(self._threads)


class _Warnings(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def warn(self, text: str) -> None:
        self.said.append(text)
