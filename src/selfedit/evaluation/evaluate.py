"""An evaluation: conditions on the same contexts, graded alike, compared pair by pair."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from selfedit.config import EvaluationSettings, stable_hash
from selfedit.domains.base import BaseDomain
from selfedit.domains.conditions import Bench, Outcome, solves, without_effect
from selfedit.domains.rows import Evaluation, Pair, Row
from selfedit.domains.stored import about
from selfedit.errors import InputError
from selfedit.evaluation.bench import StoredBench
from selfedit.evaluation.outcomes import put_outcomes
from selfedit.grading import Grader, identity, verdicts
from selfedit.grading.statistics import accuracy_interval, paired_difference, verdict
from selfedit.loops.runs import recorded_run
from selfedit.types import Score, Task


def gradable(domain: BaseDomain, tasks: Sequence[Task]) -> tuple[list[Task], int]:
    """The tasks with something to grade, and how many are left out. Raises InputError if all are."""
    kept = [task for task in tasks if domain.is_gradable(task)]
    if not kept:
        raise InputError(f"none of the {domain.noun}s has {domain.gold}: there is nothing to measure")
    return kept, len(tasks) - len(kept)


def evaluate(
    bench: StoredBench,
    *,
    grader: Grader | None = None,
    on_row: Callable[[Row], None] = lambda row: None,
    notes: Sequence[str] = (),
    left_out: int = 0,
) -> Evaluation:
    """Every condition of the settings on the bench's tasks. Raises SelfEditError.

    Trials, texts and trainings that are stored are not repeated, so a killed evaluation goes on where
    it was. grader: of all answers, whatever graded the stored trials; None: as the domain graded them.
    notes: what the caller knows and a reader of the table must know, too; they are kept with it.
    left_out: contexts that were not evaluated because they have nothing to grade.
    """
    bench.check()
    domain, tasks, settings, model = bench.domain, bench.tasks, bench.settings, bench.model
    graded = domain.grading() if grader is None else identity(grader)
    inputs = {
        "contexts": len(tasks),
        "tasks": _identity(tasks),
        "grader": graded,
        **about(domain),
    }
    with recorded_run(bench.store, "eval", model, settings, inputs, bench.progress) as run:
        bench.run_id = run.id
        rows = []
        for name in settings.conditions:
            rows.append(_row(name, bench, bench.outcome(name), grader))
            on_row(rows[-1])
        if domain.draws or domain.chooses:
            put_outcomes(bench.store, run.id, tasks, bench.outcomes)
        result = Evaluation(
            tuple(rows),
            tuple(_pairs(rows, settings, bench.domain.noun)),
            model=model.name,
            grader=graded,
            regime=settings.regime,
            seed=settings.inner.seed,
            seeds=settings.inner.seeds,
            without_questions=left_out,
            notes=tuple(notes),
            candidates=settings.inner.candidates,
            task_ids=tuple(task.id for task in tasks if domain.is_gradable(task)),
            domain=domain.name,
        )
        run.result = result.summary()
    return result


class Result(Protocol):
    """The result of an evaluation."""

    def summary(self) -> dict[str, Any]:
        """A JSON value, which the store keeps."""
        ...


Found = TypeVar("Found", bound=Result)


def record(bench: StoredBench, kind: str, work: Callable[[Bench], Found]) -> Found:
    """A run of one of the domain's own kinds. Raises SelfEditError."""
    inputs = {"contexts": len(bench.tasks), **about(bench.domain)}
    with recorded_run(bench.store, kind, bench.model, bench.settings, inputs, bench.progress) as run:
        bench.run_id = run.id
        found = work(bench)
        if bench.domain.draws:
            put_outcomes(bench.store, run.id, bench.tasks, bench.outcomes)
        run.result = found.summary()
    return found


def _identity(tasks: Sequence[Task]) -> str:
    """Evaluations of the same contexts and questions can be compared."""
    return stable_hash([[t.id, [[q.question, q.answers] for q in t.queries]] for t in tasks])


def _row(name: str, bench: StoredBench, outcome: Outcome, grader: Grader | None) -> Row:
    domain, settings = bench.domain, bench.settings
    known = [i for i, task in enumerate(bench.tasks) if domain.is_gradable(task)]
    tasks, scores = [bench.tasks[i] for i in known], [outcome.scores[i] for i in known]
    invalid, failed, reasons = outcome.invalid, outcome.failed, outcome.reasons
    if outcome.trials:  # of tasks that cannot be graded a submission needs answers, and the row nothing
        invalid, failed, reasons = without_effect([t for i in known for t in outcome.trials[i]])
    if grader is not None:
        scores = regraded(grader, tasks, scores)
    marks = [domain.marks(task, own) for task, own in zip(tasks, scores, strict=True)]
    by_context = [sum(own) / len(own) for own in marks]
    interval = accuracy_interval(by_context, settings.inner.seed, settings.resamples)
    questions = sum(map(len, marks))
    return Row(
        condition=name,
        regime=outcome.regime,
        accuracy=interval.value,
        low=interval.low,
        high=interval.high,
        questions=questions,
        contexts=interval.contexts,
        tokens=outcome.tokens,
        seconds=outcome.seconds,
        pooled=sum(map(sum, marks)) / questions,
        trainings=outcome.trainings,
        invalid=invalid,
        failed=failed,
        writer=outcome.writer,
        learner=outcome.learner,
        note=outcome.note,
        by_context=tuple(by_context),
        models=sum(map(len, scores)),
        solved=sum(solves(score) for own in scores for score in own),
        reasons=reasons,
    )


def regraded(
    grader: Grader, tasks: Sequence[Task], scores: Sequence[Sequence[Score | None]]
) -> list[tuple[Score | None, ...]]:
    """The same answers, graded by the grader.

    Each (question, answer) is graded once; a judge (`grade_many`) gets all of them together.
    """
    asked = [
        (query, answer.answer.strip())
        for task, own in zip(tasks, scores, strict=True)
        for score in own
        if score is not None
        for query, answer in zip(task.queries, score.answers, strict=True)
    ]
    distinct = list(dict.fromkeys(asked))
    found = verdicts([query for query, _ in distinct], [answer for _, answer in distinct], grader)
    verdict_of = dict(zip(distinct, found, strict=True))
    right = iter([verdict_of[pair] for pair in asked])
    return [
        tuple(
            None
            if score is None
            else Score(tuple(replace(answer, correct=next(right)) for answer in score.answers))
            for score in own
        )
        for own in scores
    ]


def _pairs(rows: Sequence[Row], settings: EvaluationSettings, noun: str) -> list[Pair]:
    """Each row against each one above it. noun: what a context is called."""
    pairs = []
    for b, a in itertools.combinations(rows, 2):
        found = paired_difference(a.by_context, b.by_context, settings.inner.seed, settings.resamples)
        said = verdict(found, a.condition, b.condition, f"{noun}s")
        pairs.append(Pair(a.condition, b.condition, found.value, found.low, found.high, said))
    return pairs
