"""Numbers and dates: which of the gold's the answer has, and which others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from selfedit.grading.words import Word, words

MONTHS = frozenset(
    "january february march april may june july august september october november december".split()
)
_CENTURY = ("century", "centuries")
_SAME_NUMBER = 1e-6


@dataclass(frozen=True, slots=True)
class Period:
    """Years from `first` to `last` (BC: negative), named by some words ("19th century", "1920s").

    first_word, last_word: positions of its name among the words that were read.
    """

    first_word: int
    last_word: int
    first: float
    last: float


def periods(read: Sequence[Word]) -> list[Period]:
    """The centuries, decades and ages that a text names."""
    found = []
    for place, word in enumerate(read):
        number = word.number
        if word.text == "medieval":
            found.append(Period(place, place, 500, 1499))
        elif number is not None and _text(read, place + 1) in _CENTURY and 1 <= number < 22:
            if _text(read, place + 2) == "bc":
                found.append(Period(place, place + 2, -100 * number, -100 * (number - 1) - 1))
            else:
                found.append(Period(place, place + 1, 100 * (number - 1), 100 * number - 1))
        elif number is not None and word.text[-1] == "s" and number >= 1000 and number % 10 == 0:
            length = 10 if number % 100 else 100
            found.append(Period(place, place, number, number + length - 1))
    return found


def within(period: Period, said: Sequence[Word]) -> int:
    """Position of the first year or narrower period within this period, or -1."""
    for place, word in enumerate(said):
        if word.number is None or _text(said, place + 1) in _CENTURY:
            continue
        before = _text(said, place + 1) == "bc"
        year = -word.number if before else word.number
        if (before or is_year(year)) and period.first <= year <= period.last:
            return place
    inner = (own for own in periods(said) if period.first <= own.first and own.last <= period.last)
    return next((own.first_word for own in inner), -1)


def another_month(gold: str, answer: str) -> bool:
    """Whether the answer names months, and none that the gold names."""
    wanted = {word.text for word in words(gold)} & MONTHS
    if not wanted:
        return False
    told = {word.text for word in words(answer)} & MONTHS
    return bool(told) and not wanted & told


def _text(read: Sequence[Word], place: int) -> str:
    return read[place].text if place < len(read) else ""


def number_features(
    gold: Sequence[Word], said: Sequence[Word], in_question: frozenset[float]
) -> dict[str, float]:
    """The gold's numbers in the answer, and numbers that neither gold nor question has."""
    content = [word for word in gold if word.content] or gold
    wanted = [word for word in content if word.number is not None]
    told = [word.number for word in said if word.number is not None]
    values = [word.number for word in wanted]
    century = any(word.text in ("century", "centuries") for word in gold)
    distances = [min((_far(v, t, century) for t in told), default=1.0) for v in values]
    found = [distance < _SAME_NUMBER for distance in distances]
    other = [
        w.number
        for w in said
        if w.number is not None and w.content and w.number not in values and w.number not in in_question
    ]
    years = [t for t in other if is_year(t)]
    exact_kind = any(is_year(v) for v in values)
    return {
        "numbers_said": sum(found) / len(found) if found else 0.5,
        "first_number_said": float(found[0]) if found else 0.5,
        "last_number_said": float(found[-1]) if found else 0.5,
        "number_distance": min(1.0, max(distances)) if distances else 0.5,
        "numbers_near": float(bool(distances) and not exact_kind and max(distances) < 0.06),
        "years_near": float(exact_kind and 0 < max(distances) < 0.002),
        "starts_with_number": float(bool(told) and bool(values) and told[0] in values),
        "other_numbers": math.log1p(len(other)),
        "number_instead": float(bool(values) and not any(found) and bool(other)),
        "other_years": math.log1p(len(years)),
    }


def is_year(value: float | None) -> bool:
    return value is not None and 1000 <= value <= 2100


def _far(wanted: float | None, told: float | None, century: bool = False) -> float:
    """Relative distance; 0 if a year lies in the wanted century."""
    assert wanted is not None
    assert told is not None
    if century and wanted < 22 and (wanted - 1) * 100 <= told < wanted * 100 and told >= 100:
        return 0.0
    return abs(wanted - told) / max(abs(wanted), abs(told), 1e-9)
