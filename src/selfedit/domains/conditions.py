"""Conditions of an evaluation: ways to answer a domain's tasks, and the bench they work at.

A domain says which conditions it has (`BaseDomain.conditions`). Here are those that every domain can
have: `base`, `own` and `seal`. `seal` follows the paper: the trained policy writes the edits and its
own weights are trained on them (section 4.1); the other conditions train the given model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from selfedit.progress import Progress
from selfedit.types import Prompt, Score, SelfEdit, Task, TrainingPlan, Trial

if TYPE_CHECKING:
    from selfedit.config import EvaluationSettings, InnerSettings
    from selfedit.domains.base import BaseDomain
    from selfedit.seams import Domain, Model


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a condition.

    scores[task][model]: a model is an adapter of one edit and seed, or the bare model; None: nothing
    was answered (an invalid edit, where that is how it counts). trials[task]: how those models came
    about, where each was trained by itself. tokens: of all trainings and epochs. seconds: of training
    and answering, as measured when they ran (writing edits apart); None where nothing was trained.
    trainings: how many ran. invalid, failed: models that an invalid edit or a failed training left as
    they were; where all edits are in one training, invalid counts edits. reasons: why, counted alike.
    writer, learner: who wrote the edits, and whose weights learned.
    """

    scores: tuple[tuple[Score | None, ...], ...]
    trials: tuple[tuple[Trial, ...], ...] = ()
    regime: str = "none"
    tokens: int = 0
    seconds: float | None = None
    trainings: int = 0
    invalid: int = 0
    failed: int = 0
    reasons: tuple[tuple[str, int], ...] = ()
    writer: str = ""
    learner: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """A task with each condition's outcome: its trials, or its score if nothing was trained."""

    task: Task
    trials: dict[str, tuple[Trial, ...]] = field(default_factory=dict)
    scores: dict[str, Score] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Expected:
    """What a condition will train, about: each of the plans `repeats` times. side_by_side: in waves,
    and not one after the other. rate: tokens per second, if a domain trains in its own way;
    None: as the inner loop does."""

    plans: tuple[TrainingPlan, ...]
    repeats: int
    side_by_side: bool = True
    rate: float | None = None


class Bench(Protocol):
    """Where a condition works. What is written, trained and answered here is kept in the store, so that
    a killed evaluation goes on where it was, and no condition repeats another's work."""

    @property
    def domain(self) -> BaseDomain: ...

    @property
    def tasks(self) -> Sequence[Task]: ...

    @property
    def settings(self) -> EvaluationSettings: ...

    @property
    def model(self) -> Model: ...

    @property
    def progress(self) -> Progress: ...

    @property
    def run_id(self) -> int:
        """The number in the store of the run that this work is; 0 before it is recorded."""
        ...

    def policy(self) -> Model:
        """The trained policy; it is loaded when its row is computed."""
        ...

    def outcome(self, condition: str) -> Outcome:
        """The outcome of one of the domain's conditions, as the run's report will show it, too."""
        ...

    def answer(self, model: Model, prompts: Sequence[Prompt], stage: str) -> list[str]:
        """Greedy answers of the bare model, in the order of the prompts. stage: names the progress."""
        ...

    def propose(self, model: Model, domain: Domain, settings: InnerSettings) -> list[list[SelfEdit]]:
        """The model's own self-edits, `settings.candidates` of each task."""
        ...

    def trials(
        self,
        model: Model,
        domain: Domain,
        edits: Sequence[Sequence[SelfEdit]],
        settings: InnerSettings,
        tasks: Sequence[Task] | None = None,
    ) -> list[tuple[Trial, ...]]:
        """Each task's trials: every edit with each of `settings.seeds` seeds. tasks: with other
        questions than the bench's."""
        ...

    def once(self, key: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The result of the work, a JSON value, or its earlier result under this key."""
        ...


def _nothing(bench: Bench) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Condition:
    """A row of the table. what: in words. trained: whether weights change. needs_policy: whether it is
    about a trained policy. check: raises InputError if something that it needs is missing."""

    what: str
    answer: Callable[[Bench], Outcome]
    trained: bool = True
    needs_policy: bool = False
    check: Callable[[Bench], None] = _nothing


def base(bench: Bench) -> Outcome:
    """The bare model, closed-book."""
    scores = closed_book(bench, bench.model, bench.domain, bench.tasks)
    return Outcome(tuple((score,) for score in scores), learner=bench.model.name)


def own(bench: Bench) -> Outcome:
    """Edits and training by the given model."""
    return written_by_itself(bench, bench.model)


def seal(bench: Bench) -> Outcome:
    """Edits and training by the trained policy."""
    policy = bench.policy()
    outcome = written_by_itself(bench, policy)
    return with_note(outcome, same_weights(bench, policy))


GENERIC: dict[str, Condition] = {
    "base": Condition("closed-book, nothing trained", base, trained=False),
    "own": Condition("trained on the model's own self-edits, no RL", own),
    "seal": Condition(
        "trained on self-edits of the RL-trained policy, which learns them", seal, needs_policy=True
    ),
}


def written_by_itself(bench: Bench, model: Model) -> Outcome:
    """Edits and training by one model, as the paper has it; an adapter for each edit and seed."""
    inner = bench.settings.inner
    edits = bench.propose(model, bench.domain, inner)
    outcome = adapted(bench, model, bench.domain, edits, inner)
    return replace(outcome, writer=model.name, learner=model.name)


def solves(score: Score | None) -> bool:
    """Whether all answers to a task are right."""
    return score is not None and score.value == 1.0


def closed_book(bench: Bench, model: Model, domain: Domain, tasks: Sequence[Task]) -> list[Score]:
    """The bare model's answers to each task's queries, graded."""
    asked = [domain.queries(task) for task in tasks]
    prompts = [prompt for own in asked for prompt in own]
    replies = iter(bench.answer(model, prompts, "asking the model without an edit"))
    return [
        domain.score(task, [next(replies) for _ in own]) for task, own in zip(tasks, asked, strict=True)
    ]


def adapted(
    bench: Bench,
    model: Model,
    domain: Domain,
    edits: Sequence[Sequence[SelfEdit]],
    settings: InnerSettings,
) -> Outcome:
    """An adapter for each edit and seed, and what it answers.

    A model whose edit has nothing to train on, or whose training failed, stays as it was: then its own
    closed-book answers count, unless the domain says that they do not.
    """
    trials = bench.trials(model, domain, edits, settings)
    unchanged = [i for i, own in enumerate(trials) if any(trial.score is None for trial in own)]
    bare: dict[int, Score] = {}
    if unchanged and bench.domain.unchanged_counts:
        tasks = [bench.tasks[i] for i in unchanged]
        bare = dict(zip(unchanged, closed_book(bench, model, domain, tasks), strict=True))
    every = [trial for own in trials for trial in own]
    ran = {trial.key: trial for trial in every if trial.score is not None or trial.tokens}.values()
    invalid, failed, reasons = without_effect(every)
    return Outcome(
        tuple(tuple(trial.score or bare.get(i) for trial in own) for i, own in enumerate(trials)),
        tuple(trials),
        regime="single",
        tokens=sum(trial.tokens for trial in ran),
        seconds=sum(trial.seconds for trial in ran) if ran else None,
        trainings=len(ran),
        invalid=invalid,
        failed=failed,
        reasons=reasons,
        learner=model.name,
    )


def same_weights(bench: Bench, policy: Model) -> str:
    """A note if the policy has learned nothing."""
    same = policy.identity == bench.model.identity
    return "the policy has the weights of the model" if same else ""


def with_note(outcome: Outcome, note: str) -> Outcome:
    return replace(outcome, note="; ".join(filter(None, (outcome.note, note))))


def without_effect(trials: Sequence[Trial]) -> tuple[int, int, tuple[tuple[str, int], ...]]:
    """How many are invalid, how many failed, and why edits had no effect or were not wholly trained on:
    the most frequent reason first."""
    status = Counter(trial.status for trial in trials)
    counts = Counter(trial.reason for trial in trials if trial.reason)
    reasons = tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    return status["invalid"], status["failed"], reasons
