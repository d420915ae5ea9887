"""`selfedit learn`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    go_on,
    merged,
    open_library,
    out,
    print_json,
    wrong_value,
)
from selfedit.cli.progress import RichProgress
from selfedit.errors import InputError

if TYPE_CHECKING:
    from selfedit.config import LearnSettings
    from selfedit.estimate import Estimate

_TRAIN, _WRITE = "Training", "Self-edits"


def learn(
    files: Annotated[list[Path], typer.Argument(help="Documents: .txt or .md, UTF-8.")],
    quiz: Annotated[
        Path | None,
        typer.Option(help='Questions: JSON lines {"question", "answer"}, or SQuAD v1.1 JSON.'),
    ] = None,
    model: ModelOption = DEFAULT_MODEL,
    library: LibraryOption = None,
    preset: Annotated[
        str,
        typer.Option(
            help="fast, balanced or paper; single settings go before it.", rich_help_panel=_TRAIN
        ),
    ] = "balanced",
    strategy: Annotated[
        str | None,
        typer.Option(
            help="sentences, implications, implications-long, implications-very-long, rewrite, "
            "self-qa, chain-of-thought or none.",
            rich_help_panel=_WRITE,
        ),
    ] = None,
    prompt_file: Annotated[
        Path | None,
        typer.Option(
            help="Your own instruction; {title} and {context} are filled in.",
            rich_help_panel=_WRITE,
        ),
    ] = None,
    candidates: Annotated[
        int | None, typer.Option(help="Self-edits for each passage.", rich_help_panel=_WRITE)
    ] = None,
    restatements: Annotated[
        int | None,
        typer.Option(help="Restatements of each sentence (sentences).", rich_help_panel=_WRITE),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="Of the self-edits.", rich_help_panel=_WRITE)
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Trainings of each candidate.", rich_help_panel=_TRAIN)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of every random draw.")] = None,
    learning_rate: Annotated[float | None, typer.Option(rich_help_panel=_TRAIN)] = None,
    epochs: Annotated[int | None, typer.Option(rich_help_panel=_TRAIN)] = None,
    batch_size: Annotated[int | None, typer.Option(rich_help_panel=_TRAIN)] = None,
    rank: Annotated[
        int | None, typer.Option(help="LoRA rank; alpha is twice it.", rich_help_panel=_TRAIN)
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(help='"all", "upper-half" or e.g. "15-29".', rich_help_panel=_TRAIN),
    ] = None,
    max_forgetting: Annotated[
        float | None,
        typer.Option(help="Accuracy on older questions that may be lost (0 to 1)."),
    ] = None,
    topic: Annotated[
        bool, typer.Option("--topic", help="Put the document's title before each question.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before long work.")] = False,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    prompt_format: FormatOption = "auto",
    trust_remote_code: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Learn documents: the model writes training text, learns from it, and is tested without it.

    The new version is kept only if it answers more of the questions than the one before and has not
    forgotten what was learned earlier. Killed and started again, it goes on where it was.
    """
    given = {
        "knowledge": {
            "strategy": strategy or ("implications" if prompt_file else None),
            "prompt_text": _read_prompt(prompt_file),
            "restatements": restatements,
            "topic": topic or None,
        },
        "lora": {"rank": rank, "alpha": None if rank is None else 2.0 * rank, "layers": layers},
        "train": {"learning_rate": learning_rate, "epochs": epochs, "batch_size": batch_size},
        "sampling": {"temperature": temperature},
        "candidates": candidates,
        "seeds": seeds,
        "seed": seed,
        "max_forgetting": max_forgetting,
    }
    settings = merge_settings(merged(inner_preset(preset), given_only(given)))
    with RichProgress(err) as progress:

        def confirm(estimate: Estimate) -> bool:
            return yes or ask_first(estimate, progress)

        opened = open_library(model, library, device, dtype, prompt_format, trust_remote_code, progress)
        result = opened.learn(files, quiz, settings, confirm)
    if as_json:
        print_json(result.summary())
    else:
        from selfedit.report.terminal import print_result

        print_result(result, out)


def inner_preset(name: str) -> dict[str, Any]:
    """What a preset changes of the defaults. Raises InputError."""
    from selfedit.presets import INNER_PRESETS

    if name not in INNER_PRESETS:
        raise InputError(f"--preset {name}: use one of {', '.join(INNER_PRESETS)}.")
    return INNER_PRESETS[name]()


def merge_settings(given: dict[str, Any]) -> LearnSettings:
    """The defaults with what was given. Raises InputError for a value out of bounds."""
    from pydantic import ValidationError

    from selfedit.config import LearnSettings

    try:
        return LearnSettings.model_validate(given_only(given))
    except ValidationError as error:
        raise wrong_value(error) from None


def _read_prompt(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the prompt file {path} cannot be read: {error}") from error
    if not text.strip():
        raise InputError(f"the prompt file {path} is empty")
    return text


def ask_first(estimate: Estimate, progress: RichProgress) -> bool:
    """Show the estimate; for long work, ask."""
    from selfedit.report.wording import duration

    plan = (
        f"{estimate.passages:,} passages, {estimate.trainings:,} trainings, about "
        f"{estimate.tokens:,} tokens: roughly {duration(estimate.seconds)} on this machine."
    )
    return go_on(plan, estimate.seconds, progress, ", or name fewer documents")
