"""Grids in colour in the terminal, and what a prediction got wrong."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.style import Style
from rich.table import Table
from rich.text import Text

from selfedit.domains.arc.grids import Grid
from selfedit.domains.arc.tasks import ArcTask, Example

# The ten colours in which ARC is usually shown, by their number.
PALETTE = (
    "#000000", "#0074d9", "#ff4136", "#2ecc40", "#ffdc00",
    "#aaaaaa", "#f012be", "#ff851b", "#7fdbff", "#870c25",
)  # fmt: skip
_INK = ("#ffffff", "#000000")
_DARK = frozenset({0, 1, 9})  # colours on which white is read better than black
_NOTHING = "··"
UNKNOWN = "unknown"
NO_GRID = "no grid"

# A grid, or (prediction, truth) for their difference, or words in place of a grid.
Picture = Grid | tuple[Grid, Grid] | str
Panel = tuple[str, Picture]


def difference(prediction: Grid, truth: Grid) -> npt.NDArray[np.bool_]:
    """True where two grids differ or only one has a cell: [larger height, larger width]."""
    shape = (max(prediction.height, truth.height), max(prediction.width, truth.width))
    padded = np.full((2, *shape), -1, dtype=np.int8)
    for layer, grid in zip(padded, (prediction, truth), strict=True):
        layer[: grid.height, : grid.width] = grid.cells
    wrong: npt.NDArray[np.bool_] = padded[0] != padded[1]
    return wrong


def grid_text(grid: Grid, narrow: bool = False) -> Text:
    """Two characters per cell (one if narrow): the colour's number on the colour.

    The number is for eyes and terminals that do not see colours.
    """
    pad = "" if narrow else " "
    return _lines([(f"{pad}{cell}", _style(cell)) for cell in row] for row in grid.rows())


def difference_text(prediction: Grid, truth: Grid, narrow: bool = False) -> Text:
    """The wrong cells as predicted, "x" where the prediction has no cell; dots where it is right."""
    blank = _NOTHING[: 1 if narrow else 2]
    wrong = difference(prediction, truth)
    rows = prediction.rows()

    def cell(y: int, x: int) -> tuple[str, Style]:
        if not wrong[y, x]:
            return blank, Style(dim=True)
        if y < prediction.height and x < prediction.width:
            return f"{'' if narrow else ' '}{rows[y][x]}", _style(rows[y][x])
        return ("x" if narrow else " x"), Style(color="red", bold=True)

    return _lines([cell(y, x) for x in range(wrong.shape[1])] for y in range(wrong.shape[0]))


class Panels:
    """Grids with captions, as many side by side as fit the terminal, the rest below."""

    def __init__(self, panels: Iterable[Panel]) -> None:
        self.panels = list(panels)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        drawn = [(caption, *_draw(picture, options.max_width)) for caption, picture in self.panels]
        row: list[tuple[str, Text, int]] = []
        used = 0
        for caption, picture, columns in drawn:
            width = max(columns, len(caption))
            if row and used + 3 + width > options.max_width:
                yield _side_by_side(row)
                row, used = [], 0
            row.append((caption, picture, width))
            used += width + (3 if used else 0)
        if row:
            yield _side_by_side(row)


def examples_view(examples: Iterable[Example]) -> Group:
    """Demonstrations, one below the other, each as input and output."""
    parts: list[RenderableType] = []
    for number, example in enumerate(examples, start=1):
        parts += [
            Panels([(f"input {number}", example.input), (f"output {number}", example.output)]),
            "",
        ]
    return Group(*parts)


def task_view(task: ArcTask, answers: bool = True) -> Group:
    """A task: its demonstrations, then its test inputs and, with answers, their outputs."""
    tests: list[RenderableType] = []
    for number, given in enumerate(task.test_inputs, start=1):
        panels: list[Panel] = [(f"test input {number}", given)]
        if answers:
            panels.append((f"test output {number}", task.test_outputs[number - 1] or UNKNOWN))
        tests += [Panels(panels), ""]
    return Group(examples_view(task.train), *tests)


def prediction_view(given: Grid, prediction: Grid | None, truth: Grid | None) -> Panels:
    """A query beside what was answered, what is right, and where they differ.

    prediction: None if the answer was not a grid. truth: None if it is unknown.
    """
    panels: list[Panel] = [
        ("input", given),
        ("prediction", prediction or NO_GRID),
        ("truth", truth or UNKNOWN),
    ]
    if prediction is not None and truth is not None:
        panels.append(("difference", (prediction, truth)))
    return Panels(panels)


def _style(cell: int) -> Style:
    return Style(color=_INK[0 if cell in _DARK else 1], bgcolor=PALETTE[cell])


def _lines(rows: Iterable[list[tuple[str, Style]]]) -> Text:
    text = Text(no_wrap=True, overflow="crop")
    for number, row in enumerate(rows):
        if number:
            text.append("\n")
        for characters, style in row:
            text.append(characters, style)
    return text


def _draw(picture: Picture, max_width: int) -> tuple[Text, int]:
    """(text, columns) of a picture; one character per cell where two do not fit."""
    if isinstance(picture, str):
        return Text(picture, style="dim"), len(picture)
    if isinstance(picture, Grid):
        narrow = 2 * picture.width > max_width
        return grid_text(picture, narrow), picture.width * (1 if narrow else 2)
    prediction, truth = picture
    width = max(prediction.width, truth.width)
    narrow = 2 * width > max_width
    return difference_text(prediction, truth, narrow), width * (1 if narrow else 2)


def _side_by_side(row: list[tuple[str, Text, int]]) -> Table:
    table = Table.grid(padding=(0, 3, 0, 0), pad_edge=False)
    for _, _, width in row:
        table.add_column(width=width, no_wrap=True)
    table.add_row(*(Text(caption, style="dim") for caption, _, _ in row))
    table.add_row(*(picture for _, picture, _ in row))
    return table
