"""What RL changed in the choices of self-edits: those of the bare model beside those of the policy.

Of all edits that were written for the held-out tasks, whatever came of them. An invalid edit has chosen
nothing, and is counted. Differences are paired by task.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Generic, TypeVar

from selfedit.domains.conditions import TaskOutcome
from selfedit.errors import InvalidSelfEdit
from selfedit.grading.statistics import Interval, mean_interval
from selfedit.show.page import Block, Notes, Plot, Section, Table
from selfedit.show.plots import log_scatter
from selfedit.show.wording import UNKNOWN, percent
from selfedit.types import Score, SelfEdit, Trial

Edit = TypeVar("Edit")  # an edit as its domain reads it


@dataclass(frozen=True, slots=True)
class Choice(Generic[Edit]):
    """Something that an edit chooses, as a number. log: its mean is geometric, and a change is a
    factor."""

    name: str
    value: Callable[[Edit], float]
    form: Callable[[float], str]
    log: bool = False


def share(of: Callable[[Edit], bool], name: str) -> Choice[Edit]:
    """Whether it chooses that; the mean is a share."""
    return Choice(name, lambda edit: float(of(edit)), percent)


def number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


@dataclass(frozen=True, slots=True)
class Choosing(Generic[Edit]):
    """What a kind of self-edit chooses.

    before, after: the conditions whose edits the bare model writes, and the policy. read: an edit as it
    is compared; raises InvalidSelfEdit. text: what tells two apart. place: learning rate and epochs.
    good: which trials the plot sets apart, as what it calls `goodness`.
    """

    before: str
    after: str
    read: Callable[[SelfEdit], Edit]
    text: Callable[[Edit], str]
    place: Callable[[Edit], tuple[float, float]]
    choices: Sequence[Choice[Edit]]
    good: Callable[[Score | None], bool]
    goodness: str
    counted: str = "valid edits"  # those that `read` takes


@dataclass(frozen=True, slots=True)
class Written(Generic[Edit]):
    """The edits of a condition, by task. edits: the valid ones; invalid: how many were not. solved:
    good trials, and all, by learning rate and epochs."""

    edits: tuple[tuple[Edit, ...], ...]
    invalid: int
    solved: dict[tuple[float, float], tuple[int, int]] = field(default_factory=dict)

    @property
    def valid(self) -> list[Edit]:
        return [edit for own in self.edits for edit in own]


def compared(
    choosing: Choosing[Edit], outcomes: Iterable[TaskOutcome], seeds: int, seed: int
) -> list[Section]:
    """A table of the choices before and after RL, and a plot; nothing without both conditions.

    seeds: trials of an edit. seed: of the bootstrap.
    """
    every = list(outcomes)
    names = (choosing.before, choosing.after)
    if not all(any(own.trials.get(name) for own in every) for name in names):
        return []
    before, after = (
        _written(choosing, [own.trials.get(name, ()) for own in every], seeds) for name in names
    )
    rows = [_counted(choosing.counted, before, after)]
    rows += [_row(choice, before, after, seed) for choice in choosing.choices]
    rows.append(_different(choosing, before, after))
    headings = ("choice", f"{names[0]}: no RL", f"{names[1]}: after RL", "change", "95 % interval")
    said = (
        "of all edits written for these tasks; the mean over valid edits (of rates and epochs the "
        "geometric one), with the lowest and the highest in brackets",
        "change: the mean over tasks of the difference (of rates and epochs a factor), with a "
        "bootstrap over tasks; tasks without a valid edit of both are left out of it",
    )
    blocks: tuple[Block, ...] = (
        Table(headings, tuple(rows)),
        *_plot(choosing, before, after),
        Notes(said),
    )
    return [Section("What RL changed in the choices", blocks)]


def _written(choosing: Choosing[Edit], by_task: Sequence[Sequence[Trial]], seeds: int) -> Written[Edit]:
    edits: list[tuple[Edit, ...]] = []
    invalid = 0
    solved: dict[tuple[float, float], tuple[int, int]] = {}
    for trials in by_task:
        own = []
        for at in range(0, len(trials), seeds):
            try:
                edit = choosing.read(trials[at].edit)
            except InvalidSelfEdit:
                invalid += 1
                continue
            own.append(edit)
            place = choosing.place(edit)
            right, all_ = solved.get(place, (0, 0))
            part = trials[at : at + seeds]
            solved[place] = right + sum(choosing.good(trial.score) for trial in part), all_ + len(part)
        edits.append(tuple(own))
    return Written(tuple(edits), invalid, solved)


def _counted(name: str, before: Written[Edit], after: Written[Edit]) -> tuple[str, ...]:
    def said(own: Written[Edit]) -> str:
        return f"{len(own.valid)} of {len(own.valid) + own.invalid}"

    return (name, said(before), said(after), "", "")


def _different(
    choosing: Choosing[Edit], before: Written[Edit], after: Written[Edit]
) -> tuple[str, ...]:
    def said(own: Written[Edit]) -> str:
        texts = Counter(map(choosing.text, own.valid))
        most = texts.most_common(1)
        return f"{len(texts)}, the most frequent {most[0][1]} times" if most else "0"

    return ("different edits", said(before), said(after), "", "")


def _row(
    choice: Choice[Edit], before: Written[Edit], after: Written[Edit], seed: int
) -> tuple[str, ...]:
    pairs = [
        (_mean(choice, a), _mean(choice, b))
        for a, b in zip(before.edits, after.edits, strict=True)
        if a and b
    ]
    change = mean_interval([b - a for a, b in pairs], seed)
    return (choice.name, _shown(choice, before), _shown(choice, after), *_change(choice, change))


def _mean(choice: Choice[Edit], edits: Sequence[Edit]) -> float:
    """On the choice's own scale: the logarithm where that is geometric."""
    values = map(choice.value, edits)
    return fmean(map(math.log, values) if choice.log else values)


def _shown(choice: Choice[Edit], own: Written[Edit]) -> str:
    if not own.valid:
        return UNKNOWN
    mean = _mean(choice, own.valid)
    said = choice.form(math.exp(mean) if choice.log else mean)
    values = sorted(map(choice.value, own.valid))
    if choice.log and values[0] != values[-1]:
        said += f" ({choice.form(values[0])} to {choice.form(values[-1])})"
    return said


def _change(choice: Choice[Edit], change: Interval) -> tuple[str, str]:
    if not change.contexts:
        return UNKNOWN, UNKNOWN

    def said(value: float) -> str:
        if not math.isfinite(value):
            return UNKNOWN
        if choice.log:
            return f"times {math.exp(value):.2f}"
        scale = 100 if choice.form is percent else 1
        return f"{scale * value:+.1f}{' points' if scale == 100 else ''}"

    ends = (change.low, change.high)
    known = all(map(math.isfinite, ends))
    return said(change.value), f"{said(change.low)} to {said(change.high)}" if known else UNKNOWN


def _plot(choosing: Choosing[Edit], before: Written[Edit], after: Written[Edit]) -> list[Plot]:
    good = choosing.goodness
    points = {
        f"{name}, {state}": {
            place: count
            for place, (right, all_) in own.solved.items()
            if (count := right if state == good else all_ - right)
        }
        for name, own in ((choosing.before, before), (choosing.after, after))
        for state in (f"not {good}", good)
    }
    words = f"Learning rates and epochs that the edits chose, before and after RL, {good} and not"
    svg = log_scatter(points, "learning rate", "epochs", words)
    return [Plot(svg, words)] if svg else []
