"""`selfedit arc solvable`: the tasks that a model can learn to solve."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from selfedit.cli.arc_options import (
    ArcPresetOption,
    DatasetOption,
    FilterOption,
    IdsOption,
    LimitOption,
    SolutionsOption,
    SplitOption,
    TasksOption,
    choose_tasks,
    scorable,
)
from selfedit.cli.common import (
    DEFAULT_MODEL,
    DeviceOption,
    DtypeOption,
    FormatOption,
    JsonOption,
    LibraryOption,
    ModelOption,
    TrustOption,
    err,
    go_on,
    load_or_fake,
    out,
    print_json,
    status,
)
from selfedit.cli.progress import RichProgress
from selfedit.errors import InputError

if TYPE_CHECKING:
    from selfedit.evaluation.arc import ArcEvaluator
    from selfedit.evaluation.arc_solvable import Solvable
    from selfedit.types import Trial


def solvable(
    tasks: TasksOption = None,
    solutions: SolutionsOption = None,
    dataset: DatasetOption = "arc-agi-1",
    split: SplitOption = "training",
    ids: IdsOption = None,
    filters: FilterOption = None,
    limit: LimitOption = None,
    ids_file: Annotated[
        Path | None, typer.Option("--out", help="Write the solved tasks' ids there, for --ids.")
    ] = None,
    preset: ArcPresetOption = "arc-small",
    examples: Annotated[int | None, typer.Option(help="Training examples of a task, at most.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of the oracle.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Of the oracle.")] = None,
    layers: Annotated[str | None, typer.Option(help='"all", "upper-half" or e.g. "15-29".')] = None,
    voting: Annotated[
        bool, typer.Option("--voting", help="Two attempts by a vote, in place of one greedy answer.")
    ] = False,
    seeds: Annotated[int | None, typer.Option(help="Trainings; all have to solve the task.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of every random draw.")] = None,
    model: ModelOption = DEFAULT_MODEL,
    library: LibraryOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before long work.")] = False,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    prompt_format: FormatOption = "auto",
    trust_remote_code: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Which tasks the model solves after test-time training with the fixed best configuration.

    The paper kept such tasks alone. Killed and started again, it goes on where it was.
    """
    from selfedit.cli.train import preset_settings
    from selfedit.evaluation.arc import ArcEvaluator, ArcSubjects
    from selfedit.evaluation.arc_solvable import solvable as tried
    from selfedit.evaluation.settings import ArcEvaluationSettings
    from selfedit.home import library_folder
    from selfedit.presets import ARC_PRESETS
    from selfedit.store import Store

    settings = preset_settings(
        ARC_PRESETS,
        preset,
        {
            "inner": {
                "arc": {
                    "data": {"limit": examples},
                    "oracle_learning_rate": learning_rate,
                    "oracle_epochs": epochs,
                    "prediction": "voting" if voting else None,
                    "seed": seed,
                },
                "lora": {"layers": layers},
                "seeds": seeds,
                "seed": seed,
            }
        },
    )
    loaded = load_or_fake(model, device, dtype, prompt_format, trust_remote_code)
    chosen = scorable(
        choose_tasks(loaded, settings, tasks, solutions, dataset, split, ids, filters, limit)
    )
    store = Store((library or library_folder()).expanduser() / "store.sqlite")
    evaluation = ArcEvaluationSettings(conditions=("in-context", "oracle"), inner=settings.inner)
    with RichProgress(err) as progress:
        evaluator = ArcEvaluator(ArcSubjects(loaded), chosen.tasks, store, evaluation, progress, _say)
        _plan(evaluator, yes, progress)
        result = tried(evaluator)
    if ids_file is not None:
        _write(ids_file, result.ids_file())
    if as_json:
        print_json({**result.summary(), "notes": chosen.notes})
    else:
        _show(result)


def _plan(evaluator: ArcEvaluator, yes: bool, progress: RichProgress) -> None:
    from selfedit.estimate import estimate_plans
    from selfedit.report.wording import duration

    inner = evaluator.settings.inner
    found = estimate_plans(evaluator.subjects.model, evaluator.oracle_plans(), inner, inner.seeds)
    said = (
        f"Plan: {len(evaluator.tasks)} tasks x {inner.seeds} seeds, about {found.tokens:,} tokens of "
        f"training: roughly {duration(found.seconds)} on this machine, answering apart."
    )
    if yes:
        status(said)
    elif not go_on(said, found.seconds, progress):
        raise InputError("stopped before anything was trained")


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


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from None
    status(f"wrote {path}")
