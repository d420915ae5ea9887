"""`selfedit arc solvable`: the tasks that a model can learn to solve."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from selfedit.cli import arc_options
from selfedit.cli.arc_options import choose_tasks
from selfedit.cli.evaluation import agreed
from selfedit.console import options
from selfedit.console.common import (
    err,
    model_loader,
    open_store,
    out,
    print_json,
    status,
)
from selfedit.console.progress import RichProgress
from selfedit.show.files import check_writable, write_whole

if TYPE_CHECKING:
    from selfedit.domains.arc.solvable import Solvable
    from selfedit.types import Trial


def solvable(
    tasks: arc_options.Tasks = None,
    solutions: arc_options.Solutions = None,
    dataset: arc_options.Dataset = "arc-agi-1",
    split: arc_options.Split = "training",
    ids: arc_options.Ids = None,
    filters: arc_options.Filters = None,
    limit: arc_options.Limit = None,
    ids_file: Annotated[
        Path | None, typer.Option("--out", help="Write the solved tasks' ids there, for --ids.")
    ] = None,
    preset: arc_options.Preset = "arc-small",
    examples: arc_options.Examples = None,
    learning_rate: arc_options.OracleLearningRate = None,
    epochs: arc_options.OracleEpochs = None,
    layers: options.Layers = None,
    voting: arc_options.Voting = False,
    seeds: Annotated[int | None, typer.Option(help="Trainings; all have to solve the task.")] = None,
    seed: options.Seed = None,
    model: options.Model = options.DEFAULT_MODEL,
    library: options.Library = None,
    yes: options.Yes = False,
    quiet: options.Quiet = False,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    prompt_format: options.Format = "auto",
    trust_remote_code: options.Trust = False,
    as_json: options.Json = False,
) -> None:
    """Which tasks the model solves after test-time training with the fixed best configuration.

    The paper kept such tasks alone. Killed and started again, it goes on where it was.
    """
    from selfedit import experiments
    from selfedit.domains.arc.conditions import ArcEvaluation
    from selfedit.domains.arc.domain import Arc
    from selfedit.domains.arc.solvable import solvable as tried

    if ids_file is not None:
        check_writable(ids_file)
    settings = arc_options.preset_with(
        preset,
        examples=examples,
        layers=layers,
        voting=voting,
        seeds=seeds,
        seed=seed,
        arc={"oracle_learning_rate": learning_rate, "oracle_epochs": epochs},
    )
    loaded = model_loader(device, dtype, prompt_format, trust_remote_code, Arc.skills())(model)
    chosen = choose_tasks(loaded, settings, tasks, solutions, dataset, split, ids, filters, limit)
    evaluation = ArcEvaluation(conditions=("in-context", "oracle"), inner=settings.inner)
    with RichProgress(err) as progress:
        result = experiments.at_bench(
            "arc-solvable",
            tried,
            Arc(settings.inner.arc, settings.inner.train.batch_size),
            chosen.tasks,
            loaded,
            evaluation,
            open_store(library),
            confirm=lambda plan: agreed(plan, "task", yes, progress),
            progress=progress,
            on_trials=_say,
        )
    if ids_file is not None:
        write_whole(ids_file, result.ids_file())
        status(f"wrote {ids_file}")
    if as_json:
        print_json({**result.summary(), "notes": chosen.notes})
    else:
        _show(result)


def _say(trials: Sequence[Trial]) -> None:
    for trial in trials:
        said = "solved" if trial.reward == 1.0 else trial.reason or "not solved"
        status(f"{trial.task_id}: {said}, {trial.seconds:.0f} s")


def _show(result: Solvable) -> None:
    table = Table()
    for heading in ("task", "in context", "oracle", "seconds", "reason"):
        table.add_column(heading, overflow="fold")
    for one in result.tried:
        table.add_row(
            *(Text("solved" if right else "—") if i else Text(one.id)
              for i, right in enumerate((True, one.in_context, one.solved))),
            Text(f"{one.seconds:.0f}"),
            Text(one.reason),
        )  # fmt: skip
    out.print(table)
    out.print(Text(f"{len(result.ids)} of {len(result.tried)} tasks solved by {result.how}"))
