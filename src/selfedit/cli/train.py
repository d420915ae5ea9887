"""`selfedit train`: the outer loop."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Annotated

import typer

from selfedit.cli.rounds import print_rounds, round_line, run_rounds
from selfedit.console import options
from selfedit.console.common import folder_of, model_loader, open_store, print_json
from selfedit.console.graders import endpoint_settings, named_grader
from selfedit.console.settings import preset_settings

app = typer.Typer(help="Train a policy that writes better self-edits.", no_args_is_help=True)


@app.callback()
def _root() -> None:
    pass


@app.command()
def knowledge(
    data: options.Data,
    preset: Annotated[str, typer.Option(help="squad-paper, squad-small or smoke.")] = "squad-small",
    model: options.Model = options.DEFAULT_MODEL,
    library: options.Library = None,
    limit: Annotated[int | None, typer.Option(help="Use the first N contexts only.")] = None,
    rounds: options.Rounds = None,
    contexts: Annotated[int | None, typer.Option(help="Contexts of a round.")] = None,
    candidates: Annotated[int | None, typer.Option(help="Self-edits of a context.")] = None,
    seeds: options.EditSeeds = None,
    strategy: options.Strategy = None,
    temperature: options.Temperature = None,
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
    seed: options.Seed = None,
    tracker: options.Tracker = None,
    yes: options.Yes = False,
    quiet: options.Quiet = False,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    prompt_format: options.Format = "auto",
    trust_remote_code: options.Trust = False,
    as_json: options.Json = False,
) -> None:
    """The paper's knowledge domain: rounds of self-edits, scored by what the model knows then.

    Each round's policy is a model folder that --model accepts. Killed and started again, the run goes
    on where it was; a finished round is never repeated.
    """
    from selfedit.algorithms.rest_em import ReSTEM
    from selfedit.config import JudgeSettings
    from selfedit.domains.data import read_tasks
    from selfedit.domains.knowledge import Knowledge
    from selfedit.domains.knowledge.presets import PRESETS
    from selfedit.loops.outer import OuterRun
    from selfedit.loops.plan import plan_outer
    from selfedit.loops.policies import Policies
    from selfedit.loops.rewards import make_reward
    from selfedit.loops.tracking import Trackers
    from selfedit.runners.local import LocalRunner

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
    folder = folder_of(library)
    tasks = read_tasks(data)[:limit]
    load = model_loader(device, dtype, prompt_format, trust_remote_code)
    loaded = load(model)
    policies = Policies(loaded, load)
    algorithm = ReSTEM(settings.rule, settings.margin, settings.policy, settings.seed)
    trackers = Trackers(tracker or [], folder / "tracking", settings)
    store = open_store(library)
    judge = endpoint_settings(JudgeSettings, "judge", judge_model, judge_url)
    domain = Knowledge(settings.inner.knowledge, named_grader(settings.grader, lambda: judge, store))
    _, records = run_rounds(
        partial(
            OuterRun,
            policies, domain, algorithm, make_reward(settings, store, judge),
            partial(LocalRunner, policies, store), tasks, store, folder / "policies", settings,
        ),
        lambda tasks: plan_outer(loaded, domain, tasks, settings),
        lambda record: round_line(record, rated=settings.reward == "proxy"),
        trackers,
        yes,
    )  # fmt: skip
    if as_json:
        print_json({"policy": records[-1].policy, "rounds": [asdict(r) for r in records]})
    else:
        print_rounds(records)
