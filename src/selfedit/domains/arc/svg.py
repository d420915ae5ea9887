"""Grids as SVG: self-contained elements in a page's own text colour, the same bytes every time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt

from selfedit.domains.arc.grids import Grid
from selfedit.domains.arc.pictures import NO_GRID, PALETTE, UNKNOWN, difference
from selfedit.domains.arc.tasks import ArcTask, Example
from selfedit.show.page import CONTROL_CHARACTERS

# In units of the viewBox: pixels, if the picture is not scaled.
CELL = 12
SMALLEST = 96  # a picture of few cells gets larger cells, up to this width or height
LARGEST_CELL = 24
CAPTION = 18
GAP = 24
WIDEST = 720  # if there is a choice
_LINE = "#808080"  # between cells: seen on black and on white
_CROSS = "#ff00c8"


@dataclass(frozen=True, slots=True)
class Picture:
    """A grid with its caption, or words in place of it.

    wrong: cells to strike out, [height, width], at least as large as the grid. The others are faded.
    """

    caption: str
    grid: Grid | str
    wrong: npt.NDArray[np.bool_] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        if self.wrong is not None:
            return int(self.wrong.shape[0]), int(self.wrong.shape[1])
        return (self.grid.height, self.grid.width) if isinstance(self.grid, Grid) else (3, 5)


def _said(text: str) -> str:
    """Text as XML holds it, which has no control characters."""
    return escape(CONTROL_CHARACTERS.sub("\N{REPLACEMENT CHARACTER}", text))


def task_svg(task: ArcTask, answers: bool = True) -> str:
    """A row for each demonstration and, below them, for each test input."""
    rows = _example_rows(task.train)
    for number, (given, wanted) in enumerate(
        zip(task.test_inputs, task.test_outputs, strict=True), start=1
    ):
        row = [Picture(f"test input {number}", given)]
        if answers:
            row.append(Picture(f"test output {number}", wanted or UNKNOWN))
        rows.append(row)
    return _svg(rows, f"ARC task {task.id}: {len(task.train)} demonstrations")


def examples_svg(examples: Sequence[Example], title: str) -> str:
    """The demonstrations, each as input and output; as many side by side as fit into WIDEST."""
    rows: list[list[Picture]] = []
    for pair in _example_rows(examples):
        if rows and _width([*rows[-1], *pair]) <= WIDEST:
            rows[-1] += pair
        else:
            rows.append(pair)
    return _svg(rows, title)


def prediction_svg(
    given: Grid,
    prediction: Grid | None,
    truth: Grid | None,
    title: str = "",
    captions: tuple[str, str] = ("input", "prediction"),
) -> str:
    """A query beside what was answered, what is right, and where they differ.

    prediction: None if the answer was not a grid. truth: None if it is unknown. captions: of the query
    and of the prediction.
    """
    row = [
        Picture(captions[0], given),
        Picture(captions[1], prediction or NO_GRID),
        Picture("truth", truth or UNKNOWN),
    ]
    said = "no prediction" if prediction is None else "not known whether right"
    if prediction is not None and truth is not None:
        wrong = difference(prediction, truth)
        row.append(Picture("difference", prediction, wrong))
        count = int(wrong.sum())
        said = f"{count} wrong cells" if count else "right"
    return _svg([row], f"{title or 'Prediction'}: {said}")


def _example_rows(examples: Sequence[Example]) -> list[list[Picture]]:
    return [
        [Picture(f"input {number}", example.input), Picture(f"output {number}", example.output)]
        for number, example in enumerate(examples, start=1)
    ]


def _svg(rows: Sequence[Sequence[Picture]], title: str) -> str:
    """Rows of pictures, each row as high as its highest."""
    parts: list[str] = []
    top, right = 0, 1
    for row in rows:
        captions = CAPTION if any(picture.caption for picture in row) else 0
        left, highest = 0, 0
        for picture in row:
            cell = _cell(picture)
            if picture.caption:
                parts.append(f'<text x="{left}" y="{top + 12}">{_said(picture.caption)}</text>')
            parts.append(_drawn(picture, left, top + captions, cell))
            left += _width([picture])
            highest = max(highest, picture.shape[0] * cell)
        top += captions + highest + GAP
        right = max(right, left - GAP)
    height = max(top - GAP, 1)
    name = _said(title)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-1 -1 {right + 2} {height + 2}" '
        f'width="{right + 2}" height="{height + 2}" role="img" aria-label="{name}" '
        'font-family="system-ui, sans-serif" font-size="12" fill="currentColor" '
        f'style="width:{right + 2}px;max-width:100%;height:auto"><title>{name}</title>'
        f"{''.join(parts)}</svg>"
    )


def _width(row: Sequence[Picture]) -> int:
    """With the gaps. Captions are not measured; seven units per letter are more than any takes."""
    return sum(
        max(picture.shape[1] * _cell(picture), 7 * len(picture.caption)) + GAP for picture in row
    )


def _cell(picture: Picture) -> int:
    """Side of a cell, in units."""
    return max(CELL, min(LARGEST_CELL, SMALLEST // max(picture.shape)))


def _drawn(picture: Picture, left: int, top: int, cell: int) -> str:
    height, width = picture.shape
    frame = f'<g transform="translate({left} {top}) scale({cell})">'
    if isinstance(picture.grid, str):
        middle = f'x="{width / 2}" y="{height / 2}" font-size="{12 / cell:g}" text-anchor="middle"'
        box = f'<path d="M0 0h{width}v{height}h-{width}z" fill="none" {_stroke(_LINE, 1 / cell)}/>'
        return f"{frame}{box}<text {middle}>{_said(picture.grid)}</text></g>"
    colours = _colours(picture.grid, picture.wrong)
    crosses = "" if picture.wrong is None else _crosses(picture.wrong, cell)
    return f"{frame}{colours}{_lattice(height, width, cell)}{crosses}</g>"


def _stroke(colour: str, cells: float) -> str:
    """cells: the stroke's width; not every viewer knows strokes that do not scale."""
    return f'stroke="{colour}" stroke-width="{cells:.3g}"'


def _lattice(height: int, width: int, cell: int) -> str:
    across = "".join(f"M0 {y}h{width}" for y in range(height + 1))
    down = "".join(f"M{x} 0v{height}" for x in range(width + 1))
    return f'<path d="{across}{down}" fill="none" {_stroke(_LINE, 1 / cell)}/>'


def _colours(grid: Grid, wrong: npt.NDArray[np.bool_] | None) -> str:
    """One path per colour, of runs of cells in a row; cells that are not wrong are faded."""
    runs: dict[tuple[int, bool], list[str]] = {}
    for y, row in enumerate(grid.rows()):
        keys = [(cell, wrong is not None and not wrong[y, x]) for x, cell in enumerate(row)]
        start = 0
        for x in range(1, len(keys) + 1):
            if x == len(keys) or keys[x] != keys[start]:
                run = f"M{start} {y}h{x - start}v1h-{x - start}z"
                runs.setdefault(keys[start], []).append(run)
                start = x
    paths = []
    for (colour, faded), parts in sorted(runs.items()):
        opacity = ' opacity="0.2"' if faded else ""
        paths.append(f'<path d="{"".join(parts)}" fill="{PALETTE[colour]}"{opacity}/>')
    return "".join(paths)


def _crosses(wrong: npt.NDArray[np.bool_], cell: int) -> str:
    marks = "".join(
        f"M{x + 0.2:g} {y + 0.2:g}l.6 .6m-.6 0l.6-.6" for y, x in np.argwhere(wrong).tolist()
    )
    # White under the colour, so that the mark is seen on every cell.
    return (
        f'<path d="{marks}" fill="none" {_stroke("#ffffff", 4 / cell)}/>'
        f'<path d="{marks}" fill="none" {_stroke(_CROSS, 2 / cell)}/>'
        if marks
        else ""
    )
