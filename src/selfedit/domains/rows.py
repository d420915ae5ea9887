"""The results of an evaluation: rows, pairs of them, and how a domain shows them in a table."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """A condition's result. accuracy: mean over contexts, in [0, 1], with its 95 % interval; pooled:
    share of all questions. regime: "none" if nothing was trained. tokens, seconds, trainings,
    invalid, failed, reasons: see `conditions.Outcome`. by_context: each context's accuracy, mean over
    its models. models: adapters of edits and seeds (of the bare model: answered contexts), invalid and
    failed ones with them; solved: those that answered everything right.

    A context is a task of the domain, and a question is what counts in it (`BaseDomain.marks`).
    """

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
    models: int = 0
    solved: int = 0
    reasons: tuple[tuple[str, int], ...] = ()

    @property
    def trained(self) -> bool:
        return self.regime != "none"


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
    """The result of `evaluate`. grader: how answers were graded. without_questions: contexts that were
    left out because they have nothing to grade. task_ids: of the contexts, in the order of
    `by_context`. domain: its name; "" in results of versions that kept none."""

    rows: tuple[Row, ...]
    pairs: tuple[Pair, ...]
    model: str
    grader: str
    regime: str
    seed: int
    seeds: int
    without_questions: int = 0
    notes: tuple[str, ...] = ()
    candidates: int = 1
    task_ids: tuple[str, ...] = ()
    domain: str = ""

    def summary(self) -> dict[str, Any]:
        """A JSON value: what `selfedit eval ... --json` prints, and what the store keeps."""
        return asdict(self)

    @classmethod
    def of(cls, summary: Mapping[str, Any]) -> Evaluation:
        """The evaluation of a summary, as it comes back from the store (NaN as None)."""
        values = dict(summary)
        if "prediction" in values:  # of the former `eval-arc`
            values |= {"grader": values.pop("prediction"), "regime": "single"}
        values["rows"] = tuple(_row(row) for row in summary["rows"])
        values["pairs"] = tuple(Pair(**_numbers(pair)) for pair in summary["pairs"])
        for name in ("notes", "task_ids"):
            values[name] = tuple(summary.get(name, ()))
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of an evaluation's table."""

    heading: str
    cell: Callable[[Row], str]


def _row(values: Mapping[str, Any]) -> Row:
    known = _numbers(_of_former_kind(values) if "success" in values else values)
    known["by_context"] = tuple(known.get("by_context", ()))
    known["reasons"] = tuple((reason, count) for reason, count in known.get("reasons", ()))
    return Row(**known)


def _of_former_kind(values: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `eval-arc`, whose contexts were tasks, with one question each: whether it is solved. Its
    seconds were those of one training."""
    trained = values["seconds"] is not None or values["invalid"] + values["failed"] > 0
    names = "condition low high tokens seconds invalid failed learner models solved reasons"
    return {name: values[name] for name in names.split()} | {
        "regime": "single" if trained else "none",
        "accuracy": values["success"],
        "pooled": values["success"],
        "questions": values["tasks"],
        "contexts": values["tasks"],
        "trainings": int(values["seconds"] is not None),
        "writer": "",
        "note": "",
        "by_context": values["by_task"],
    }


def _numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """Interval ends that were NaN are restored; other numbers are always there."""
    missing = {name: math.nan for name in ("low", "high") if values[name] is None}
    return {**values, **missing}
