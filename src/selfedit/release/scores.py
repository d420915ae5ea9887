"""Recorded answers and means: verdicts by training, and the accuracies that follow from them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from selfedit.errors import InputError
from selfedit.grading import exact_match, f1
from selfedit.release.fields import (
    ADAPTED_MEAN,
    ANSWER,
    BASELINE_CORRECT,
    BASELINE_MEAN,
    CORRECT,
    GAIN_MEAN,
    PROXY_MEAN,
    QUESTIONS,
    REP,
    TRAININGS,
    first,
)
from selfedit.types import GradedAnswer, Query

_MOST_REP = 2**63  # the store's integers have 64 bits
DIGITS = 4  # digits of the accuracy of one training in the release


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers by training: the graded ones after it, and the verdicts before it.

    questions: all that were listed, graded or not, each with its gold answer.
    trainings: how many there were, 0 if the entry does not say.
    """

    adapted: Mapping[int, tuple[GradedAnswer, ...]] = field(default_factory=dict)
    baseline: Mapping[int, tuple[bool, ...]] = field(default_factory=dict)
    questions: tuple[tuple[str, str], ...] = ()
    trainings: int = 0

    def means(self) -> tuple[float | None, float | None]:
        """(baseline, adapted): mean over trainings of the rounded accuracies."""
        after = [[answer.correct for answer in answers] for answers in self.adapted.values()]
        return _mean_rate(self.baseline.values()), _mean_rate(after)


def _mean_rate(verdicts: Iterable[Sequence[bool]]) -> float | None:
    rates = [round(sum(rep) / len(rep), DIGITS) for rep in verdicts if rep]
    return statistics.mean(rates) if rates else None


def answers_of(where: str, entry: Mapping[str, Any], header: Mapping[str, Any]) -> Answers:
    """The answers of a self-edit. A question without a verdict was not graded, and does not count."""
    rows = _rows(entry)
    reps = _reps(where, [row for _, row in rows], [rep for rep, _ in rows], header)
    adapted: dict[int, list[GradedAnswer]] = {}
    baseline: dict[int, list[bool]] = {}
    questions: dict[tuple[str, str], None] = {}
    for number, (rep, (_, row)) in enumerate(zip(reps, rows, strict=True), start=1):
        place = f"{where}, question {number}"
        question, gold = str(row.get("question") or ""), _gold(row)
        questions[question, gold] = None
        correct = _verdict(place, first(row, CORRECT))
        if correct is not None:
            answer = str(first(row, ANSWER) or "")
            adapted.setdefault(rep, []).append(_graded(question, gold, answer, correct))
        before = _verdict(place, first(row, BASELINE_CORRECT))
        if before is not None:
            baseline.setdefault(rep, []).append(before)
    listed = next((v for v in map(entry.get, TRAININGS) if isinstance(v, list)), None)
    return Answers(
        {rep: tuple(answers) for rep, answers in sorted(adapted.items())},
        {rep: tuple(verdicts) for rep, verdicts in sorted(baseline.items())},
        tuple(questions),
        len(adapted) or len(listed or ()) or _listed_means(entry),
    )


def graded(where: str, correct: Sequence[Any], texts: Sequence[Any]) -> tuple[GradedAnswer, ...]:
    """Answers from parallel lists, whose questions are not recorded."""
    answers = []
    for number, value in enumerate(correct):
        verdict = _verdict(f"{where}, answer {number + 1}", value)
        if verdict is not None:
            text = str(texts[number] or "") if number < len(texts) else ""
            answers.append(GradedAnswer("", "", text, verdict))
    return tuple(answers)


def queries_of(answers: Iterable[Answers], title: str) -> tuple[Query, ...]:
    """The questions of an article, each once."""
    found = dict.fromkeys(pair for part in answers for pair in part.questions)
    return tuple(Query(question, (gold,), title) for question, gold in found if question)


def means_of(where: str, entry: Mapping[str, Any]) -> tuple[float | None, float | None, float | None]:
    """Recorded (baseline, adapted, proxy): of "stats", of the entry itself, of its trainings."""
    stats = entry.get("stats")
    holders = [stats] if isinstance(stats, dict) else []
    holders.append(dict(entry))
    baseline = adapted = gain = proxy = None
    for holder in holders:
        baseline = _accuracy(where, holder, BASELINE_MEAN) if baseline is None else baseline
        adapted = _accuracy(where, holder, ADAPTED_MEAN) if adapted is None else adapted
        gain = _number(where, first(holder, GAIN_MEAN)) if gain is None else gain
        proxy = _number(where, first(holder, PROXY_MEAN)) if proxy is None else proxy
    parts = [v for name in TRAININGS for v in _objects(entry.get(name))]
    if parts:
        listed = [means_of(where, part) for part in parts]
        baseline = _mean([b for b, _, _ in listed]) if baseline is None else baseline
        adapted = _mean([a for _, a, _ in listed]) if adapted is None else adapted
    if gain is not None:
        if adapted is None and baseline is not None:
            adapted = baseline + gain
        elif baseline is None and adapted is not None:
            baseline = adapted - gain
    return baseline, adapted, proxy


def _objects(value: Any) -> list[dict[str, Any]]:
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []


def _rows(entry: Mapping[str, Any]) -> list[tuple[int | None, dict[str, Any]]]:
    """(training, question): of one list, of a list for each training, or of the trainings' own."""
    rows: list[tuple[int | None, dict[str, Any]]] = []
    value = first(entry, QUESTIONS)
    for rep, part in enumerate(value if isinstance(value, list) else []):
        if isinstance(part, dict):
            rows.append((None, part))
        else:
            rows += [(rep, row) for row in _objects(part)]
    if not rows:
        trainings = next((_objects(entry.get(name)) for name in TRAININGS if entry.get(name)), [])
        for rep, training in enumerate(trainings):
            rows += [(rep, row) for row in _objects(first(training, QUESTIONS))]
    return rows


def _reps(
    where: str,
    rows: Sequence[Mapping[str, Any]],
    known: Sequence[int | None],
    header: Mapping[str, Any],
) -> list[int]:
    """The training of each question: as recorded; else by the header's count, since trainings follow
    each other; else a question that comes again belongs to the next training."""
    given = [
        place if place is not None else first(row, REP) for place, row in zip(known, rows, strict=True)
    ]
    if all(isinstance(rep, int) for rep in given):
        if not all(-_MOST_REP <= rep < _MOST_REP for rep in given):
            raise InputError(f"{where}: the number of a training is too large")
        return given
    times = header.get("eval_times")
    if isinstance(times, int) and times > 1 and len(rows) % times == 0:
        size = len(rows) // times
        texts = [row.get("question") for row in rows]
        if all(texts[i] == texts[i % size] for i in range(len(rows))):
            return [i // size for i in range(len(rows))]
    counts: dict[Any, int] = {}
    reps = []
    for row in rows:
        question = str(row.get("question"))
        reps.append(counts.get(question, 0))
        counts[question] = reps[-1] + 1
    return reps


def _gold(row: Mapping[str, Any]) -> str:
    gold = first(row, ("answer", "gold", "answers"))
    if isinstance(gold, list):
        gold = gold[0] if gold else ""
    return "" if gold is None else str(gold)


def _graded(question: str, gold: str, answer: str, correct: bool) -> GradedAnswer:
    golds = [gold] if gold else []
    return GradedAnswer(question, gold, answer, correct, exact_match(golds, answer), f1(golds, answer))


def _verdict(where: str, value: Any) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    if value in (0, 1):
        return bool(value)
    raise InputError(f"{where}: a verdict is true or false, not {value!r}")


def _accuracy(where: str, holder: Mapping[str, Any], names: Sequence[str]) -> float | None:
    value = first(holder, names)
    if isinstance(value, list):
        return _mean([accuracy(where, names[0], v) for v in value])
    return accuracy(where, names[0], value)


def accuracy(where: str, name: str, value: Any) -> float | None:
    """A recorded accuracy, None where there is none. Raises InputError for what is no share."""
    number = _number(where, value)
    if number is not None and not 0 <= number <= 1:
        raise InputError(f"{where}: {name} is {number}; an accuracy is between 0 and 1")
    return number


def _number(where: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{where}: {value!r} is not a number")
    try:
        number = float(value)
    except OverflowError:  # JSON has integers of any length
        number = math.inf
    if not math.isfinite(number):
        raise InputError(f"{where}: {str(value)[:20]} is not a number that can be a score")
    return number


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.mean(known) if known else None


def _listed_means(entry: Mapping[str, Any]) -> int:
    value = first(entry, ADAPTED_MEAN)
    return len(value) if isinstance(value, list) else 0
