"""`selfedit train arc`: the outer loop on tasks of ARC."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
    load_or_fake,
    print_json,
    status,
)
from selfedit.cli.progress import RichProgress
from selfedit.cli.train import ask_first, preset_settings, print_rounds, round_line

if TYPE_CHECKING:
    from selfedit.config import ArcOuterSettings
    from selfedit.domains.arc.domain import Arc
    from selfedit.estimate import OuterPlan
    from selfedit.model import Model
    from selfedit.rounds import RoundRecord
    from selfedit.types import Task


def arc(
    tasks: TasksOption = None,
    solutions: SolutionsOption = None,
    dataset: DatasetOption = "arc-agi-1",
    split: SplitOption = "training",
    ids: IdsOption = None,
    filters: FilterOption = None,
    limit: LimitOption = None,
    preset: ArcPresetOption = "arc-small",
    rounds: Annotated[int | None, typer.Option(help="Rounds.")] = None,
    contexts: Annotated[
        int | None, typer.Option(help="Tasks of a round (default: the preset's).")
    ] = None,
    candidates: Annotated[int | None, typer.Option(help="Self-edits of a task.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Trainings of a self-edit.")] = None,
    examples: Annotated[int | None, typer.Option(help="Training examples of a task, at most.")] = None,
    step_limit: Annotated[
        int | None, typer.Option(help="Self-edits that ask for more steps have failed.")
    ] = None,
    layers: Annotated[str | None, typer.Option(help='"all", "upper-half" or e.g. "15-29".')] = None,
    temperature: Annotated[float | None, typer.Option(help="Of the self-edits.")] = None,
    constrained: Annotated[
        bool, typer.Option("--constrained", help="Sample self-edits of the right form only.")
    ] = False,
    voting: Annotated[
        bool, typer.Option("--voting", help="Reward two attempts by a vote, not one greedy answer.")
    ] = False,
    rule: Annotated[
        str | None, typer.Option(help="all-correct (the paper's), best or positive.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of every random draw.")] = None,
    tracker: Annotated[
        list[str] | None, typer.Option(help="tensorboard, wandb, mlflow or trackio; repeatable.")
    ] = None,
    model: ModelOption = DEFAULT_MODEL,
    library: LibraryOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before long work.")] = False,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    prompt_format: FormatOption = "auto",
    trust_remote_code: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """The paper's few-shot domain: self-edits choose augmentations and settings of test-time training,
    and those whose adapter solves the task teach the policy.

    Killed and started again, the run goes on where it was; a finished round is never repeated.
    """
    from selfedit.algorithms.rest_em import ReSTEM
    from selfedit.domains.arc.domain import Arc
    from selfedit.home import library_folder
    from selfedit.outer import OuterRun
    from selfedit.presets import ARC_PRESETS
    from selfedit.rewards import TrueReward
    from selfedit.store import Store
    from selfedit.tracking import Trackers

    settings = preset_settings(
        ARC_PRESETS,
        preset,
        {
            "inner": {
                "arc": {
                    "data": {"limit": examples},
                    "step_limit": step_limit,
                    "constrained": constrained or None,
                    "prediction": "voting" if voting else None,
                    "seed": seed,
                },
                "lora": {"layers": layers},
                "sampling": {"temperature": temperature},
                "candidates": candidates,
                "seeds": seeds,
                "seed": seed,
            },
            "rounds": rounds,
            "contexts": contexts,
            "rule": rule,
            "seed": seed,
        },
    )
    folder = (library or library_folder()).expanduser()

    def load(name: str) -> Any:
        return load_or_fake(name, device, dtype, prompt_format, trust_remote_code)

    loaded = load(model)
    chosen = scorable(
        choose_tasks(loaded, settings, tasks, solutions, dataset, split, ids, filters, limit)
    )
    for note in chosen.notes:
        status(note)
    algorithm = ReSTEM(settings.rule, settings.margin, settings.policy, settings.seed)
    trackers = Trackers(tracker or [], folder / "tracking", settings)

    def on_round(record: RoundRecord) -> None:
        status(round_line(record, noun="task"))
        numbers = {k: v for k, v in asdict(record).items() if isinstance(v, int | float)}
        trackers.log(numbers, step=record.number)

    domain = Arc(settings.inner.arc, settings.inner.train.batch_size)
    store = Store(folder / "store.sqlite")
    with RichProgress(err) as progress:
        run = OuterRun(
            loaded, load, domain, algorithm, TrueReward(domain, settings.inner, store), chosen.tasks,
            store, folder / "policies", settings, progress, on_round,
        )  # fmt: skip
        done = run.finished()
        if len(done) < settings.rounds:
            ask_first(_plan(loaded, domain, run.tasks, settings), len(done), yes, progress)
        records = run.run()
    trackers.close()
    if as_json:
        print_json(
            {
                "policy": records[-1].policy,
                "rounds": [asdict(r) for r in records],
                "tasks": [task.id for task in run.tasks],
                "notes": chosen.notes,
            }
        )
    else:
        print_rounds(records, "eval arc --conditions ttt,seal --policy")


def _plan(model: Model, domain: Arc, tasks: list[Task], settings: ArcOuterSettings) -> OuterPlan:
    """As if every edit asked for as much as the oracle."""
    from selfedit.domains.arc.domain import of_task
    from selfedit.estimate import estimate_plans, outer_plan

    inner, oracle = settings.inner, domain.oracle()
    plans = [domain.plan(of_task(task), oracle) for task in tasks[: settings.contexts]]
    one = estimate_plans(model, plans, inner, inner.candidates * inner.seeds)
    return outer_plan(model, settings, len(plans), one)
