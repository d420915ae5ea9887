"""What RL changed in the choices of self-edits: those of the bare model beside those of the policy.

Of all edits that were written for the held-out tasks, solved or not; one over the step limit has
chosen, too. An invalid edit has chosen nothing, and is counted. Differences are paired by task.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from selfedit.domains.arc.self_edit import ArcSelfEdit, parse_self_edit
from selfedit.domains.conditions import TaskOutcome, solves
from selfedit.errors import InvalidSelfEdit
from selfedit.grading.statistics import Interval, mean_interval
from selfedit.show.page import Block, Notes, Plot, Section, Table
from selfedit.show.plots import log_scatter
from selfedit.show.wording import UNKNOWN, percent
from selfedit.types import Trial

BEFORE, AFTER = "ttt", "seal"  # the bare model's edits, and the policy's
_GROUPS = ("basic", "size", "chain", "repeat")


@dataclass(frozen=True, slots=True)
class Written:
    """The edits of a condition, by task. edits: the valid ones; invalid: how many were not. solved:
    adapters that solve their task, and trials, by learning rate and epochs."""

    edits: tuple[tuple[ArcSelfEdit, ...], ...]
    invalid: int
    solved: dict[tuple[float, float], tuple[int, int]] = field(default_factory=dict)

    @property
    def valid(self) -> list[ArcSelfEdit]:
        return [edit for own in self.edits for edit in own]


@dataclass(frozen=True, slots=True)
class Choice:
    """Something that an edit chooses, as a number. log: its mean is geometric, and a change is a
    factor."""

    name: str
    value: Callable[[ArcSelfEdit], float]
    form: Callable[[float], str]
    log: bool = False


def _share(of: Callable[[ArcSelfEdit], bool], name: str) -> Choice:
    return Choice(name, lambda edit: float(of(edit)), percent)


def _group(name: str) -> Choice:
    return _share(lambda edit: name in edit.groups, f"{name} augmentations")


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


CHOICES = (
    Choice("learning rate", lambda edit: edit.learning_rate, "{:.3g}".format, log=True),
    Choice("epochs", lambda edit: float(edit.num_train_epochs), _number, log=True),
    *map(_group, _GROUPS),
    Choice("groups of augmentations", lambda edit: float(len(edit.groups)), "{:.2f}".format),
    _share(lambda edit: edit.supervise == "all", "loss on all tokens"),
)


def choices(outcomes: Iterable[TaskOutcome], seeds: int, seed: int) -> list[Section]:
    """A table of the choices before and after RL, and a plot; nothing without both conditions.

    seeds: trials of an edit. seed: of the bootstrap.
    """
    every = list(outcomes)
    if not any(own.trials.get(BEFORE) for own in every) or not any(
        own.trials.get(AFTER) for own in every
    ):
        return []
    before, after = (
        _written([own.trials.get(name, ()) for own in every], seeds) for name in (BEFORE, AFTER)
    )
    rows = [_counted(before, after)]
    rows += [_row(choice, before, after, seed) for choice in CHOICES]
    rows.append(_different(before, after))
    headings = ("choice", f"{BEFORE}: no RL", f"{AFTER}: after RL", "change", "95 % interval")
    said = (
        "of all edits written for these tasks; the mean over valid edits (of rates and epochs the "
        "geometric one), with the lowest and the highest in brackets",
        "change: the mean over tasks of the difference (of rates and epochs a factor), with a "
        "bootstrap over tasks; tasks without a valid edit of both are left out of it",
    )
    blocks: tuple[Block, ...] = (Table(headings, tuple(rows)), *_plot(before, after), Notes(said))
    return [Section("What RL changed in the choices", blocks)]


def _written(by_task: Sequence[Sequence[Trial]], seeds: int) -> Written:
    edits: list[tuple[ArcSelfEdit, ...]] = []
    invalid = 0
    solved: dict[tuple[float, float], tuple[int, int]] = {}
    for trials in by_task:
        own = []
        for at in range(0, len(trials), seeds):
            try:
                edit = parse_self_edit(trials[at].edit.text)
            except InvalidSelfEdit:
                invalid += 1
                continue
            own.append(edit)
            place = edit.learning_rate, float(edit.num_train_epochs)
            right, all_ = solved.get(place, (0, 0))
            part = trials[at : at + seeds]
            solved[place] = right + sum(solves(trial.score) for trial in part), all_ + len(part)
        edits.append(tuple(own))
    return Written(tuple(edits), invalid, solved)


def _counted(before: Written, after: Written) -> tuple[str, ...]:
    def said(own: Written) -> str:
        return f"{len(own.valid)} of {len(own.valid) + own.invalid}"

    return ("valid edits", said(before), said(after), "", "")


def _different(before: Written, after: Written) -> tuple[str, ...]:
    def said(own: Written) -> str:
        most = Counter(edit.text() for edit in own.valid).most_common(1)
        return (
            f"{len(set(map(ArcSelfEdit.text, own.valid)))}, the most frequent {most[0][1]} times"
            if most
            else "0"
        )

    return ("different edits", said(before), said(after), "", "")


def _row(choice: Choice, before: Written, after: Written, seed: int) -> tuple[str, ...]:
    pairs = [
        (_mean(choice, a), _mean(choice, b))
        for a, b in zip(before.edits, after.edits, strict=True)
        if a and b
    ]
    change = mean_interval([b - a for a, b in pairs], seed)
    return (choice.name, _shown(choice, before), _shown(choice, after), *_change(choice, change))


def _mean(choice: Choice, edits: Sequence[ArcSelfEdit]) -> float:
    """On the choice's own scale: the logarithm where that is geometric."""
    values = map(choice.value, edits)
    return fmean(map(math.log, values) if choice.log else values)


def _shown(choice: Choice, own: Written) -> str:
    if not own.valid:
        return UNKNOWN
    mean = _mean(choice, own.valid)
    said = choice.form(math.exp(mean) if choice.log else mean)
    values = sorted(map(choice.value, own.valid))
    if choice.log and values[0] != values[-1]:
        said += f" ({choice.form(values[0])} to {choice.form(values[-1])})"
    return said


def _change(choice: Choice, change: Interval) -> tuple[str, str]:
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


def _plot(before: Written, after: Written) -> list[Plot]:
    points = {
        f"{name}, {state}": {
            place: count
            for place, (right, all_) in own.solved.items()
            if (count := right if state == "solved" else all_ - right)
        }
        for name, own in ((BEFORE, before), (AFTER, after))
        for state in ("not solved", "solved")
    }
    words = "Learning rates and epochs that the edits chose, before and after RL, solved and not"
    svg = log_scatter(points, "learning rate", "epochs", words)
    return [Plot(svg, words)] if svg else []
