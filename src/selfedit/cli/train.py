"""`selfedit train`: the outer loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.table import Table

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
    given_only,
    go_on,
    load_or_fake,
    merged,
    out,
    print_json,
    status,
    wrong_value,
)
from selfedit.cli.graders import named_grader
from selfedit.cli.progress import RichProgress
from selfedit.errors import InputError

if TYPE_CHECKING:
    from selfedit.config import JudgeSettings, OuterSettings
    from selfedit.estimate import OuterPlan
    from selfedit.rounds import RoundRecord

Outer = TypeVar("Outer", bound="OuterSettings")

app = typer.Typer(help="Train a policy that writes better self-edits.", no_args_is_help=True)


@app.callback()
def _root() -> None:
    pass


@app.command()
def knowledge(
    data: Annotated[
        str, typer.Option(help="Contexts with questions: SQuAD JSON, JSON lines, or a dataset id.")
    ],
    preset: Annotated[str, typer.Option(help="squad-paper, squad-small or smoke.")] = "squad-small",
    model: ModelOption = DEFAULT_MODEL,
    library: LibraryOption = None,
    limit: Annotated[int | None, typer.Option(help="Use the first N contexts only.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Rounds.")] = None,
    contexts: Annotated[int | None, typer.Option(help="Contexts of a round.")] = None,
    candidates: Annotated[int | None, typer.Option(help="Self-edits of a context.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Trainings of a self-edit.")] = None,
    strategy: Annotated[str | None, typer.Option(help="As in `selfedit learn`.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Of the self-edits.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Of the inner loop.")] = None,
    rule: Annotated[str | None, typer.Option(help="best (the paper's) or positive.")] = None,
    margin: Annotated[float | None, typer.Option(help="Of `positive`, 0 to 1.")] = None,
    reward: Annotated[
        str | None,
        typer.Option(help="true (inner loops), proxy (a judge's rubric) or cascade (both)."),
    ] = None,
    grader: Annotated[
        str | None,
        typer.Option(help="Of the answers: offline, contains, exact, f1, or judge (an endpoint)."),
    ] = None,
    judge_url: Annotated[
        str | None, typer.Option(help="OpenAI-compatible endpoint of the judge, up to /v1.")
    ] = None,
    judge_model: Annotated[str | None, typer.Option(help="Its model's name.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of every random draw.")] = None,
    tracker: Annotated[
        list[str] | None, typer.Option(help="tensorboard, wandb, mlflow or trackio; repeatable.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before long work.")] = False,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    prompt_format: FormatOption = "auto",
    trust_remote_code: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """The paper's knowledge domain: rounds of self-edits, scored by what the model knows then.

    Each round's policy is a model folder that --model accepts. Killed and started again, the run goes
    on where it was; a finished round is never repeated.
    """
    from selfedit.algorithms.rest_em import ReSTEM
    from selfedit.data import read_tasks
    from selfedit.domains.knowledge import Knowledge
    from selfedit.estimate import plan_outer
    from selfedit.home import library_folder
    from selfedit.outer import OuterRun
    from selfedit.presets import PRESETS
    from selfedit.rewards import make_reward
    from selfedit.store import Store
    from selfedit.tracking import Trackers

    settings = preset_settings(
        PRESETS,
        preset,
        {
            "inner": {
                "knowledge": {"strategy": strategy},
                "sampling": {"temperature": temperature},
                "train": {"epochs": epochs},
                "candidates": candidates,
                "seeds": seeds,
                "seed": seed,
            },
            "rounds": rounds,
            "contexts": contexts,
            "rule": rule,
            "margin": margin,
            "reward": reward,
            "grader": grader,
            "seed": seed,
        },
    )
    folder = (library or library_folder()).expanduser()
    tasks = read_tasks(data)[:limit]

    def load(name: str) -> Any:
        return load_or_fake(name, device, dtype, prompt_format, trust_remote_code)

    loaded = load(model)
    algorithm = ReSTEM(settings.rule, settings.margin, settings.policy, settings.seed)
    trackers = Trackers(tracker or [], folder / "tracking", settings)

    def on_round(record: RoundRecord) -> None:
        status(round_line(record, rated=settings.reward == "proxy"))
        numbers = {k: v for k, v in asdict(record).items() if isinstance(v, int | float)}
        trackers.log(numbers, step=record.number)

    store, judge = Store(folder / "store.sqlite"), judge_settings(judge_url, judge_model)
    domain = Knowledge(settings.inner.knowledge, named_grader(settings.grader, lambda: judge, store))
    chosen = make_reward(settings, domain, store, judge)
    with RichProgress(err) as progress:
        run = OuterRun(
            loaded, load, domain, algorithm, chosen, tasks,
            store, folder / "policies", settings, progress, on_round,
        )  # fmt: skip
        done = run.finished()
        if len(done) < settings.rounds:
            ask_first(plan_outer(loaded, run.tasks, settings), len(done), yes, progress)
        records = run.run()
    trackers.close()
    if as_json:
        print_json({"policy": records[-1].policy, "rounds": [asdict(r) for r in records]})
    else:
        print_rounds(records)


def preset_settings(
    presets: Mapping[str, Callable[[], Outer]], name: str, given: dict[str, Any]
) -> Outer:
    """A preset with what was given on the command line. Raises InputError."""
    from pydantic import ValidationError

    if name not in presets:
        raise InputError(f"--preset {name}: use one of {', '.join(presets)}.")
    preset = presets[name]()
    try:
        return preset.model_validate(merged(preset.model_dump(mode="json"), given_only(given)))
    except ValidationError as error:
        raise wrong_value(error) from None


def judge_settings(url: str | None, model: str | None) -> JudgeSettings:
    """The judge's settings. Raises InputError for an address that cannot be used."""
    from pydantic import ValidationError

    from selfedit.config import JudgeSettings

    try:
        return JudgeSettings.model_validate(given_only({"base_url": url, "model": model}))
    except ValidationError as error:
        raise InputError(f"--judge-url: {error.errors()[0]['msg']}") from None


def ask_first(plan: OuterPlan, done: int, yes: bool, progress: RichProgress) -> None:
    """Print the plan; before hours of work, ask (without a terminal: refuse, naming --yes)."""
    from selfedit.report.wording import duration

    finished = f" ({done} of them finished before)" if done else ""
    said = (
        f"Plan: {plan.rounds} rounds{finished} x {plan.contexts} contexts x {plan.edits} edits x "
        f"{plan.seeds} seeds = {plan.inner_loops:,} inner loops, about {plan.tokens:,} tokens of "
        f"training; {plan.disk / 1e9:.1f} GB of policies; roughly {duration(plan.seconds)} of training "
        "on this machine, writing and answering apart."
    )
    if yes:
        status(said)
    elif not go_on(said, plan.seconds, progress):
        raise InputError("stopped before anything was trained")


def round_line(record: RoundRecord, rated: bool = False, noun: str = "context") -> str:
    """rated: the rewards are a judge's ratings, from 0 % (1 of 5) to 100 % (5 of 5), no accuracies.
    noun: what a round samples."""
    from selfedit.report.runs import valid_edits

    mean, best = (f"{100 * value:.1f} %" for value in (record.mean_reward, record.best_reward))
    if rated:
        said = f"mean rating of an edit {mean}, of the best of each {noun} {best}"
    else:
        said = (
            f"without edits {100 * record.baseline:.1f} %, mean edit {mean}, best edit of each "
            f"{noun} {best}"
        )
    return (
        f"round {record.number}: {said}; {len(record.selected)} selected; valid: "
        f"{valid_edits(record)}" + (f"; {record.note}" if record.note else "")
    )


def print_rounds(records: list[RoundRecord], use: str = "learn FILE --model") -> None:
    """use: the command that takes the last round's policy."""
    from selfedit.report.runs import valid_edits

    table = Table()
    for heading in ("round", "without", "mean edit", "best edit", "valid edits", "selected", "policy"):
        table.add_column(heading, overflow="fold")
    for r in records:
        table.add_row(
            str(r.number),
            *(f"{100 * value:.1f} %" for value in (r.baseline, r.mean_reward, r.best_reward)),
            valid_edits(r),
            str(len(r.selected)),
            r.policy,
        )
    out.print(table)
    if records[-1].note:
        out.print(records[-1].note, markup=False)
    out.print(f"Use it: selfedit {use} {records[-1].policy}", soft_wrap=True, markup=False)
