"""`selfedit eval arc`: the paper's few-shot table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from selfedit.cli import arc_options
from selfedit.cli.arc_options import choose_tasks
from selfedit.cli.evaluation import agreed, named_conditions, print_evaluation, say_row
from selfedit.console import options
from selfedit.console.common import err, model_loader, open_store, status
from selfedit.console.progress import RichProgress
from selfedit.show.files import check_writable

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
    from selfedit import experiments
    from selfedit.domains.arc.conditions import ArcEvaluation
    from selfedit.domains.arc.domain import Arc

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
    load = model_loader(device, dtype, prompt_format, trust_remote_code, Arc.skills())
    evaluation = ArcEvaluation(conditions=named_conditions(conditions), inner=settings.inner)
    loaded = load(model)
    chosen = choose_tasks(loaded, settings, tasks, solutions, dataset, split, ids, filters, limit)
    store = open_store(library)
    domain = Arc(settings.inner.arc, settings.inner.train.batch_size)
    with RichProgress(err) as progress:
        found = experiments.evaluate(
            domain,
            chosen.tasks,
            loaded,
            evaluation,
            store,
            policy=None if policy is None else str(policy),
            load=load,
            keep_ungradable=submission is not None,
            confirm=lambda plan: agreed(plan, "task", yes, progress),
            progress=progress,
            on_row=say_row,
            notes=chosen.notes,
        )
    if submission is not None:
        from selfedit.domains.arc.submission import write_predictions

        write_predictions(submission, domain, found.tasks, found.outcomes[evaluation.conditions[-1]])
        status(f"wrote {submission}")
    print_evaluation(store, found, markdown, as_json)
