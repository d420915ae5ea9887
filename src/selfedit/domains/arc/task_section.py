"""A task of ARC in a report: its demonstrations, and what was predicted beside what is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from selfedit.domains.arc.grids import Grid
from selfedit.domains.arc.pictures import NO_GRID, difference
from selfedit.domains.arc.predict import Attempts
from selfedit.domains.arc.svg import examples_svg, prediction_svg
from selfedit.domains.arc.tasks import ArcTask
from selfedit.show.page import Block, Notes, Plot, Section
from selfedit.show.wording import plural


def task_section(
    task: ArcTask,
    predictions: Mapping[str, Sequence[Attempts]],
    heading: str = "",
    folded: bool = False,
    notes: Sequence[str] = (),
) -> Section:
    """The pictures of a task and of what was predicted for it.

    predictions: by whom or what, the attempts at each test input. heading: what stands above, where it
    is not the task's id alone.
    """
    shown = plural(len(task.train), "demonstration")
    blocks: list[Block] = [Plot(examples_svg(task.train, f"{task.id}: {shown}"), shown)]
    malformed = []
    for name, attempts in predictions.items():
        assert len(attempts) == len(task.test_inputs), "attempts at each test input"
        for place, (given, own, truth) in enumerate(
            zip(task.test_inputs, attempts, task.test_outputs, strict=True), start=1
        ):
            where = f"{name}, test input {place}"
            blocks += _predictions(where, given, own, truth)
            malformed += [f"{where}: {reason}" for reason in own.malformed]
    if lines := (*notes, *malformed):
        blocks.append(Notes(lines))
    return Section(heading or f"Task {task.id}", tuple(blocks), folded, in_terminal=False)


def _predictions(where: str, given: Grid, own: Attempts, truth: Grid | None) -> list[Block]:
    """The first attempt, also where there is none; the second where there is one."""
    if own.second is None:
        made = [("", own.first)]
    else:
        made = [("first attempt", own.first), ("second attempt", own.second)]
    plots: list[Block] = []
    for which, grid in made:
        name = f"{where}, {which}" if which else where
        said = _outcome(grid, truth)
        svg = prediction_svg(given, grid, truth, name, (where, f"{which}: {said}" if which else said))
        plots.append(Plot(svg, f"{name}: {said}"))
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
