"""What came of the continual experiment: a matrix for each kind of memory, and what follows from it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfedit.grading.statistics import Interval, mean_interval, paired_difference, verdict


@dataclass(frozen=True, slots=True)
class Learned:
    """After one document. row: accuracy in [0, 1] on it and each earlier one, in their order. seconds,
    tokens: of its training. broken: what the probe measured, if it did."""

    row: tuple[float, ...]
    seconds: float
    tokens: int
    failure: str
    broken: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Course:
    """One sequence with one kind of memory."""

    steps: tuple[Learned, ...]

    @property
    def right_after(self) -> float:
        """Mean accuracy on a document right after it was learned."""
        return _mean([step.row[-1] for step in self.steps])

    @property
    def at_the_end(self) -> float:
        """Mean accuracy on all documents after the last one."""
        return _mean(self.steps[-1].row)


@dataclass(frozen=True, slots=True)
class Continual:
    """untouched: accuracy of the bare model on each document of each sequence. courses: of each kind,
    one for each sequence. costs: of a question (tokens of the prompt, milliseconds), by way of
    answering."""

    model: str
    contexts: int
    untouched: tuple[tuple[float, ...], ...]
    courses: Mapping[str, Sequence[Course]]
    costs: Mapping[str, Mapping[str, float]]
    seed: int = 0

    def summary(self) -> dict[str, Any]:
        """What `selfedit eval continual --json` prints, and the store keeps."""
        before = [_mean(row) for row in self.untouched]
        kinds = {kind: self._kind(own, before) for kind, own in self.courses.items()}
        return {
            "model": self.model,
            "contexts": self.contexts,
            "sequences": len(self.untouched),
            "untouched": span(mean_interval(before, self.seed)),
            "kinds": kinds,
            "pairs": [self._pair(a, b) for a, b in itertools.combinations(self.courses, 2)],
            "costs": {name: dict(own) for name, own in self.costs.items()},
        }

    def _kind(self, courses: Sequence[Course], before: Sequence[float]) -> dict[str, Any]:
        own = [course.right_after for course in courses]
        end = [course.at_the_end for course in courses]
        places = range(self.contexts)
        probed = [[step.broken for step in course.steps] if course.steps else [] for course in courses]
        return {
            "matrix": [
                [_mean([row[j] for row in self.untouched]) for j in places],
                *(
                    [_mean([c.steps[i].row[j] for c in courses]) if j <= i else None for j in places]
                    for i in places
                ),
            ],
            "right_after": span(mean_interval(own, self.seed)),
            "at_the_end": span(mean_interval(end, self.seed)),
            "end_minus_untouched": span(paired_difference(end, before, self.seed)),
            "right_after_minus_end": span(paired_difference(own, end, self.seed)),
            "by_sequence": [
                {"untouched": b, "right_after": o, "at_the_end": e}
                for b, o, e in zip(before, own, end, strict=True)
            ],
            "general_kept": [_known([row[i].get("general_kept") for row in probed]) for i in places],
            "drift": [_known([row[i].get("drift") for row in probed]) for i in places],
            "seconds": [_mean([c.steps[i].seconds for c in courses]) for i in places],
            "tokens": [_mean([c.steps[i].tokens for c in courses]) for i in places],
            "failed": sum(bool(step.failure) for course in courses for step in course.steps),
        }

    def _pair(self, a: str, b: str) -> dict[str, Any]:
        """The accuracy at the end, sequence by sequence."""
        ends = [[course.at_the_end for course in self.courses[kind]] for kind in (a, b)]
        found = paired_difference(ends[1], ends[0], self.seed)
        return {"a": b, "b": a, **span(found), "verdict": verdict(found, b, a, "sequences")}


def recorded(values: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded matrix of the release in the same form: means over its sequences, without intervals.
    Raises KeyError, TypeError or ValueError for anything else."""
    rows = [[float(value) for value in row] for row in values["mean_over_sequences"]]
    count = int(values["n_datapoints"])
    if len(rows) != count + 1 or any(len(row) != count for row in rows):
        raise ValueError(f"the matrix is not {count + 1} x {count}")
    after = [rows[i + 1][i] for i in range(count)]
    before, own, end = _mean(rows[0]), _mean(after), _mean(rows[-1])
    learned = [[v if j <= i else None for j, v in enumerate(row)] for i, row in enumerate(rows[1:])]
    kind = {
        "matrix": [rows[0], *learned],
        "right_after": _alone(own),
        "at_the_end": _alone(end),
        "end_minus_untouched": _alone(end - before),
        "right_after_minus_end": _alone(own - end),
    }
    return {
        "model": str(values.get("base_model", "")),
        "contexts": count,
        "sequences": int(values["n_sequences"]),
        "untouched": _alone(before),
        "kinds": {"stack (recorded)": kind},
        "pairs": [],
        "costs": {},
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return _mean(known) if known else None


def span(interval: Interval) -> dict[str, Any]:
    """As JSON; None for a bound that there is not."""
    return {"value": interval.value, "low": _finite(interval.low), "high": _finite(interval.high)}


def _alone(value: float) -> dict[str, Any]:
    return {"value": value, "low": None, "high": None}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
