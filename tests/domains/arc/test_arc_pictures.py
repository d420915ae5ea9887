"""Grids in the terminal and as SVG."""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.console import Console

from selfedit.domains.arc import ArcTask, Example, Grid
from selfedit.domains.arc.pictures import PALETTE, difference, grid_text, prediction_view, task_view
from selfedit.domains.arc.svg import examples_svg, prediction_svg, task_svg

ONE = Grid.of([[0, 1, 2], [3, 4, 5]])
OTHER = Grid.of([[0, 1], [3, 9], [6, 7]])
TASK = ArcTask("made", (Example(ONE, OTHER),), (ONE, OTHER), (OTHER, None))


def printed(what, width=100, color=None):
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=color is not None, color_system=color)
    console.print(what)
    return file.getvalue()


def test_a_grid_without_colours_is_numbers():
    assert printed(grid_text(ONE)) == " 0 1 2\n 3 4 5\n"
    assert printed(grid_text(ONE, narrow=True)) == "012\n345\n"


def test_every_cell_has_its_colour():
    text = printed(grid_text(Grid.of([list(range(10))])), color="truecolor")
    for number, colour in enumerate(PALETTE):
        red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
        assert re.search(rf"48;2;{red};{green};{blue}m {number}\x1b", text)
    assert len(set(PALETTE)) == 10


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_numbers_can_be_read():
    for cell, colour in enumerate(PALETTE):
        (span,) = grid_text(Grid.of([[cell]])).spans
        ink = luminance("#ffffff" if span.style.color.triplet.red else "#000000")
        high, low = sorted((ink, luminance(colour)), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5


def test_difference():
    """The last column is the prediction's alone, the last row the truth's; neither has their corner."""
    assert difference(ONE, OTHER).tolist() == [
        [False, False, True],
        [False, True, True],
        [True, True, False],
    ]
    assert not difference(ONE, ONE).any()
    assert difference(ONE, OTHER).tolist() == difference(OTHER, ONE).tolist()


def test_a_task():
    text = printed(task_view(TASK))
    assert [line.rstrip() for line in text.splitlines()] == [
        "input 1   output 1",
        " 0 1 2     0 1",
        " 3 4 5     3 9",
        "           6 7",
        "",
        "test input 1   test output 1",
        " 0 1 2          0 1",
        " 3 4 5          3 9",
        "                6 7",
        "",
        "test input 2   test output 2",
        " 0 1           unknown",
        " 3 9",
        " 6 7",
        "",
    ]
    assert "test output" not in printed(task_view(TASK, answers=False))


def test_a_prediction():
    text = printed(prediction_view(ONE, ONE, OTHER))
    assert [line.rstrip() for line in text.splitlines()] == [
        "input    prediction   truth   difference",
        " 0 1 2    0 1 2        0 1    ···· 2",
        " 3 4 5    3 4 5        3 9    ·· 4 5",
        "                       6 7     x x··",
    ]
    assert "no grid" in printed(prediction_view(ONE, None, OTHER))
    assert "unknown" in printed(prediction_view(ONE, ONE, None))
    assert "difference" not in printed(prediction_view(ONE, ONE, None))


@pytest.mark.parametrize("width", [200, 80, 60, 40, 30])
def test_large_grids_stay_whole_in_narrow_terminals(width):
    grid = Grid(np.arange(900).reshape(30, 30) % 10)
    task = ArcTask("large", (Example(grid, grid),), (), ())
    lines = printed(task_view(task), width).splitlines()
    assert max(map(len, lines)) <= width
    digits = "".join(re.findall(r"\d", "".join(line for line in lines if "put" not in line)))
    assert len(digits) == 2 * 900


NS = "{http://www.w3.org/2000/svg}"
SVGS = [
    task_svg(TASK),
    task_svg(TASK, answers=False),
    examples_svg(TASK.train, "x"),
    examples_svg((), "nothing"),
    prediction_svg(ONE, ONE, OTHER),
    prediction_svg(ONE, OTHER, OTHER),
    prediction_svg(ONE, None, OTHER),
    prediction_svg(ONE, ONE, None, '<b>&"\x1b'),
]


@pytest.mark.parametrize("svg", SVGS)
def test_svg_is_self_contained(svg):
    root = ElementTree.fromstring(svg)  # noqa: S314 (our own)
    assert root.tag == f"{NS}svg"
    title = root.find(f"{NS}title")
    assert title.text == root.get("aria-label")
    assert root.get("role") == "img"
    assert not re.search(r'href|url\(|<script|<style| id="|vector-effect', svg)
    left, top, width, height = map(float, root.get("viewBox").split())
    assert width > 1
    assert height > 1
    for group in root.iter(f"{NS}g"):
        x, y = map(float, re.findall(r"[\d.]+", group.get("transform"))[:2])
        assert left < x < left + width
        assert top < y < top + height


def painted(svg):
    """Colour of each unit square by (group, y, x), drawn back from the paths."""
    cells = {}
    for number, group in enumerate(ElementTree.fromstring(svg).iter(f"{NS}g")):  # noqa: S314
        for path in group.iter(f"{NS}path"):
            for x, y, run in re.findall(r"M(\d+) (\d+)h(\d+)v1h-\d+z", path.get("d")):
                for step in range(int(run)):
                    key = number, int(y), int(x) + step
                    assert key not in cells
                    cells[key] = path.get("fill")
    return cells


def test_svg_paints_every_cell_in_its_colour():
    cells = painted(task_svg(TASK))
    for number, grid in enumerate((ONE, OTHER, ONE, OTHER, OTHER)):
        for (y, x), cell in np.ndenumerate(grid.cells):
            assert cells.pop((number, y, x)) == PALETTE[cell]
    assert not cells


def test_svg_says_what_is_wrong():
    assert "Prediction: 5 wrong cells" in prediction_svg(ONE, ONE, OTHER)
    assert "Prediction: right" in prediction_svg(ONE, OTHER, OTHER)
    assert "task: no prediction" in prediction_svg(ONE, None, OTHER, "task")
    assert ">no grid<" in prediction_svg(ONE, None, OTHER)
    assert ">unknown<" in prediction_svg(ONE, ONE, None)
    assert prediction_svg(ONE, ONE, OTHER).count("l.6 .6m-.6 0l.6-.6") == 2 * 5
    assert "l.6 .6" not in prediction_svg(ONE, OTHER, OTHER)


def test_demonstrations_stand_side_by_side_as_far_as_there_is_room():
    small, wide = Grid.of([[1, 2]]), Grid.of([[1] * 30])
    for grid, per_row in ((small, 4), (wide, 1)):
        svg = examples_svg([Example(grid, grid)] * 5, "five")
        heights = [float(y) for y in re.findall(r'<text x="\d+" y="(\d+)">input', svg)]
        assert len(heights) == 5
        assert heights.count(heights[0]) == per_row
        assert float(re.search(r'viewBox="-1 -1 (\d+)', svg).group(1)) <= 750
