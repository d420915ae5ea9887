"""A task of ARC in a report."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from selfedit.domains.arc import ArcTask, Example, Grid
from selfedit.domains.arc.predict import Attempts
from selfedit.report.arc_task import task_section
from selfedit.report.html import render_page
from selfedit.report.markdown import page_markdown
from selfedit.report.page import Page, Plot

ONE, TWO, LARGE = Grid.of([[1, 2]]), Grid.of([[1, 3]]), Grid.of([[1, 2], [0, 0]])
SHOWN = (Example(ONE, TWO), Example(TWO, ONE))


def page(section):
    return Page("selfedit eval arc", "ARC", (), "", "", (section,))


def test_demonstrations_attempts_and_votes():
    task = ArcTask("<t>", SHOWN, (ONE, TWO, LARGE), (ONE, TWO, None))
    attempts = [
        Attempts(ONE, TWO, ((ONE, 5), (TWO, 2)), ("empty", "empty", "<cut> off")),
        Attempts(LARGE, None, ((LARGE, 1),)),
        Attempts(None, None, (), ("empty",) * 4),
    ]
    section = task_section(task, attempts)
    plots = [block for block in section.blocks if isinstance(block, Plot)]
    assert [plot.words for plot in plots] == [
        "2 demonstrations",
        "Test input 1, first attempt: right",
        "Test input 1, second attempt: 1 wrong cell",
        "Test input 2, first attempt: 2 x 2 instead of 1 x 2",
        "Test input 3, first attempt: no grid",
    ]
    for plot in plots:
        ET.fromstring(plot.svg)  # noqa: S314 - our own
    assert section.blocks[-1].rows == (
        ("test input 1", "right (5 of 7 votes)", "1 wrong cell (2 of 7 votes)", "5", "2",
         "3: empty (2); <cut> off (1)"),
        ("test input 2", "2 x 2 instead of 1 x 2 (1 of 1 vote)", "no grid", "0", "1", "0"),
        ("test input 3", "no grid", "no grid", "unknown", "0", "4: empty (4)"),
    )  # fmt: skip
    html = render_page(page(section))
    assert html.count("<svg ") == len(plots)
    assert "&lt;cut&gt; off" in html
    assert "<cut>" not in html
    assert "first attempt: right" in re.sub(r"<title>.*?</title>|aria-label=\"[^\"]*\"", "", html)
    assert "Test input 2, first attempt: 2 x 2 instead of 1 x 2" in page_markdown(page(section))


def test_attempts_read_from_a_submission_have_no_votes():
    section = task_section(ArcTask("t", SHOWN, (ONE,), (TWO,)), [Attempts(TWO, ONE)], "Mine", True)
    assert (section.heading, section.folded) == ("Mine", True)
    assert section.blocks[-1].rows[0][1:3] == ("right", "1 wrong cell")
