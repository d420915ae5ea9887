"""A task of ARC in a report: its demonstrations, and what was predicted beside what is right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from selfedit.domains.arc.grids import Grid
from selfedit.domains.arc.pictures import NO_GRID, UNKNOWN, difference
from selfedit.domains.arc.predict import Attempts
from selfedit.domains.arc.svg import examples_svg, prediction_svg
from selfedit.domains.arc.tasks import ArcTask
from selfedit.report.page import Block, Plot, Section, Table
from selfedit.report.wording import plural

MOST_REASONS = 3


def task_section(
    task: ArcTask, attempts: Sequence[Attempts], heading: str = "", folded: bool = False
) -> Section:
    """The pictures of a task and its attempts, one for each test input, and how they came about.

    heading: what stands above, where it is not the task's id alone.
    """
    assert len(attempts) == len(task.test_inputs), "attempts at each test input"
    shown = plural(len(task.train), "demonstration")
    blocks: list[Block] = [Plot(examples_svg(task.train, f"{task.id}: {shown}"), shown)]
    for place, (given, own, truth) in enumerate(
        zip(task.test_inputs, attempts, task.test_outputs, strict=True), start=1
    ):
        blocks += _predictions(f"Test input {place}", given, own, truth)
    blocks.append(_table(task, attempts))
    return Section(heading or f"Task {task.id}", tuple(blocks), folded)


def _predictions(name: str, given: Grid, own: Attempts, truth: Grid | None) -> list[Block]:
    """The first attempt, also where there is none; the second where there is one."""
    made = [("first", own.first), *([("second", own.second)] if own.second is not None else [])]
    plots: list[Block] = []
    for which, grid in made:
        said = f"{which} attempt: {_outcome(grid, truth)}"
        svg = prediction_svg(given, grid, truth, f"{name}, {which} attempt", (name.lower(), said))
        plots.append(Plot(svg, f"{name}, {said}"))
    return plots


def _outcome(grid: Grid | None, truth: Grid | None) -> str:
    if grid is None:
        return NO_GRID
    if truth is None:
        return "a grid"
    if grid == truth:
        return "right"
    if (grid.height, grid.width) != (truth.height, truth.width):
        return f"{grid.height} x {grid.width} instead of {truth.height} x {truth.width}"
    return plural(int(difference(grid, truth).sum()), "wrong cell")


def _table(task: ArcTask, attempts: Sequence[Attempts]) -> Table:
    rows = []
    for place, (own, truth) in enumerate(zip(attempts, task.test_outputs, strict=True), start=1):
        votes = dict(own.votes)
        cast = sum(votes.values())
        first, second = (_voted(grid, truth, votes, cast) for grid in (own.first, own.second))
        right = f"{votes.get(truth, 0)}" if truth is not None else UNKNOWN
        rows.append(
            (f"test input {place}", first, second, right, f"{len(votes)}", _malformed(own.malformed))
        )
    headings = ("", "first attempt", "second attempt", "votes for the truth", "grids", "no grid")
    return Table(headings, tuple(rows), "The vote over the views of each test input")


def _voted(grid: Grid | None, truth: Grid | None, votes: dict[Grid, int], cast: int) -> str:
    if grid is None or grid not in votes:
        return _outcome(grid, truth)
    return f"{_outcome(grid, truth)} ({votes[grid]} of {plural(cast, 'vote')})"


def _malformed(reasons: Sequence[str]) -> str:
    """How many answers were no grid, and the commonest reasons."""
    if not reasons:
        return "0"
    counts = Counter(reasons).most_common()
    said = "; ".join(f"{reason} ({n})" for reason, n in counts[:MOST_REASONS])
    return f"{len(reasons):,}: {said}{'; …' if len(counts) > MOST_REASONS else ''}"
