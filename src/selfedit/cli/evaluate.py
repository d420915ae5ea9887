"""`selfedit eval`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from selfedit.cli.evaluation import agreed, named_conditions, print_evaluation, say_row
from selfedit.console import options
from selfedit.console.common import err, model_loader, open_store
from selfedit.console.graders import endpoint_settings, named_grader
from selfedit.console.progress import RichProgress
from selfedit.console.settings import given_only, merge_settings
from selfedit.errors import InputError
from selfedit.show.files import check_writable

if TYPE_CHECKING:
    from selfedit.domains.knowledge.evaluation import KnowledgeEvaluation
    from selfedit.endpoints.writer import EndpointWriter
    from selfedit.store import Store

app = typer.Typer(help="Compare ways to know a text, with honest intervals.", no_args_is_help=True)


@app.callback()
def _root() -> None:
    pass


@app.command()
def knowledge(
    data: options.Data,
    conditions: Annotated[
        str,
        typer.Option(help="Some of base,in-context,retrieval,passage,own,file,seal, with commas."),
    ] = "base,in-context,passage,own",
    regime: Annotated[
        str,
        typer.Option(
            help="single (an adapter a passage), cpt (one for all) or cpt-full (all the weights)."
        ),
    ] = "single",
    contexts: Annotated[
        int | None, typer.Option(min=1, help="A seeded sample of N contexts (default: all).")
    ] = None,
    policy: options.Policy = None,
    train_data: Annotated[
        str | None, typer.Option(help="What the policy was trained on: refuse to evaluate on it.")
    ] = None,
    edits: Annotated[
        Path | None, typer.Option(help='Of `file`: JSON lines {"title", "context", "edit"}.')
    ] = None,
    writer_model: Annotated[str | None, typer.Option(help="Of `file`: who writes there.")] = None,
    writer_url: Annotated[str | None, typer.Option(help="Its OpenAI-compatible API.")] = None,
    grader: Annotated[
        str, typer.Option(help="offline, contains, exact, f1, or judge (an endpoint).")
    ] = "offline",
    judge_model: Annotated[str | None, typer.Option(help="Of --grader judge.")] = None,
    judge_url: Annotated[str | None, typer.Option(help="Its OpenAI-compatible API.")] = None,
    top_k: Annotated[int, typer.Option(min=1, help="Passages that `retrieval` shows.")] = 3,
    model: options.Model = options.DEFAULT_MODEL,
    library: options.Library = None,
    strategy: options.Strategy = None,
    temperature: options.Temperature = None,
    candidates: Annotated[int | None, typer.Option(help="Edits of a passage; cpt only (5).")] = None,
    seeds: Annotated[int | None, typer.Option(help="Trainings; a row is their mean.")] = None,
    seed: options.Seed = None,
    learning_rate: options.LearningRate = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    layers: options.Layers = None,
    topic: Annotated[
        bool, typer.Option("--topic/--no-topic", help="Put the title before each question.")
    ] = True,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables there, too.")] = None,
    yes: options.Yes = False,
    quiet: options.Quiet = False,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    prompt_format: options.Format = "auto",
    trust_remote_code: options.Trust = False,
    as_json: options.Json = False,
) -> None:
    """The paper's knowledge tables: each condition answers the same questions in its own way.

    A row has its 95% interval over contexts, and each pair of rows that of its difference. Killed and
    started again, it goes on where it was.
    """
    from selfedit import experiments
    from selfedit.config import JudgeSettings
    from selfedit.domains.data import read_tasks
    from selfedit.domains.knowledge import Knowledge
    from selfedit.domains.knowledge.conditions import conditions as of_knowledge
    from selfedit.endpoints.writer import read_edits

    if markdown is not None:
        check_writable(markdown)
    settings = _settings(
        conditions,
        regime,
        top_k,
        {
            "knowledge": {"strategy": strategy, "topic": topic},
            "sampling": {"temperature": temperature},
            "train": {"learning_rate": learning_rate, "epochs": epochs, "batch_size": batch_size},
            "lora": {"layers": layers},
            "candidates": candidates,
            "seeds": seeds,
            "seed": seed,
        },
    )
    tasks = read_tasks(data)
    trained = None if train_data is None else read_tasks(train_data)
    store = open_store(library)
    chosen = named_grader(
        grader, lambda: endpoint_settings(JudgeSettings, "judge", judge_model, judge_url), store
    )
    elsewhere = read_edits(edits) if edits is not None else _writer(writer_model, writer_url, store)
    load = model_loader(device, dtype, prompt_format, trust_remote_code)
    with RichProgress(err) as progress:
        found = experiments.evaluate(
            Knowledge(settings.inner.knowledge),
            tasks,
            load(model),
            settings,
            store,
            policy=None if policy is None else str(policy),
            load=load,
            conditions=of_knowledge(elsewhere),
            grader=chosen,
            trained=trained,
            sample=contexts,
            confirm=lambda plan: agreed(plan, "context", yes, progress),
            progress=progress,
            on_row=say_row,
        )
    print_evaluation(store, found, markdown, as_json)


def _settings(conditions: str, regime: str, top_k: int, given: dict[str, Any]) -> KnowledgeEvaluation:
    from selfedit.domains.knowledge.evaluation import REGIMES, KnowledgeEvaluation, inner_values

    if regime not in REGIMES:
        raise InputError(f"--regime {regime}: use one of {', '.join(REGIMES)}.")
    inner = merge_settings(inner_values(regime, given_only(given)))
    if regime == "single" and inner.candidates != 1:
        raise InputError("--candidates: `single` samples one edit a context; use --regime cpt.")
    return KnowledgeEvaluation(
        conditions=named_conditions(conditions), regime=regime, inner=inner, top_k=top_k
    )


def _writer(model: str | None, url: str | None, store: Store) -> EndpointWriter | None:
    if model is None:
        return None
    from selfedit.config import EndpointSettings
    from selfedit.endpoints.writer import EndpointWriter

    return EndpointWriter(endpoint_settings(EndpointSettings, "writer", model, url), store)
