"""`selfedit train arc`: the outer loop on tasks of ARC."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from selfedit.cli.rounds import print_rounds, round_line, run_rounds
from selfedit.console import options
from selfedit.console.common import folder_of, model_loader, open_store, print_json, status
from selfedit.domains.arc import options as arc_options
from selfedit.domains.arc.options import choose_tasks, scorable

if TYPE_CHECKING:
    pass


def arc(
    tasks: arc_options.Tasks = None,
    solutions: arc_options.Solutions = None,
    dataset: arc_options.Dataset = "arc-agi-1",
    split: arc_options.Split = "training",
    ids: arc_options.Ids = None,
    filters: arc_options.Filters = None,
    limit: arc_options.Limit = None,
    preset: arc_options.Preset = "arc-small",
    rounds: options.Rounds = None,
    contexts: Annotated[
        int | None, typer.Option(help="Tasks of a round (default: the preset's).")
    ] = None,
    candidates: Annotated[int | None, typer.Option(help="Self-edits of a task.")] = None,
    seeds: options.EditSeeds = None,
    examples: arc_options.Examples = None,
    step_limit: Annotated[
        int | None, typer.Option(help="Self-edits that ask for more steps have failed.")
    ] = None,
    layers: options.Layers = None,
    temperature: options.Temperature = None,
    constrained: arc_options.Constrained = False,
    voting: Annotated[
        bool, typer.Option("--voting", help="Reward two attempts by a vote, not one greedy answer.")
    ] = False,
    rule: Annotated[
        str | None, typer.Option(help="all-correct (the paper's), best or positive.")
    ] = None,
    seed: options.Seed = None,
    tracker: options.Tracker = None,
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
    """The paper's few-shot domain: self-edits choose augmentations and settings of test-time training,
    and those whose adapter solves the task teach the policy.

    Killed and started again, the run goes on where it was; a finished round is never repeated.
    """
    from selfedit.algorithms.rest_em import ReSTEM
    from selfedit.domains.arc.domain import Arc
    from selfedit.loops.outer import OuterRun
    from selfedit.loops.plan import plan_outer
    from selfedit.loops.policies import Policies
    from selfedit.loops.rewards import TrueReward
    from selfedit.loops.tracking import Trackers
    from selfedit.runners.local import LocalRunner

    settings = arc_options.preset_with(
        preset,
        examples=examples,
        layers=layers,
        voting=voting,
        seeds=seeds,
        seed=seed,
        arc={"step_limit": step_limit, "constrained": constrained or None},
        inner={"sampling": {"temperature": temperature}, "candidates": candidates},
        outer={"rounds": rounds, "contexts": contexts, "rule": rule, "seed": seed},
    )
    folder = folder_of(library)
    load = model_loader(device, dtype, prompt_format, trust_remote_code, Arc.skills())
    loaded = load(model)
    chosen = scorable(
        choose_tasks(loaded, settings.inner.arc, tasks, solutions, dataset, split, ids, filters, limit)
    )
    for note in chosen.notes:
        status(note)
    policies = Policies(loaded, load)
    algorithm = ReSTEM(settings.rule, settings.margin, settings.policy, settings.seed)
    trackers = Trackers(tracker or [], folder / "tracking", settings)
    domain = Arc(settings.inner.arc, settings.inner.train.batch_size)
    store = open_store(library)
    run, records = run_rounds(
        partial(
            OuterRun,
            policies, domain, algorithm, TrueReward(), partial(LocalRunner, policies, store),
            chosen.tasks, store, folder / "policies", settings,
        ),
        lambda tasks: plan_outer(loaded, domain, tasks, settings),
        lambda record: round_line(record, noun="task"),
        trackers,
        yes,
    )  # fmt: skip
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
