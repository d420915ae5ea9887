"""Which tasks of ARC a command works on: options that its commands share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from selfedit.errors import InputError

if TYPE_CHECKING:
    from selfedit.config import ArcOuterSettings
    from selfedit.domains.arc import ArcTask
    from selfedit.domains.arc.sources import Dataset, Split
    from selfedit.model import Model
    from selfedit.types import Task

_TASKS = "Tasks"

TasksOption = Annotated[
    Path | None,
    typer.Option(
        "--tasks", help="A JSON file or folder of ARC, in place of a dataset.", rich_help_panel=_TASKS
    ),
]
SolutionsOption = Annotated[
    Path | None,
    typer.Option(help="The test outputs that belong to a file.", rich_help_panel=_TASKS),
]
DatasetOption = Annotated[str, typer.Option(help="arc-agi-1 or arc-agi-2.", rich_help_panel=_TASKS)]
SplitOption = Annotated[str, typer.Option(help="training, evaluation or all.", rich_help_panel=_TASKS)]
IdsOption = Annotated[
    str | None,
    typer.Option(
        help="paper-filtered, a file of ids (`selfedit arc solvable` writes one), or ids with commas.",
        rich_help_panel=_TASKS,
    ),
]
FilterOption = Annotated[
    list[str] | None,
    typer.Option(
        "--filter", help="max-tokens=N or max-cells=N, of the prompt.", rich_help_panel=_TASKS
    ),
]
LimitOption = Annotated[
    int | None, typer.Option(min=1, help="The first N of these tasks.", rich_help_panel=_TASKS)
]
ArcPresetOption = Annotated[str, typer.Option(help="arc-paper or arc-small.")]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Tasks, and what has to be told of how they were chosen."""

    tasks: list[Task]
    notes: tuple[str, ...]


def choose_tasks(
    model: Model,
    settings: ArcOuterSettings,
    tasks: Path | None,
    solutions: Path | None,
    dataset: str,
    split: str,
    ids: str | None,
    filters: list[str] | None,
    limit: int | None,
) -> Chosen:
    """The tasks that the options name, in the settings' form of grids. Raises InputError."""
    from selfedit.domains.arc import longest_prompt, parse_filter, parse_ids, select
    from selfedit.domains.arc.domain import to_task
    from selfedit.domains.arc.selection import PAPER_FILTERED
    from selfedit.domains.arc.sources import load_dataset, read_tasks

    if tasks is not None:
        found = read_tasks(tasks, solutions)
    elif solutions is not None:
        raise InputError("--solutions belongs to a file of challenges; name it with --tasks")
    else:
        found = load_dataset(cast("Dataset", dataset), cast("Split", split))
    form = settings.inner.arc.grid

    def count(task: ArcTask) -> int:
        return longest_prompt(task, model.count_tokens, form)

    chosen = parse_ids(ids, cast("Split", split)) if ids is not None else None
    kept = select(found, chosen, [parse_filter(text) for text in filters or ()], count)[:limit]
    notes = [f"tasks were filtered: {text}" for text in filters or ()]
    if ids == PAPER_FILTERED:
        notes.append("tasks were filtered: those that the paper's own model solves under its oracle")
    elif ids is not None and Path(ids).is_file():
        notes += _comments(Path(ids))
    return Chosen([to_task(task, form) for task in kept], tuple(notes))


def scorable(chosen: Chosen) -> Chosen:
    """Without the tasks that have a test input whose output is unknown. Raises InputError."""
    from selfedit.domains.arc.domain import is_known

    known = [task for task in chosen.tasks if is_known(task)]
    if not known:
        raise InputError("no task has test outputs, so nothing can be scored; see --solutions")
    left_out = len(chosen.tasks) - len(known)
    note = (f"{left_out} tasks without known test outputs were left out",) if left_out else ()
    return Chosen(known, (*chosen.notes, *note))


def _comments(path: Path) -> list[str]:
    """What a file of ids says of itself, in the lines that begin with #."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.lstrip("# ").strip() for line in lines if line.startswith("#") and line.strip("# ")]
