"""A grid of ARC: 1 to 30 rows of 1 to 30 cells, each a colour 0 to 9. Immutable."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

MAX_SIDE = 30
NUM_COLOURS = 10

# What the augmentations work on: [height, width], int8, values 0 to 9.
Cells = npt.NDArray[np.int8]


class MalformedGrid(ValueError):
    """Not a grid. The message is the reason, short enough for a trial's record."""


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """cells: [height, width], int8, 0 to 9, both sides 1 to 30; a private copy that cannot be written.
    key: the grid as bytes: equal exactly for equal grids, and the same in every process.

    Equal grids have equal hashes. Raises MalformedGrid if the cells are not a grid.
    """

    cells: Cells
    key: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        given = np.asarray(self.cells)
        if given.ndim != 2 or given.dtype.kind not in "iu":
            raise MalformedGrid("a grid is a table of whole numbers")
        height, width = given.shape
        if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
            raise MalformedGrid(f"{height} x {width} cells; each side is 1 to {MAX_SIDE}")
        if given.min() < 0 or given.max() >= NUM_COLOURS:
            raise MalformedGrid(f"a cell is not 0 to {NUM_COLOURS - 1}")
        cells = np.array(given, dtype=np.int8, order="C")
        cells.setflags(write=False)
        object.__setattr__(self, "cells", cells)
        object.__setattr__(self, "key", bytes(cells.shape) + cells.tobytes())

    @classmethod
    def of(cls, rows: object) -> Grid:
        """A grid from rows of whole numbers, as in JSON. Raises MalformedGrid with the place."""
        if not isinstance(rows, list | tuple):
            raise MalformedGrid("not a list of rows")
        if not 1 <= len(rows) <= MAX_SIDE:
            raise MalformedGrid(f"{len(rows)} rows; a grid has 1 to {MAX_SIDE}")
        for number, row in enumerate(rows, start=1):
            _check_row(number, row, rows[0])
        return cls(np.array(rows, dtype=np.int8))

    @property
    def height(self) -> int:
        return int(self.cells.shape[0])

    @property
    def width(self) -> int:
        return int(self.cells.shape[1])

    @property
    def size(self) -> int:
        """Number of cells."""
        return int(self.cells.size)

    def rows(self) -> list[list[int]]:
        """The cells as in JSON."""
        return self.cells.tolist()

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if isinstance(other, Grid) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.key)


def _check_row(number: int, row: object, first: object) -> None:
    if not isinstance(row, list | tuple):
        raise MalformedGrid(f"row {number} is not a list")
    if not 1 <= len(row) <= MAX_SIDE:
        raise MalformedGrid(f"row {number} has {len(row)} cells; a row has 1 to {MAX_SIDE}")
    assert isinstance(first, list | tuple), "the first row was checked first"
    if len(row) != len(first):
        raise MalformedGrid(f"ragged: row {number} has {len(row)} cells, row 1 has {len(first)}")
    for cell in row:
        # True is an int in Python, but not a colour.
        if type(cell) is not int or not 0 <= cell < NUM_COLOURS:
            raise MalformedGrid(f"row {number} has a cell that is not 0 to {NUM_COLOURS - 1}")
