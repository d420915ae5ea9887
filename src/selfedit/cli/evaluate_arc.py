"""`selfedit eval arc`: the paper's few-shot table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from selfedit.cli.arc_options import (
    ArcPresetOption,
    Chosen,
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
    from selfedit.config import ArcInnerSettings
    from selfedit.evaluation.arc import ArcEvaluator, ArcRow
    from selfedit.evaluation.settings import ArcEvaluationSettings
    from selfedit.store import Store
    from selfedit.types import Task

# Edits of a held-out task in the paper's table (PAPER.md, Domain 2).
_CANDIDATES = 5
_TRAIN = "Training"


def arc(
    conditions: Annotated[
        str, typer.Option(help="Some of in-context,ttt,seal,oracle, with commas.")
    ] = "in-context,ttt,oracle",
    tasks: TasksOption = None,
    solutions: SolutionsOption = None,
    dataset: DatasetOption = "arc-agi-1",
    split: SplitOption = "evaluation",
    ids: IdsOption = None,
    filters: FilterOption = None,
    limit: LimitOption = None,
    policy: Annotated[
        Path | None, typer.Option(help="The trained model of `seal`: it writes and it learns.")
    ] = None,
    submission: Annotated[
        Path | None,
        typer.Option(
            help="Write two attempts at each test input, by a vote, in ARC's format: of the last "
            "condition, and of each task's first edit that was trained."
        ),
    ] = None,
    preset: ArcPresetOption = "arc-small",
    candidates: Annotated[
        int, typer.Option(min=1, help="Self-edits of a task.", rich_help_panel=_TRAIN)
    ] = _CANDIDATES,
    examples: Annotated[
        int | None, typer.Option(help="Training examples of a task, at most.", rich_help_panel=_TRAIN)
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Of the oracle.", rich_help_panel=_TRAIN)
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Of the oracle.", rich_help_panel=_TRAIN)] = None,
    layers: Annotated[
        str | None,
        typer.Option(help='"all", "upper-half" or e.g. "15-29".', rich_help_panel=_TRAIN),
    ] = None,
    temperature: Annotated[float | None, typer.Option(help="Of the self-edits.")] = None,
    constrained: Annotated[
        bool, typer.Option("--constrained", help="Sample self-edits of the right form only.")
    ] = False,
    voting: Annotated[
        bool, typer.Option("--voting", help="Two attempts by a vote, in place of one greedy answer.")
    ] = False,
    seeds: Annotated[
        int | None, typer.Option(help="Trainings of an edit.", rich_help_panel=_TRAIN)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of every random draw.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the table there, too.")] = None,
    model: ModelOption = DEFAULT_MODEL,
    library: LibraryOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before long work.")] = False,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    prompt_format: FormatOption = "auto",
    trust_remote_code: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """The paper's few-shot table: which share of adapted models solves its task.

    A row has its 95% interval over tasks, and each pair of rows that of its difference. Killed and
    started again, it goes on where it was.
    """
    from selfedit.cli.train import preset_settings
    from selfedit.evaluation.arc import ArcEvaluator, ArcSubjects
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
                    "constrained": constrained or None,
                    "prediction": "voting" if voting or submission else None,
                    "seed": seed,
                },
                "lora": {"layers": layers},
                "sampling": {"temperature": temperature},
                "candidates": candidates,
                "seeds": seeds,
                "seed": seed,
            }
        },
    )

    def load(name: str) -> Any:
        return load_or_fake(name, device, dtype, prompt_format, trust_remote_code)

    evaluation = _evaluation(conditions, settings.inner)
    loaded = load(model)
    chosen = choose_tasks(loaded, settings, tasks, solutions, dataset, split, ids, filters, limit)
    if submission is None:
        chosen = scorable(chosen)
    store = Store((library or library_folder()).expanduser() / "store.sqlite")
    checked = _refuse_trained(store, [model, *([] if policy is None else [str(policy)])], chosen.tasks)
    with RichProgress(err) as progress:
        subjects = ArcSubjects(loaded, None if policy is None else lambda: load(str(policy)))
        evaluator = ArcEvaluator(subjects, chosen.tasks, store, evaluation, progress)
        _plan(evaluator, yes, progress)
        result = evaluator.run(_say, _notes(chosen, evaluation, checked))
    if submission is not None:
        from selfedit.evaluation.arc_submission import write

        write(submission, evaluator)
        status(f"wrote {submission}")
    _print(evaluator, result.summary(), markdown, as_json)


def _evaluation(conditions: str, inner: ArcInnerSettings) -> ArcEvaluationSettings:
    from selfedit.evaluation.settings import ArcEvaluationSettings

    names = tuple(name.strip() for name in conditions.split(",") if name.strip())
    if not names:
        raise InputError("--conditions names nothing to evaluate.")
    return ArcEvaluationSettings(conditions=names, inner=inner)


def _refuse_trained(store: Store, policies: Sequence[str], tasks: Sequence[Task]) -> bool:
    """Whether the library knows what the last one was trained on. Raises InputError if that is here."""
    from selfedit.evaluation.sources import refuse_puzzles, trained_on

    seen = [trained_on(store, policy) for policy in policies]
    for own in seen:
        refuse_puzzles(own or [], tasks)
    return seen[-1] is not None


def _notes(chosen: Chosen, settings: ArcEvaluationSettings, checked: bool) -> list[str]:
    notes = list(chosen.notes)
    if "seal" in settings.conditions and not checked:
        notes.append(
            "whether the policy was trained on these tasks was not checked: it is not of this library"
        )
    return notes


def _plan(evaluator: ArcEvaluator, yes: bool, progress: RichProgress) -> None:
    """Show what will be trained, as if every edit asked for as much as the oracle; maybe ask."""
    from selfedit.estimate import estimate_plans
    from selfedit.report.wording import duration

    inner, names = evaluator.settings.inner, evaluator.settings.conditions
    edits = sum(
        {"ttt": inner.candidates, "seal": inner.candidates, "oracle": 1}.get(n, 0) for n in names
    )
    if not edits:
        return
    found = estimate_plans(
        evaluator.subjects.model, evaluator.oracle_plans(), inner, edits * inner.seeds
    )
    said = (
        f"Plan: {len(evaluator.tasks)} tasks, {found.trainings:,} trainings, about {found.tokens:,} "
        f"tokens if edits are as large as the oracle: roughly {duration(found.seconds)} of training on "
        "this machine, writing and answering apart."
    )
    if yes:
        status(said)
    elif not go_on(said, found.seconds, progress):
        raise InputError("stopped before anything was trained")


def _say(row: ArcRow) -> None:
    from selfedit.report.wording import percent

    status(f"{row.condition}: {row.solved} of {row.models} solved, {percent(row.success)} over tasks")


def _print(
    evaluator: ArcEvaluator, summary: dict[str, Any], markdown: Path | None, as_json: bool
) -> None:
    from selfedit.report.html import write_whole
    from selfedit.report.markdown import page_markdown
    from selfedit.report.page_terminal import print_page
    from selfedit.report.run_report import run_report

    page = run_report(evaluator.store, evaluator.store.run(evaluator.run_id)).page
    if markdown is not None:
        write_whole(markdown, page_markdown(page))
    if as_json:
        print_json(summary)
    else:
        print_page(page, out)
