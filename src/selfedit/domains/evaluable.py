"""What evaluations and reports ask of a domain, with answers that fit a domain of plain questions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from selfedit.config import stable_hash
from selfedit.domains.conditions import GENERIC, Bench, Condition, Expected, TaskOutcome
from selfedit.domains.rows import Column, Evaluation, Row
from selfedit.grading.match import normalise
from selfedit.show.page import Block, Passage, Section, Table
from selfedit.show.wording import UNKNOWN, duration, percent, plural
from selfedit.types import GradedAnswer, Score, Task, TrainingPlan, TrainingSequence


@dataclass(frozen=True, slots=True)
class OwnRun:
    """A kind of run that one domain alone has. command, title: of its report. headline: a result in one
    line. sections: of a result, and of its tasks, where they were kept."""

    command: str
    title: str
    headline: Callable[[Mapping[str, Any]], str]
    sections: Callable[[Mapping[str, Any]], tuple[Section, ...]]


# What is stored with a run, so that its report has the domain's words without the domain.
WORDS = ("noun", "query_noun", "gold", "measure", "compared")


class Evaluable:
    """The domain as evaluations, tables and reports see it.

    name: in commands and stored runs. noun, query_noun: what a task, and a part of it that is graded,
    are called. gold: what a task needs to be graded. measure: what accuracies of a training mean.
    compared: title of an evaluation's report. by_itself: conditions in which a model learns from its
    own edits, which its rounds of RL may change. unchanged_counts: whether a model that an edit left
    as it was counts with the bare model's answers; else it has nothing right. draws: whether `drawn`
    has anything to show.
    """

    name: ClassVar[str] = "custom"
    noun: ClassVar[str] = "task"
    query_noun: ClassVar[str] = "question"
    gold: ClassVar[str] = "questions"
    measure: ClassVar[str] = "accuracy of questions that are answered without the context"
    compared: ClassVar[str] = "Conditions, compared"
    by_itself: ClassVar[tuple[str, ...]] = ("own", "seal")
    unchanged_counts: ClassVar[bool] = True
    draws: ClassVar[bool] = False

    @property
    def chooses(self) -> bool:
        """Whether `choices` has anything to show."""
        return False

    def __init_subclass__(cls, **options: Any) -> None:
        """A domain that has no name is called as its class is."""
        super().__init_subclass__(**options)
        if "name" not in vars(cls):
            cls.name = cls.__name__

    def words(self) -> dict[str, str]:
        """Its words by name, for reports."""
        return {name: getattr(self, name) for name in WORDS}

    @classmethod
    def of_settings(cls, inner: Mapping[str, Any]) -> Self:
        """The domain with a stored run's settings. inner: JSON values of the run's inner loop."""
        return cls()

    @property
    def variant(self) -> str:
        """What distinguishes its self-edits from another's, such as the name of a strategy."""
        return self.name

    # -- evaluations --

    def conditions(self) -> dict[str, Condition]:
        """What an evaluation can compare, by name."""
        return dict(GENERIC)

    def expected_plan(self, task: Task) -> TrainingPlan:
        """A plan as large as a self-edit's, for estimates: here the context, and four times its length
        of text about it (recorded runs: 3 to 5 times)."""
        return TrainingPlan((TrainingSequence(task.context),) * 5)

    def expected(self, bench: Bench, condition: str) -> Expected:
        """What a condition that trains will train, about; for estimates."""
        inner = bench.settings.inner
        plans = tuple(map(self.expected_plan, bench.tasks))
        return Expected(plans, inner.candidates * inner.seeds)

    def is_gradable(self, task: Task) -> bool:
        """Whether answers to the task can be graded."""
        return bool(task.queries)

    def marks(self, task: Task, scores: Sequence[Score | None]) -> list[float]:
        """For each thing that counts in the task's accuracy, the share of the models that got it right.

        scores: one for each model; None: it has nothing right.
        """
        given = [score.answers for score in scores if score is not None]
        return [
            sum(answers[place].correct for answers in given) / len(scores)
            for place in range(len(task.queries))
        ]

    def is_right(self, answer: GradedAnswer) -> bool:
        """Whether one answer is right by itself."""
        return answer.correct

    def grading(self) -> str:
        """How answers are graded if no grader is chosen; only equal gradings are compared."""
        return self.name

    def identity(self, task: Task) -> str:
        """Equal for two tasks exactly if training on one is training on the other. Case, punctuation
        and spacing of the context do not count."""
        return stable_hash(normalise(task.context) or task.context.strip())

    def label(self, task: Task) -> str:
        """The task in a message."""
        return task.title or task.id

    # -- tables --

    def columns(self) -> tuple[Column, ...]:
        """Columns of an evaluation's table, which has a row for each condition."""
        return (
            Column("condition", lambda row: row.condition),
            Column("accuracy", lambda row: percent(row.accuracy)),
            Column("95 % interval", interval),
            Column(f"{self.query_noun}s", lambda row: f"{row.questions:,}"),
            Column(f"{self.noun}s", lambda row: f"{row.contexts:,}"),
            Column("trained tokens", lambda row: f"{row.tokens:,}"),
            Column("seconds", lambda row: "—" if row.seconds is None else duration(row.seconds)),
        )

    def caption(self, found: Evaluation) -> str:
        """Above an evaluation's table."""
        trainings = plural(found.seeds, "seed")
        return f"{found.model}, {trainings} from {found.seed}, graded by {found.grader}"

    def notes(self, found: Evaluation) -> list[str]:
        """What a reader of the table must know."""
        lines = self.meanings(found)
        lines.append(
            f"accuracy is the mean over {self.noun}s; intervals are a bootstrap over {self.noun}s, "
            "each for itself: among many pairs, some differ by chance"
        )
        return lines + [note for row in found.rows for note in row_notes(row, found.seeds)]

    def meanings(self, found: Evaluation) -> list[str]:
        """What each row is."""
        conditions = self.conditions()
        known = [row.condition for row in found.rows if row.condition in conditions]
        return [f"{name}: {conditions[name].what}" for name in known]

    # -- reports --

    def picture(self, task: Task) -> list[Block]:
        """A task in the report of a training."""
        blocks: list[Block] = [Passage(task.context)]
        if task.queries:
            rows = tuple((str(n), q.question, q.gold) for n, q in enumerate(task.queries, start=1))
            blocks.append(Table(("", self.query_noun, "answer"), rows, f"Its {self.query_noun}s"))
        return blocks

    def drawn(
        self, outcomes: Iterable[TaskOutcome], conditions: Sequence[str], total: int
    ) -> list[Section]:
        """The first tasks of an evaluation in pictures, with each condition's answers. total: number of
        tasks that it has."""
        return []

    def choices(self, outcomes: Iterable[TaskOutcome], found: Evaluation) -> list[Section]:
        """What edits chose under the conditions of an evaluation, where they choose anything."""
        return []

    def own_runs(self) -> Mapping[str, OwnRun]:
        """Kinds of run that are this domain's alone."""
        return {}


def interval(row: Row) -> str:
    """The 95 % interval of a row's accuracy."""
    if not math.isfinite(row.low + row.high):
        return UNKNOWN
    return f"{percent(row.low)} to {percent(row.high)}"


def row_notes(row: Row, seeds: int) -> list[str]:
    """What a reader must know about a condition: who wrote and learned, and what had no effect."""
    lines = []
    if row.writer:
        lines.append(f"{row.condition}: edits by {row.writer}, learned by {row.learner}")
    if row.invalid or row.failed:
        # Where each is trained by itself, a row counts an invalid edit once for each seed.
        edits = row.invalid // seeds if row.regime == "single" else row.invalid
        lines.append(
            f"{row.condition}: {plural(edits, 'invalid edit')} and "
            f"{plural(row.failed, 'failed training')} changed nothing; where no training was left, "
            "closed-book answers count"
        )
    if row.note:
        lines.append(f"{row.condition}: {row.note}")
    return lines
