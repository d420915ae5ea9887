"""Augmentations: small pure functions from cells to cells, in the paper's four groups.

Cells are [height, width], int8. A function may return a view, and cells larger than 30 on a side;
`training_set.py`, which makes grids of them, drops those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from selfedit.domains.arc.grids import NUM_COLOURS, Cells
from selfedit.domains.arc.settings import ArcGroup

GridFunction = Callable[[Cells], Cells]


def identity(cells: Cells) -> Cells:
    return cells


def rotate_90(cells: Cells) -> Cells:
    """Anticlockwise: the right column becomes the top row."""
    return np.rot90(cells)


def rotate_180(cells: Cells) -> Cells:
    return np.rot90(cells, 2)


def rotate_270(cells: Cells) -> Cells:
    """Anticlockwise, which is clockwise by 90: the left column becomes the top row."""
    return np.rot90(cells, 3)


def flip_up_down(cells: Cells) -> Cells:
    return cells[::-1, :]


def flip_left_right(cells: Cells) -> Cells:
    return cells[:, ::-1]


def transpose(cells: Cells) -> Cells:
    return cells.T


def reflect_below(cells: Cells) -> Cells:
    """The grid with its mirror image below it: [2 * height, width]."""
    return np.concatenate((cells, flip_up_down(cells)), axis=0)


def reflect_above(cells: Cells) -> Cells:
    """The grid with its mirror image above it."""
    return np.concatenate((flip_up_down(cells), cells), axis=0)


def reflect_right(cells: Cells) -> Cells:
    """The grid with its mirror image on the right: [height, 2 * width]."""
    return np.concatenate((cells, flip_left_right(cells)), axis=1)


def reflect_left(cells: Cells) -> Cells:
    """The grid with its mirror image on the left."""
    return np.concatenate((flip_left_right(cells), cells), axis=1)


def translate(cells: Cells, down: int, right: int) -> Cells:
    """Rolled along both axes: what leaves on one side enters on the other."""
    return np.roll(cells, (down, right), axis=(0, 1))


def double(cells: Cells) -> Cells:
    """Each cell becomes 2 x 2 cells."""
    return double_width(double_height(cells))


def double_height(cells: Cells) -> Cells:
    """Each cell becomes two, one below the other."""
    return np.repeat(cells, 2, axis=0)


def double_width(cells: Cells) -> Cells:
    """Each cell becomes two, side by side."""
    return np.repeat(cells, 2, axis=1)


def repeat_height(cells: Cells) -> Cells:
    """The grid twice, one below the other."""
    return np.tile(cells, (2, 1))


def repeat_width(cells: Cells) -> Cells:
    """The grid twice, side by side."""
    return np.tile(cells, (1, 2))


def repeat_both(cells: Cells) -> Cells:
    """The grid four times, as 2 x 2."""
    return np.tile(cells, (2, 2))


def recolour(cells: Cells, colours: Sequence[int]) -> Cells:
    """Colour c becomes colours[c]; colours: a permutation of 0 to 9."""
    assert sorted(colours) == list(range(NUM_COLOURS)), "a permutation of the colours"
    return np.array(colours, dtype=np.int8)[cells]


# Those that lose nothing: voting asks each transformed query and undoes it in the answer.
INVERTIBLE: dict[str, GridFunction] = {
    "identity": identity,
    "rotate-90": rotate_90,
    "rotate-180": rotate_180,
    "rotate-270": rotate_270,
    "flip-up-down": flip_up_down,
    "flip-left-right": flip_left_right,
    "transpose": transpose,
}
INVERSE: dict[str, str] = {name: name for name in INVERTIBLE} | {
    "rotate-90": "rotate-270",
    "rotate-270": "rotate-90",
}


def _then_double(first: GridFunction) -> GridFunction:
    return lambda cells: double(first(cells))


_TURNS = {name: function for name, function in INVERTIBLE.items() if name != "identity"}

# The groups of arXiv 2506.10943, section 4.2, without the random translation of `basic`: its shift is
# drawn for each set of demonstrations (`training_set.py`).
GROUPS: dict[ArcGroup, dict[str, GridFunction]] = {
    "basic": _TURNS
    | {
        "reflect-below": reflect_below,
        "reflect-above": reflect_above,
        "reflect-right": reflect_right,
        "reflect-left": reflect_left,
    },
    "size": {"double": double, "double-height": double_height, "double-width": double_width},
    "chain": {f"{name}-double": _then_double(function) for name, function in _TURNS.items()},
    "repeat": {
        "repeat-height": repeat_height,
        "repeat-width": repeat_width,
        "repeat-both": repeat_both,
    },
}


def augmentations(groups: Iterable[ArcGroup]) -> dict[str, GridFunction]:
    """Name to function of all in the groups, in one order however the groups are named."""
    chosen = set(groups)
    return {
        name: function
        for group, members in GROUPS.items()
        if group in chosen
        for name, function in members.items()
    }
