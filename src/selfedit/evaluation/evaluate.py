"""An evaluation: conditions on the same contexts, graded alike, compared pair by pair."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from selfedit.config import stable_hash
from selfedit.errors import InputError
from selfedit.evaluation.conditions import CONDITIONS, Subjects, check_subjects
from selfedit.evaluation.regimes import Answers, Place
from selfedit.evaluation.settings import EvaluationSettings
from selfedit.grading import Grader, identity, offline, verdicts
from selfedit.grading.statistics import accuracy_interval, paired_difference, verdict
from selfedit.loops.runs import recorded_run
from selfedit.progress import Progress, Silent
from selfedit.store import Store
from selfedit.types import Task


@dataclass(frozen=True, slots=True)
class Row:
    """A condition's result. accuracy: mean over contexts, in [0, 1], with its 95 % interval; pooled:
    share of all questions. regime: "none" where nothing was trained. tokens, seconds, trainings,
    invalid, failed: see `regimes.Answers`. by_context: each context's accuracy, mean over seeds."""

    condition: str
    regime: str
    accuracy: float
    low: float
    high: float
    questions: int
    contexts: int
    tokens: int
    seconds: float | None
    pooled: float
    trainings: int
    invalid: int
    failed: int
    writer: str
    learner: str
    note: str
    by_context: tuple[float, ...] = field(repr=False, default=())


@dataclass(frozen=True, slots=True)
class Pair:
    """Row a minus row b on the same contexts, in accuracy, with its 95 % interval."""

    a: str
    b: str
    difference: float
    low: float
    high: float
    verdict: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What `evaluate` found. without_questions: contexts that were left out for that."""

    rows: tuple[Row, ...]
    pairs: tuple[Pair, ...]
    model: str
    grader: str
    regime: str
    seed: int
    seeds: int
    without_questions: int = 0
    notes: tuple[str, ...] = ()

    def summary(self) -> dict[str, Any]:
        """A JSON value: what `selfedit eval knowledge --json` prints, and what the store keeps."""
        return asdict(self)

    @classmethod
    def of(cls, summary: Mapping[str, Any]) -> Evaluation:
        """The evaluation whose summary it is, as it comes back out of the store (NaN as None)."""
        rows = tuple(
            Row(**{**numbers(row), "by_context": tuple(row.get("by_context", ()))})
            for row in summary["rows"]
        )
        pairs = tuple(Pair(**numbers(pair)) for pair in summary["pairs"])
        values = {**summary, "rows": rows, "pairs": pairs, "notes": tuple(summary.get("notes", ()))}
        return cls(**values)


def numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """With the ends of an interval that were not a number; other numbers are always there."""
    missing = {name: math.nan for name in ("low", "high") if values[name] is None}
    return {**values, **missing}


def with_questions(tasks: Sequence[Task]) -> tuple[list[Task], int]:
    """The contexts that have questions, and how many have none. Raises InputError if all have none."""
    kept = [task for task in tasks if task.queries]
    if not kept:
        raise InputError("none of the contexts has a question, so there is nothing to measure")
    return kept, len(tasks) - len(kept)


def evaluate(
    subjects: Subjects,
    tasks: Sequence[Task],
    store: Store,
    settings: EvaluationSettings,
    *,
    grader: Grader = offline,
    progress: Progress | None = None,
    on_row: Callable[[Row], None] = lambda row: None,
    notes: Sequence[str] = (),
) -> Evaluation:
    """Every condition of the settings on the tasks that have questions. Raises SelfEditError.

    notes: what the caller knows and a reader of the table must know, too; they are kept with it.

    Trials, texts and trainings that are stored are not repeated, so a killed evaluation goes on where
    it was. Answers are graded here, by `grader`, whatever graded the stored trials.
    """
    kept, left_out = with_questions(tasks)
    place = Place(kept, settings, store, 0, progress or Silent())
    check_subjects(place, subjects)
    names = settings.conditions
    ids = stable_hash([[t.id, [[q.question, q.answers] for q in t.queries]] for t in kept])
    inputs = {"contexts": len(kept), "tasks": ids, "grader": identity(grader)}
    with recorded_run(store, "eval", subjects.model, settings, inputs) as run:
        place.run_id = run.id
        rows = []
        for name in names:
            answers = CONDITIONS[name].answer(place, subjects)
            rows.append(_row(name, place, answers, grader))
            on_row(rows[-1])
        result = Evaluation(
            tuple(rows),
            tuple(_pairs(rows, settings)),
            model=subjects.model.name,
            grader=identity(grader),
            regime=settings.regime,
            seed=settings.inner.seed,
            seeds=settings.inner.seeds,
            without_questions=left_out,
            notes=tuple(notes),
        )
        run.result = result.summary()
    return result


def _row(name: str, place: Place, answers: Answers, grader: Grader) -> Row:
    right = graded(grader, place.tasks, answers)
    by_context = [sum(own) / len(own) for own in right]
    interval = accuracy_interval(by_context, place.settings.inner.seed, place.settings.resamples)
    questions = sum(len(own) for own in right)
    return Row(
        condition=name,
        regime=place.settings.regime if CONDITIONS[name].trained else "none",
        accuracy=interval.value,
        low=interval.low,
        high=interval.high,
        questions=questions,
        contexts=interval.contexts,
        tokens=answers.tokens,
        seconds=answers.seconds,
        pooled=sum(map(sum, right)) / questions,
        trainings=answers.trainings,
        invalid=answers.invalid,
        failed=answers.failed,
        writer=answers.writer,
        learner=answers.learner,
        note=answers.note,
        by_context=tuple(by_context),
    )


def graded(grader: Grader, tasks: Sequence[Task], answers: Answers) -> list[list[float]]:
    """[context][question]: the share of the training seeds that answered it right.

    Each (question, answer) is graded once; a judge (`grade_many`) gets all of them together.
    """
    asked = [
        (query, said[place].strip())
        for task, own in zip(tasks, answers.by_context, strict=True)
        for said in own
        for place, query in enumerate(task.queries)
    ]
    distinct = list(dict.fromkeys(asked))
    found = verdicts([query for query, _ in distinct], [answer for _, answer in distinct], grader)
    right = dict(zip(distinct, found, strict=True))
    return [
        [
            sum(right[query, said[place].strip()] for said in own) / len(own)
            for place, query in enumerate(task.queries)
        ]
        for task, own in zip(tasks, answers.by_context, strict=True)
    ]


def _pairs(rows: Sequence[Row], settings: EvaluationSettings) -> list[Pair]:
    """Each row against each one above it."""
    pairs = []
    for b, a in itertools.combinations(rows, 2):
        found = paired_difference(a.by_context, b.by_context, settings.inner.seed, settings.resamples)
        said = verdict(found, a.condition, b.condition)
        pairs.append(Pair(a.condition, b.condition, found.value, found.low, found.high, said))
    return pairs
