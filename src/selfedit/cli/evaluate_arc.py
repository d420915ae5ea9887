"""`selfedit eval arc`: the paper's few-shot table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from selfedit.cli import arc_options
from selfedit.cli.arc_options import Chosen, choose_tasks, scorable
from selfedit.console import options
from selfedit.console.common import err, model_loader, open_store, out, parts, print_json, status
from selfedit.console.plan import announce
from selfedit.console.progress import RichProgress
from selfedit.errors import InputError
from selfedit.show.files import check_writable, write_whole

if TYPE_CHECKING:
    from selfedit.domains.arc.settings import ArcInnerSettings
    from selfedit.evaluation.arc import ArcEvaluator, ArcRow
    from selfedit.evaluation.settings import ArcEvaluationSettings
    from selfedit.store import Store
    from selfedit.types import Task

# Edits of a held-out task in the paper's table (PAPER.md, Domain 2).
_CANDIDATES = 5


def arc(
    conditions: Annotated[
        str, typer.Option(help="Some of in-context,ttt,seal,oracle, with commas.")
    ] = "in-context,ttt,oracle",
    tasks: arc_options.Tasks = None,
    solutions: arc_options.Solutions = None,
    dataset: arc_options.Dataset = "arc-agi-1",
    split: arc_options.Split = "evaluation",
    ids: arc_options.Ids = None,
    filters: arc_options.Filters = None,
    limit: arc_options.Limit = None,
    policy: options.Policy = None,
    submission: Annotated[
        Path | None,
        typer.Option(
            help="Write two attempts at each test input, by a vote, in ARC's format: of the last "
            "condition, and of each task's first edit that was trained."
        ),
    ] = None,
    preset: arc_options.Preset = "arc-small",
    candidates: Annotated[int, typer.Option(min=1, help="Self-edits of a task.")] = _CANDIDATES,
    examples: arc_options.Examples = None,
    learning_rate: arc_options.OracleLearningRate = None,
    epochs: arc_options.OracleEpochs = None,
    layers: options.Layers = None,
    temperature: options.Temperature = None,
    constrained: arc_options.Constrained = False,
    voting: arc_options.Voting = False,
    seeds: Annotated[int | None, typer.Option(help="Trainings of an edit.")] = None,
    seed: options.Seed = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the table there, too.")] = None,
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
    """The paper's few-shot table: which share of adapted models solves its task.

    A row has its 95% interval over tasks, and each pair of rows that of its difference. Killed and
    started again, it goes on where it was.
    """
    from selfedit.evaluation.arc import ArcEvaluator, ArcSubjects

    settings = arc_options.preset_with(
        preset,
        examples=examples,
        layers=layers,
        voting=voting or submission is not None,
        seeds=seeds,
        seed=seed,
        arc={
            "oracle_learning_rate": learning_rate,
            "oracle_epochs": epochs,
            "constrained": constrained or None,
        },
        inner={"sampling": {"temperature": temperature}, "candidates": candidates},
    )
    for path in filter(None, (markdown, submission)):
        check_writable(path)
    load = model_loader(device, dtype, prompt_format, trust_remote_code)
    evaluation = _evaluation(conditions, settings.inner)
    loaded = load(model)
    chosen = choose_tasks(loaded, settings, tasks, solutions, dataset, split, ids, filters, limit)
    if submission is None:
        chosen = scorable(chosen)
    store = open_store(library)
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

    names = parts(conditions)
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
    from selfedit.loops.estimate import estimate_plans
    from selfedit.show.wording import duration

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
    announce(said, found.seconds, yes, progress)


def _say(row: ArcRow) -> None:
    from selfedit.show.wording import percent

    status(f"{row.condition}: {row.solved} of {row.models} solved, {percent(row.success)} over tasks")


def _print(
    evaluator: ArcEvaluator, summary: dict[str, Any], markdown: Path | None, as_json: bool
) -> None:
    from selfedit.report.run_report import run_report
    from selfedit.show.markdown import page_markdown
    from selfedit.show.page_terminal import print_page

    page = run_report(evaluator.store, evaluator.store.run(evaluator.run_id)).page
    if markdown is not None:
        write_whole(markdown, page_markdown(page))
    if as_json:
        print_json(summary)
    else:
        print_page(page, out)
