"""Small tasks of our own making, for models to which ARC's give nothing to reward.

A task is one rule (turn, mirror, recolour, crop, repeat, or two of them in a row) shown on three or
four pairs of small grids, and asked of one more. The tasks follow from the sizes of the grids, the
seed, the split and the number alone: nothing about them was chosen by what a model can do. A rule that
the demonstrations leave open is drawn again, so that every task has one answer among all the rules.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count

import numpy as np

from selfedit.domains.arc import augment
from selfedit.domains.arc.grids import Cells, Grid
from selfedit.domains.arc.sources import SPLITS, Split
from selfedit.domains.arc.tasks import ArcTask, Example
from selfedit.errors import InputError

NUM_TASKS = 200  # of a split
SMALLEST, LARGEST = 3, 5  # sides of an input grid, unless told otherwise
_LIMITS = (2, 10)
_COLOURS = 5  # of a task, at most
_ID = re.compile(r"mini-(\d{1,2})to(\d{1,2})-(\d{1,20})-(training|evaluation)-(\d{1,3})-")

Rule = Callable[[Cells], Cells]


class _Draw:
    """Whole numbers from a seed, the same with every version of Python and numpy."""

    def __init__(self, *seed: object) -> None:
        self._seed, self._number = repr(seed), 0

    def below(self, n: int) -> int:
        self._number += 1
        said = f"{self._seed} {self._number}".encode()
        return int.from_bytes(hashlib.blake2b(said, digest_size=8).digest(), "big") % n

    def between(self, low: int, high: int) -> int:
        return low + self.below(high - low + 1)

    def sample(self, of: Sequence[int], k: int) -> list[int]:
        left = list(of)
        return [left.pop(self.below(len(left))) for _ in range(k)]


@dataclass(frozen=True, slots=True)
class _Named:
    """family: rules of one family are drawn together."""

    name: str
    family: str
    rule: Rule


def _crop(top: int, left: int, bottom: int, right: int) -> Rule:
    """Without so many rows and columns at each side."""
    return lambda cells: cells[top : cells.shape[0] - bottom, left : cells.shape[1] - right]


def _half(axis: int, second: bool) -> Rule:
    def cut(cells: Cells) -> Cells:
        middle = -(-cells.shape[axis] // 2)
        whole = slice(None)
        part = slice(cells.shape[axis] - middle, None) if second else slice(0, middle)
        return cells[(part, whole) if axis == 0 else (whole, part)]

    return cut


def _tiled(down: int, right: int) -> Rule:
    return lambda cells: np.tile(cells, (down, right))


_TURNS = (
    _Named("rotate-90", "rotate", augment.rotate_90),
    _Named("rotate-180", "rotate", augment.rotate_180),
    _Named("rotate-270", "rotate", augment.rotate_270),
)
_MIRRORS = (
    _Named("mirror-left-right", "mirror", augment.flip_left_right),
    _Named("mirror-up-down", "mirror", augment.flip_up_down),
    _Named("transpose", "mirror", augment.transpose),
)
_CROPS = (
    _Named("crop-inner", "crop", _crop(1, 1, 1, 1)),
    _Named("crop-top-row", "crop", _crop(1, 0, 0, 0)),
    _Named("crop-bottom-row", "crop", _crop(0, 0, 1, 0)),
    _Named("crop-left-column", "crop", _crop(0, 1, 0, 0)),
    _Named("crop-right-column", "crop", _crop(0, 0, 0, 1)),
    _Named("upper-half", "crop", _half(0, False)),
    _Named("lower-half", "crop", _half(0, True)),
    _Named("left-half", "crop", _half(1, False)),
    _Named("right-half", "crop", _half(1, True)),
)
_REPEATS = (
    _Named("repeat-down", "repeat", _tiled(2, 1)),
    _Named("repeat-right", "repeat", _tiled(1, 2)),
    _Named("repeat-both", "repeat", _tiled(2, 2)),
    _Named("reflect-below", "repeat", augment.reflect_below),
    _Named("reflect-right", "repeat", augment.reflect_right),
)
_SHAPES = (*_TURNS, *_MIRRORS, *_CROPS, *_REPEATS)
_FAMILIES = ("rotate", "mirror", "recolour", "crop", "repeat", "combination")


def mini_tasks(
    split: Split, seed: int = 0, smallest: int = SMALLEST, largest: int = LARGEST
) -> list[ArcTask]:
    """The tasks of a split, by number; "all" is training and then evaluation. No task of one split has
    the demonstrations of another's. Raises InputError for sizes or a split that there are not."""
    low, high = _LIMITS
    if not low <= smallest <= largest <= high:
        raise InputError(f"--sizes {smallest}-{largest}: sides of {low} to {high}, the smaller first.")
    if split not in SPLITS:
        raise InputError(f"{split}: the splits are {', '.join(SPLITS)}.")
    parts = ("training", "evaluation") if split == "all" else (split,)
    return [_task(part, n, seed, smallest, largest) for part in parts for n in range(NUM_TASKS)]


def mini_task(task_id: str) -> ArcTask | None:
    """The task of that id; None if it is not the id of a small one."""
    match = _ID.match(task_id)
    if match is None:
        return None
    smallest, largest, seed, split, n = match.groups()
    if not _LIMITS[0] <= int(smallest) <= int(largest) <= _LIMITS[1] or int(n) >= NUM_TASKS:
        return None
    found = _task(split, int(n), int(seed), int(smallest), int(largest))
    return found if found.id == task_id else None


def sizes_of(text: str) -> tuple[int, int]:
    """ "3-5" as numbers. Raises InputError."""
    match = re.fullmatch(r"\s*(\d{1,2})(?:\s*-\s*(\d{1,2}))?\s*", text)
    if match is None:
        raise InputError(f"--sizes {text}: the sides of input grids, such as 3-5 or 4.")
    return int(match[1]), int(match[2] or match[1])


@cache
def _task(split: str, n: int, seed: int, smallest: int, largest: int) -> ArcTask:
    for attempt in count():
        draw = _Draw("mini", split, n, seed, smallest, largest, attempt)
        names, rule = _rule(draw)
        made = _pairs(draw, rule, smallest, largest)
        if made is not None:
            *train, asked = made
            task_id = f"mini-{smallest}to{largest}-{seed}-{split}-{n:03d}-{'+'.join(names)}"
            return ArcTask(task_id, tuple(train), (asked.input,), (asked.output,))
    raise AssertionError("count() does not end")


def _rule(draw: _Draw) -> tuple[list[str], list[_Named]]:
    """One rule, or two of different families."""
    family = _FAMILIES[draw.below(len(_FAMILIES))]
    if family != "combination":
        own = _of_family(draw, family)
        return [own.name], [own]
    first, second = (_FAMILIES[i] for i in draw.sample(range(len(_FAMILIES) - 1), 2))
    both = [_of_family(draw, first), _of_family(draw, second)]
    return [own.name for own in both], both


def _of_family(draw: _Draw, family: str) -> _Named:
    if family == "recolour":
        return _recolour(draw)
    known = [own for own in _SHAPES if own.family == family]
    return known[draw.below(len(known))]


def _recolour(draw: _Draw) -> _Named:
    """Two or three colours, each of which becomes another."""
    old = draw.sample(range(1, 10), draw.between(2, 3))
    table = np.arange(10, dtype=np.int8)
    for colour, becomes in zip(old, [*old[1:], old[0]], strict=True):
        table[colour] = becomes
    return _Named("recolour", "recolour", lambda cells: table[cells])


def _pairs(draw: _Draw, rules: Sequence[_Named], smallest: int, largest: int) -> list[Example] | None:
    """Demonstrations, and the pair that is asked for; None if they leave the rule open, or say nothing.

    All inputs of a task have one size, and their colours come from one small palette."""
    height, width = draw.between(smallest, largest), draw.between(smallest, largest)
    changed = [c for c in range(10) if any(_recolours(own, c) for own in rules)]
    others = [c for c in range(10) if c not in changed]
    palette = [*changed, *draw.sample(others, max(1, min(len(others), _COLOURS - len(changed))))]
    pairs: list[Example] = []
    for _ in range(draw.between(3, 4) + 1):
        cells = np.array(
            [[palette[draw.below(len(palette))] for _ in range(width)] for _ in range(height)],
            dtype=np.int8,
        )
        after = cells
        for own in rules:
            if min(after.shape) < 3 and own.family == "crop":
                return None
            after = own.rule(after)
        pairs.append(Example(Grid(cells), Grid(np.ascontiguousarray(after))))
    *train, asked = pairs
    inputs = {pair.input for pair in pairs}
    says_something = all(pair.input != pair.output for pair in pairs) and len(inputs) == len(pairs)
    return pairs if says_something and _is_clear(train, asked) else None


def _recolours(own: _Named, colour: int) -> bool:
    return own.family == "recolour" and int(own.rule(np.array([[colour]], np.int8))[0, 0]) != colour


def _is_clear(train: Sequence[Example], asked: Example) -> bool:
    """Whether all rules that fit the demonstrations (shapes, pairs of shapes, and a recolouring of
    their result) give the asked output."""
    for shape in _shapes():
        colours = _colours([(shape(pair.input.cells), pair.output.cells) for pair in train])
        if colours is None:
            continue
        found, wanted = shape(asked.input.cells), asked.output.cells
        if found.shape != wanted.shape:
            return False
        # A colour that no demonstration shows is not clear, either.
        both = zip(found.flat, wanted.flat, strict=True)
        if any(colours.get(int(a)) != int(b) for a, b in both):
            return False
    return True


def _colours(pairs: Sequence[tuple[Cells, Cells]]) -> dict[int, int] | None:
    """What each colour of the first grids is in the second ones; None if they do not fit."""
    known: dict[int, int] = {}
    for a, b in pairs:
        if a.shape != b.shape:
            return None
        for x, y in zip(a.flat, b.flat, strict=True):
            if known.setdefault(int(x), int(y)) != int(y):
                return None
    return known


@cache
def _shapes() -> tuple[Rule, ...]:
    """Every shape, and every two in a row, as far as they do not shrink a grid to nothing."""

    def both(first: Rule, second: Rule) -> Rule:
        return lambda cells: second(first(cells))

    alone: Iterator[Rule] = (own.rule for own in _SHAPES)
    two = (both(a.rule, b.rule) for a in _SHAPES for b in _SHAPES if a.family != b.family)
    return (augment.identity, *alone, *two)
