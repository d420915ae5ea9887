"""`selfedit eval`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from selfedit.console import options
from selfedit.console.common import (
    err,
    model_loader,
    open_store,
    out,
    parts,
    print_json,
    status,
)
from selfedit.console.graders import endpoint_settings, named_grader
from selfedit.console.plan import agreed
from selfedit.console.progress import RichProgress
from selfedit.console.settings import given_only, merge_settings
from selfedit.errors import InputError
from selfedit.show.files import check_writable, write_whole

if TYPE_CHECKING:
    from selfedit.endpoints.writer import EndpointWriter
    from selfedit.evaluation.conditions import Subjects
    from selfedit.evaluation.evaluate import Row
    from selfedit.evaluation.settings import EvaluationSettings
    from selfedit.store import Store
    from selfedit.types import Task

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
    from selfedit.config import JudgeSettings
    from selfedit.domains.knowledge.data import read_tasks
    from selfedit.endpoints.writer import read_edits
    from selfedit.evaluation.conditions import Subjects
    from selfedit.evaluation.evaluate import evaluate
    from selfedit.evaluation.table import markdown as as_markdown
    from selfedit.evaluation.table import rich_table

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
    tasks, left_out = _tasks(read_tasks(data), contexts, settings.inner.seed, train_data)
    store = open_store(library)
    chosen = named_grader(
        grader, lambda: endpoint_settings(JudgeSettings, "judge", judge_model, judge_url), store
    )

    load = model_loader(device, dtype, prompt_format, trust_remote_code)
    notes = [f"{left_out} contexts without questions were left out"] if left_out else []
    checked = policy is not None and _refuse_seen(store, str(policy), tasks)
    if "seal" in settings.conditions and train_data is None and not checked:
        notes.append("whether the policy was trained on these contexts was not checked (--train-data)")
    with RichProgress(err) as progress:
        subjects = Subjects(
            load(model),
            None if policy is None else lambda: load(str(policy)),
            None if edits is None else read_edits(edits),
            _writer(writer_model, writer_url, store),
        )
        _plan(subjects, tasks, settings, store, yes, progress)
        result = evaluate(
            subjects, tasks, store, settings,
            grader=chosen, progress=progress, on_row=_say, notes=notes,
        )  # fmt: skip
    if markdown is not None:
        write_whole(markdown, as_markdown(result))
    if as_json:
        print_json({**result.summary(), "without_questions": left_out})
    else:
        out.print(rich_table(result))


def _settings(conditions: str, regime: str, top_k: int, given: dict[str, Any]) -> EvaluationSettings:
    from selfedit.evaluation.conditions import check_names
    from selfedit.evaluation.settings import REGIMES, EvaluationSettings, inner_values

    if regime not in REGIMES:
        raise InputError(f"--regime {regime}: use one of {', '.join(REGIMES)}.")
    inner = merge_settings(inner_values(regime, given_only(given)))
    if regime == "single" and inner.candidates != 1:
        raise InputError("--candidates: `single` samples one edit a context; use --regime cpt.")
    names = parts(conditions)
    if not names:
        raise InputError("--conditions names nothing to evaluate.")
    check_names(names)
    return EvaluationSettings(conditions=names, regime=regime, inner=inner, top_k=top_k)


def _tasks(
    tasks: list[Task], count: int | None, seed: int, train_data: str | None
) -> tuple[list[Task], int]:
    """The contexts with questions, or a sample of them, and how many had none. Raises InputError."""
    from selfedit.domains.knowledge.data import read_tasks, refuse_overlap, take
    from selfedit.evaluation.evaluate import with_questions

    kept, left_out = with_questions(tasks)
    if count is not None:
        kept = take(kept, count, seed)
    if train_data is not None:
        refuse_overlap(read_tasks(train_data), kept)
    return kept, left_out


def _refuse_seen(store: Store, policy: str, tasks: list[Task]) -> bool:
    """Whether the library knows what the policy was trained on. Raises InputError if that is here."""
    from selfedit.domains.knowledge.data import refuse_overlap
    from selfedit.evaluation.sources import trained_on

    seen = trained_on(store, policy)
    refuse_overlap(seen or [], tasks)
    return seen is not None


def _writer(model: str | None, url: str | None, store: Store) -> EndpointWriter | None:
    if model is None:
        return None
    from selfedit.config import EndpointSettings
    from selfedit.endpoints.writer import EndpointWriter

    return EndpointWriter(endpoint_settings(EndpointSettings, "writer", model, url), store)


def _plan(
    subjects: Subjects,
    tasks: list[Task],
    settings: EvaluationSettings,
    store: Store,
    yes: bool,
    progress: RichProgress,
) -> None:
    """Refuse what cannot work, then show what will be trained; before long work, ask."""
    from selfedit.evaluation.conditions import check_subjects
    from selfedit.evaluation.plan import plan_evaluation
    from selfedit.evaluation.regimes import Place

    check_subjects(Place(tasks, settings, store, 0), subjects)
    if yes:
        return
    plan = plan_evaluation(subjects.model, tasks, settings)
    if plan is not None and not agreed(plan, progress):
        raise InputError("stopped before anything was trained")


def _say(row: Row) -> None:
    from selfedit.show.wording import percent

    status(f"{row.condition}: {percent(row.accuracy)} of {row.questions} questions")
