"""`selfedit arc show`, `list` and `augment`: tasks of ARC, and the sets made of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.table import Table
from rich.text import Text

from selfedit.console import options
from selfedit.console.common import err, model_loader, out, print_json
from selfedit.domains.arc import options as choosing
from selfedit.domains.arc.settings import ArcDataSettings
from selfedit.show.files import write_whole

if TYPE_CHECKING:
    from selfedit.domains.arc import ArcTask, TrainingTask
    from selfedit.domains.arc.sources import Dataset, Split

DatasetOption = Annotated[
    str | None,
    typer.Option("--dataset", help="arc-agi-1 or arc-agi-2 (default: the first that has it)."),
]
TaskArgument = Annotated[
    str, typer.Argument(metavar="TASK_OR_FILE", help="A task's id, or a JSON file of ARC.")
]
TaskOption = Annotated[
    str | None, typer.Option("--task", help="Which task of a file that has several.")
]
_DEFAULTS = ArcDataSettings()


def show(
    task: TaskArgument,
    dataset: DatasetOption = None,
    task_id: TaskOption = None,
    answers: Annotated[
        bool, typer.Option("--answers/--no-answers", help="Show the outputs of the test inputs.")
    ] = True,
    svg: Annotated[Path | None, typer.Option(help="Write the picture to this file as SVG.")] = None,
    as_json: options.Json = False,
) -> None:
    """A task's demonstrations and test inputs, in colour."""
    from selfedit.domains.arc.pictures import task_view
    from selfedit.domains.arc.svg import task_svg
    from selfedit.domains.arc.tasks import task_to_json

    found = _find(task, dataset, task_id)
    if svg is not None:
        write_whole(svg, task_svg(found, answers) + "\n")
    if as_json:
        written = task_to_json(found)
        if not answers:
            written["test"] = [{"input": pair["input"]} for pair in written["test"]]
        print_json({"id": found.id, **written})
    else:
        out.print(Text(f"{found.id}: {_counts(found)}"))
        out.print(task_view(found, answers))


def augment(
    task: TaskArgument,
    groups: Annotated[
        str,
        typer.Option(help='Groups of augmentations, with commas between them; "none" is none.'),
    ] = ",".join(_DEFAULTS.groups),
    geometric_only: Annotated[
        bool,
        typer.Option("--geometric-only", help="Stop before colours and order are permuted; no limit."),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random draw.")] = 0,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            help=f"At most so many tasks, sampled (default: {_DEFAULTS.limit}; all geometric ones).",
        ),
    ] = None,
    dataset: DatasetOption = None,
    task_id: TaskOption = None,
    show_first: Annotated[
        int, typer.Option("--show", min=0, help="Without --json: so many are drawn.")
    ] = 4,
    as_json: options.Json = False,
) -> None:
    """The training set that is made of a task's demonstrations."""
    from selfedit.domains.arc.tasks import example_to_json
    from selfedit.domains.arc.training_set import geometric_set, sample, training_set

    found = _find(task, dataset, task_id)
    chosen = choosing.parse_groups(groups)
    if not geometric_only:
        made = training_set(found, chosen, seed, limit or _DEFAULTS.limit)
    else:
        made = geometric_set(found, chosen, seed)
        made = sample(made, seed, limit) if limit is not None else made
    if as_json:
        tasks = [
            {"train": [example_to_json(e) for e in one.train], "test": [example_to_json(one.test)]}
            for one in made
        ]
        print_json({"tasks": tasks})
    else:
        _show_training(found, made, show_first)


def list_(
    file: Annotated[
        Path | None, typer.Argument(help="A JSON file or folder of ARC, in place of a dataset.")
    ] = None,
    dataset: choosing.Dataset = "arc-agi-1",
    split: choosing.Split = "training",
    ids: Annotated[
        str | None,
        typer.Option(help="paper-filtered, a file of ids, or ids with commas between them."),
    ] = None,
    filters: choosing.Filters = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Whose tokens max-tokens counts.")
    ] = None,
    solutions: choosing.Solutions = None,
    source: choosing.Source = choosing.Choosing.source,
    sizes: choosing.Sizes = choosing.Choosing.sizes,
    mini_seed: choosing.MiniSeed = choosing.Choosing.mini_seed,
    as_json: options.Json = False,
) -> None:
    """Tasks by dataset and split, id, and length of their prompt."""
    from selfedit.domains.arc import longest_prompt, parse_filter, parse_ids, select

    tasks = choosing.Choosing(
        tasks=file,
        solutions=solutions,
        dataset=dataset,
        split=split,
        source=source,
        sizes=sizes,
        mini_seed=mini_seed,
    ).found("that file")
    wanted = [parse_filter(text) for text in filters or ()]
    count = None
    if model is not None and any(one.measure == "max-tokens" for one in wanted):
        count_tokens = model_loader("cpu")(model).count_tokens

        def count(task: ArcTask) -> int:
            return longest_prompt(task, count_tokens)

    chosen = parse_ids(ids, cast("Split", split)) if ids is not None else None
    _show_list(select(tasks, chosen, wanted, count), as_json)


def _find(name: str, dataset: str | None, task_id: str | None) -> ArcTask:
    from selfedit.domains.arc.sources import find_task

    return find_task(name, cast("Dataset | None", dataset), task_id)


def _counts(task: ArcTask) -> str:
    return f"{len(task.train)} demonstrations, {len(task.test_inputs)} test inputs"


def _show_list(tasks: list[ArcTask], as_json: bool) -> None:
    rows: list[dict[str, Any]] = [
        {
            "id": task.id,
            "demonstrations": len(task.train),
            "test_inputs": len(task.test_inputs),
            "prompt_cells": task.prompt_cells,
        }
        for task in tasks
    ]
    if as_json:
        print_json({"tasks": rows})
        return
    table = Table()
    for heading in ("id", "demonstrations", "test inputs", "cells of the prompt"):
        left = heading == "id"  # whole, for --ids
        table.add_column(heading, justify="left" if left else "right", overflow="fold", no_wrap=left)
    for row in rows:
        table.add_row(*(Text(str(value)) for value in row.values()))
    out.print(table)
    out.print(f"{len(rows)} tasks")


def _show_training(task: ArcTask, made: list[TrainingTask], show_first: int) -> None:
    from selfedit.domains.arc.pictures import Panels, examples_view

    for number, one in enumerate(made[:show_first], start=1):
        out.rule(f"training task {number}", align="left", style="dim")
        out.print(examples_view(one.train))
        out.print(Panels([("to learn: input", one.test.input), ("to learn: output", one.test.output)]))
    out.print(Text(f"{len(made)} training tasks of {task.id}, of {len(task.train)} demonstrations"))
    if show_first < len(made):
        err.print(
            f"The first {show_first} were drawn; --show N draws more, --json prints all.", style="dim"
        )
