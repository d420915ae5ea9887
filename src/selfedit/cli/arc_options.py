"""Options that the commands about ARC share: which tasks, how they are learned, and what they mean."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from selfedit.errors import InputError

if TYPE_CHECKING:
    from selfedit.domains.arc import ArcTask, sources
    from selfedit.domains.arc.settings import ArcOuterSettings
    from selfedit.seams import Model
    from selfedit.types import Task

# Which tasks.
Tasks = Annotated[
    Path | None,
    typer.Option("--tasks", help="A JSON file or folder of ARC, in place of a dataset."),
]
Solutions = Annotated[
    Path | None, typer.Option("--solutions", help="The test outputs that belong to a file.")
]
Dataset = Annotated[str, typer.Option("--dataset", help="arc-agi-1 or arc-agi-2.")]
Split = Annotated[str, typer.Option("--split", help="training, evaluation or all.")]
Ids = Annotated[
    str | None,
    typer.Option(
        "--ids",
        help="paper-filtered, a file of ids (`selfedit arc solvable` writes one), or ids with commas.",
    ),
]
Filters = Annotated[
    list[str] | None,
    typer.Option("--filter", help="max-tokens=N or max-cells=N, of the prompt."),
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="The first N of these tasks.")]

# How a task is learned and answered.
Preset = Annotated[str, typer.Option("--preset", help="arc-paper or arc-small.")]
Examples = Annotated[
    int | None, typer.Option("--examples", help="Training examples of a task, at most.")
]
OracleLearningRate = Annotated[float | None, typer.Option("--learning-rate", help="Of the oracle.")]
OracleEpochs = Annotated[int | None, typer.Option("--epochs", help="Of the oracle.")]
Constrained = Annotated[
    bool, typer.Option("--constrained", help="Sample self-edits of the right form only.")
]
Voting = Annotated[
    bool, typer.Option("--voting", help="Two attempts by a vote, in place of one greedy answer.")
]


def preset_with(
    preset: str,
    *,
    examples: int | None,
    layers: str | None,
    voting: bool,
    seeds: int | None,
    seed: int | None,
    arc: dict[str, Any] | None = None,
    inner: dict[str, Any] | None = None,
    outer: dict[str, Any] | None = None,
) -> ArcOuterSettings:
    """The preset with what was given: the options that all commands have, and a command's own about
    the domain, the inner and the outer loop. Raises InputError."""
    from selfedit.console.settings import preset_settings
    from selfedit.domains.arc.presets import PRESETS as ARC_PRESETS

    domain = {
        "data": {"limit": examples},
        "prediction": "voting" if voting else None,
        "seed": seed,
        **(arc or {}),
    }
    trained = {
        "arc": domain, "lora": {"layers": layers}, "seeds": seeds, "seed": seed, **(inner or {}),
    }  # fmt: skip
    return preset_settings(ARC_PRESETS, preset, {"inner": trained, **(outer or {})})


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
    from selfedit.domains.arc.as_task import to_task
    from selfedit.domains.arc.selection import PAPER_FILTERED

    found = read_or_load(tasks, solutions, dataset, split, "name it with --tasks")
    form = settings.inner.arc.grid

    def count(task: ArcTask) -> int:
        return longest_prompt(task, model.count_tokens, form)

    chosen = parse_ids(ids, cast("sources.Split", split)) if ids is not None else None
    kept = select(found, chosen, [parse_filter(text) for text in filters or ()], count)[:limit]
    notes = [f"tasks were filtered: {text}" for text in filters or ()]
    if ids == PAPER_FILTERED:
        notes.append("tasks were filtered: those that the paper's own model solves under its oracle")
    elif ids is not None and Path(ids).is_file():
        notes += _comments(Path(ids))
    return Chosen([to_task(task, form) for task in kept], tuple(notes))


def read_or_load(
    file: Path | None, solutions: Path | None, dataset: str, split: str, hint: str
) -> list[ArcTask]:
    """The tasks of a file or folder, else of a dataset. hint: how a command's file is named."""
    from selfedit.domains.arc.sources import load_dataset, read_tasks

    if file is not None:
        return read_tasks(file, solutions)
    if solutions is not None:
        raise InputError(f"--solutions belongs to a file of challenges; {hint}")
    return load_dataset(cast("sources.Dataset", dataset), cast("sources.Split", split))


def scorable(chosen: Chosen) -> Chosen:
    """Without the tasks that have a test input whose output is unknown. Raises InputError."""
    from selfedit.domains.arc.as_task import is_known

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
