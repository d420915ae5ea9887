"""A task of ARC in a report."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from selfedit.domains.arc import ArcTask, Example, Grid
from selfedit.domains.arc.predict import Attempts
from selfedit.domains.arc.task_section import task_section
from selfedit.show.html import render_page
from selfedit.show.markdown import page_markdown
from selfedit.show.page import Page, Plot

ONE, TWO, LARGE = Grid.of([[1, 2]]), Grid.of([[1, 3]]), Grid.of([[1, 2], [0, 0]])
SHOWN = (Example(ONE, TWO), Example(TWO, ONE))


def page(section):
    return Page("selfedit eval arc", "ARC", (), "", "", (section,))


def test_demonstrations_and_attempts():
    task = ArcTask("<t>", SHOWN, (ONE, TWO, LARGE), (ONE, TWO, None))
    attempts = [
        Attempts(ONE, TWO),
        Attempts(LARGE, None),
        Attempts(None, None, (), ("no grid: <cut> off",)),
    ]
    section = task_section(task, {"<ttt>": attempts}, notes=["a note"])
    plots = [block for block in section.blocks if isinstance(block, Plot)]
    assert [plot.words for plot in plots] == [
        "2 demonstrations",
        "<ttt>, test input 1, first attempt: right",
        "<ttt>, test input 1, second attempt: 1 wrong cell",
        "<ttt>, test input 2: 2 x 2 instead of 1 x 2",
        "<ttt>, test input 3: no grid",
    ]
    for plot in plots:
        ET.fromstring(plot.svg)  # noqa: S314 - our own
    assert section.blocks[-1].lines == ("a note", "<ttt>, test input 3: no grid: <cut> off")
    html = render_page(page(section))
    assert html.count("<svg ") == len(plots)
    assert "&lt;cut&gt; off" in html
    assert "<cut>" not in html
    assert "<ttt>" not in html
    assert "first attempt: right" in re.sub(r"<title>.*?</title>|aria-label=\"[^\"]*\"", "", html)
    assert "test input 2: 2 x 2 instead of 1 x 2" in page_markdown(page(section))


def test_the_truth_is_drawn_where_it_is_known():
    for truth, said in ((TWO, "truth"), (None, "unknown")):
        section = task_section(ArcTask("t", SHOWN, (ONE,), (truth,)), {"a": [Attempts(TWO, None)]})
        assert said in section.blocks[1].svg
        assert ("difference" in section.blocks[1].svg) is (truth is not None)
    assert section.heading == "Task t"
    again = task_section(ArcTask("t", SHOWN, (ONE,), (TWO,)), {}, "Mine", True)
    assert (again.heading, again.folded) == ("Mine", True)
