"""`selfedit eval`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

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
    load_or_fake,
    out,
    print_json,
    status,
)
from selfedit.cli.graders import named_grader
from selfedit.cli.learn import ask_first, merge_settings
from selfedit.cli.progress import RichProgress
from selfedit.errors import InputError

if TYPE_CHECKING:
    from selfedit.config import Settings
    from selfedit.evaluation.conditions import Subjects
    from selfedit.evaluation.evaluate import Row
    from selfedit.evaluation.settings import EvaluationSettings
    from selfedit.model.endpoint import EndpointWriter
    from selfedit.store import Store
    from selfedit.types import Task

app = typer.Typer(help="Compare ways to know a text, with honest intervals.", no_args_is_help=True)

S = TypeVar("S", bound="Settings")

_TRAIN, _ENDPOINT = "Training", "Endpoints"


@app.callback()
def _root() -> None:
    pass


@app.command()
def knowledge(
    data: Annotated[
        str, typer.Option(help="Contexts with questions: SQuAD JSON, JSON lines, or a dataset id.")
    ],
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
    policy: Annotated[
        Path | None, typer.Option(help="The trained model of `seal`: it writes and it learns.")
    ] = None,
    train_data: Annotated[
        str | None, typer.Option(help="What the policy was trained on: refuse to evaluate on it.")
    ] = None,
    edits: Annotated[
        Path | None, typer.Option(help='Of `file`: JSON lines {"title", "context", "edit"}.')
    ] = None,
    writer_model: Annotated[
        str | None, typer.Option(help="Of `file`: who writes there.", rich_help_panel=_ENDPOINT)
    ] = None,
    writer_url: Annotated[
        str | None, typer.Option(help="Its OpenAI-compatible API.", rich_help_panel=_ENDPOINT)
    ] = None,
    grader: Annotated[
        str, typer.Option(help="offline, contains, exact, f1, or judge (an endpoint).")
    ] = "offline",
    judge_model: Annotated[
        str | None, typer.Option(help="Of --grader judge.", rich_help_panel=_ENDPOINT)
    ] = None,
    judge_url: Annotated[
        str | None, typer.Option(help="Its OpenAI-compatible API.", rich_help_panel=_ENDPOINT)
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, help="Passages that `retrieval` shows.")] = 3,
    model: ModelOption = DEFAULT_MODEL,
    library: LibraryOption = None,
    strategy: Annotated[
        str | None, typer.Option(help="As in `selfedit learn`.", rich_help_panel=_TRAIN)
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="Of the self-edits.", rich_help_panel=_TRAIN)
    ] = None,
    candidates: Annotated[
        int | None, typer.Option(help="Edits of a passage; cpt only (5).", rich_help_panel=_TRAIN)
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Trainings; a row is their mean.", rich_help_panel=_TRAIN)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of every random draw.")] = None,
    learning_rate: Annotated[float | None, typer.Option(rich_help_panel=_TRAIN)] = None,
    epochs: Annotated[int | None, typer.Option(rich_help_panel=_TRAIN)] = None,
    batch_size: Annotated[int | None, typer.Option(rich_help_panel=_TRAIN)] = None,
    layers: Annotated[
        str | None,
        typer.Option(help='"all", "upper-half" or e.g. "15-29".', rich_help_panel=_TRAIN),
    ] = None,
    topic: Annotated[
        bool, typer.Option("--topic/--no-topic", help="Put the title before each question.")
    ] = True,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables there, too.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before long work.")] = False,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    prompt_format: FormatOption = "auto",
    trust_remote_code: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """The paper's knowledge tables: each condition answers the same questions in its own way.

    A row has its 95% interval over contexts, and each pair of rows that of its difference. Killed and
    started again, it goes on where it was.
    """
    from selfedit.config import JudgeSettings
    from selfedit.data import read_tasks
    from selfedit.evaluation.conditions import Subjects
    from selfedit.evaluation.evaluate import evaluate
    from selfedit.evaluation.table import markdown as as_markdown
    from selfedit.evaluation.table import rich_table
    from selfedit.home import library_folder
    from selfedit.model.endpoint import read_edits
    from selfedit.store import Store

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
    store = Store((library or library_folder()).expanduser() / "store.sqlite")
    chosen = named_grader(
        grader, lambda: _endpoint(JudgeSettings, "judge", judge_model, judge_url), store
    )

    def load(name: str) -> Any:
        return load_or_fake(name, device, dtype, prompt_format, trust_remote_code)

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
        _write(markdown, as_markdown(result))
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
    names = tuple(name.strip() for name in conditions.split(",") if name.strip())
    if not names:
        raise InputError("--conditions names nothing to evaluate.")
    check_names(names)
    return EvaluationSettings(conditions=names, regime=regime, inner=inner, top_k=top_k)


def _tasks(
    tasks: list[Task], count: int | None, seed: int, train_data: str | None
) -> tuple[list[Task], int]:
    """The contexts with questions, or a sample of them, and how many had none. Raises InputError."""
    from selfedit.data import read_tasks, refuse_overlap, take
    from selfedit.evaluation.evaluate import with_questions

    kept, left_out = with_questions(tasks)
    if count is not None:
        kept = take(kept, count, seed)
    if train_data is not None:
        refuse_overlap(read_tasks(train_data), kept)
    return kept, left_out


def _refuse_seen(store: Store, policy: str, tasks: list[Task]) -> bool:
    """Whether the library knows what the policy was trained on. Raises InputError if that is here."""
    from selfedit.data import refuse_overlap
    from selfedit.evaluation.sources import trained_on

    seen = trained_on(store, policy)
    refuse_overlap(seen or [], tasks)
    return seen is not None


def _writer(model: str | None, url: str | None, store: Store) -> EndpointWriter | None:
    if model is None:
        return None
    from selfedit.config import EndpointSettings
    from selfedit.model.endpoint import EndpointWriter

    return EndpointWriter(_endpoint(EndpointSettings, "writer", model, url), store)


def _endpoint(kind: type[S], role: str, model: str | None, url: str | None) -> S:
    """Raises InputError without repeating the value: it may be a key, put in the wrong place."""
    from pydantic import ValidationError

    try:
        return kind.model_validate(given_only({"model": model, "base_url": url}))
    except ValidationError as error:
        raise InputError(f"--{role}-url: {error.errors(include_input=False)[0]['msg']}") from None


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
    if plan is not None and not ask_first(plan, progress):
        raise InputError("stopped before anything was trained")


def _say(row: Row) -> None:
    from selfedit.report.wording import percent

    status(f"{row.condition}: {percent(row.accuracy)} of {row.questions} questions")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from None
