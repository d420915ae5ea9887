"""Progress on stderr: lines in a log at growing intervals, and none with --quiet."""

from __future__ import annotations

import io
from typing import Annotated

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from selfedit.console.common import set_quiet, shown, status
from selfedit.console.progress import Lines, RichProgress


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def log():
    """A console on a file, as under nohup or in CI."""
    return Console(file=io.StringIO(), width=80)


def lines(console: Console) -> list[str]:
    return console.file.getvalue().splitlines()


def work(progress, clock, seconds: int, each: float) -> None:
    for _ in range(seconds):
        clock.now += 1
        progress.advance(each)


def test_a_stage_says_what_how_far_and_how_long_still(log, clock):
    with RichProgress(log, clock) as progress:
        progress.start("training", 400)
        work(progress, clock, 400, 1)
    assert lines(log) == [
        "training: 0 of 400",
        "training: 10 of 400, about 6 min 30 s left",
        "training: 30 of 400, about 6 min 10 s left",
        "training: 70 of 400, about 5 min 30 s left",
        "training: 130 of 400, about 4 min 30 s left",
        "training: 190 of 400, about 3 min 30 s left",
        "training: 250 of 400, about 2 min 30 s left",
        "training: 310 of 400, about 1 min 30 s left",
        "training: 370 of 400, about 30.0 s left",
        "training: 400 of 400, after 6 min 40 s",
    ]


def test_what_was_finished_before_does_not_count_as_pace(log, clock):
    progress = Lines(log, clock)
    progress.start("training", 200)
    progress.advance(100)  # found in the store
    work(progress, clock, 30, 1)
    assert lines(log)[-1] == "training: 130 of 200, about 1 min 10 s left"


def test_preparing_does_not_count_as_pace(log, clock):
    with RichProgress(log, clock) as progress:
        progress.start("training", 100)
        clock.now += 9.5
        work(progress, clock, 20, 1)
        work(progress, clock, 1, 1)
    assert lines(log)[1:3] == ["training: 1 of 100", "training: 21 of 100, about 1 min 19 s left"]


def test_without_any_advance_the_time_left_is_not_known(log, clock):
    progress = Lines(log, clock)
    progress.start("training", 4)
    work(progress, clock, 10, 0)
    assert lines(log)[-1] == "training: 0 of 4"


def test_parts_of_a_unit_add_up_to_the_end(log, clock):
    progress = Lines(log, clock)
    progress.start("training", 1)
    work(progress, clock, 3, 1 / 3)
    assert lines(log)[-1] == "training: 1 of 1, after 3.00 s"


def test_a_stage_that_is_broken_off_and_the_next_one(log, clock):
    with RichProgress(log, clock) as progress:
        progress.start("writing", 5)
        work(progress, clock, 2, 1)
        progress.start("nothing to do", 0)
        progress.start("training", 3)
    assert lines(log) == [
        "writing: 0 of 5",
        "writing: 2 of 5, after 2.00 s",
        "training: 0 of 3",
        "training: 0 of 3, after 0.00 s",
    ]


def test_notes_stand_in_the_next_line_and_warnings_at_once(log, clock):
    with RichProgress(log, clock) as progress:
        progress.start("training", 40)
        progress.note("round 2 of 3 [x]")
        progress.note("round 3 of 3 [x]")
        progress.warn("out of memory: " + "going on with waves of half as many self-edits " * 3)
        work(progress, clock, 10, 1)
    first, warning, later, _ = lines(log)
    assert first == "training: 0 of 40"
    assert warning.startswith("out of memory")
    assert len(warning) > 120  # not broken
    assert later == "training: 10 of 40, about 30.0 s left (round 3 of 3 [x])"


def test_a_terminal_gets_a_bar_and_no_lines(clock):
    terminal = Console(file=io.StringIO(), force_terminal=True, width=80)
    with RichProgress(terminal, clock) as progress:
        progress.start("training", 40)
        work(progress, clock, 20, 1)
    said = terminal.file.getvalue()
    assert "20/40" in said
    assert "20 of 40" not in said


def test_quiet_stops_all_but_warnings_until_the_command_ends(clock):
    stderr = io.StringIO()
    app = typer.Typer()

    @app.command()
    def command(
        terminal: bool = False,
        quiet: Annotated[bool, typer.Option("--quiet", callback=set_quiet)] = False,
    ) -> None:
        console = Console(file=stderr, force_terminal=terminal, width=80)
        with RichProgress(console, clock) as progress:
            progress.start("training", 40)
            work(progress, clock, 40, 1)
            progress.warn("half a wave")
        status("wrote it")

    def said(*options: str) -> str:
        stderr.seek(0)
        stderr.truncate()
        done = CliRunner().invoke(app, options, catch_exceptions=False)
        return stderr.getvalue() + done.stderr

    assert said("--quiet") == "half a wave\n"
    assert shown.progress
    assert "training" not in said("--quiet", "--terminal")
    loud = said()
    assert "training: 40 of 40" in loud
    assert "wrote it" in loud
