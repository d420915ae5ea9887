"""`selfedit learn`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selfedit.console import options
from selfedit.console.common import err, open_library, out, print_json
from selfedit.console.plan import agreed
from selfedit.console.progress import RichProgress
from selfedit.console.settings import given_only, inner_preset, merge_settings, merged
from selfedit.errors import InputError

if TYPE_CHECKING:
    from selfedit.loops.estimate import Estimate


def learn(
    files: Annotated[list[Path], typer.Argument(help="Documents: .txt or .md, UTF-8.")],
    quiz: Annotated[
        Path | None,
        typer.Option(
            help='Questions: JSON lines {"question", "answer"}, or SQuAD v1.1 JSON. Without: blanks in '
            "sentences of the documents."
        ),
    ] = None,
    model: options.Model = options.DEFAULT_MODEL,
    library: options.Library = None,
    preset: Annotated[
        str,
        typer.Option(help="fast, balanced or paper; single settings go before it."),
    ] = "balanced",
    strategy: Annotated[
        str | None,
        typer.Option(
            help="sentences, implications, implications-long, implications-very-long, rewrite, "
            "self-qa, chain-of-thought or none.",
        ),
    ] = None,
    prompt_file: Annotated[
        Path | None,
        typer.Option(
            help="Your own instruction; {title} and {context} are filled in.",
        ),
    ] = None,
    candidates: Annotated[int | None, typer.Option(help="Self-edits for each passage.")] = None,
    restatements: Annotated[
        int | None,
        typer.Option(help="Restatements of each sentence (sentences)."),
    ] = None,
    temperature: options.Temperature = None,
    seeds: Annotated[int | None, typer.Option(help="Trainings of each candidate.")] = None,
    seed: options.Seed = None,
    learning_rate: options.LearningRate = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    rank: Annotated[int | None, typer.Option(help="LoRA rank; alpha is twice it.")] = None,
    layers: options.Layers = None,
    max_forgetting: Annotated[
        float | None,
        typer.Option(help="Accuracy on older questions that may be lost (0 to 1)."),
    ] = None,
    topic: Annotated[
        bool, typer.Option("--topic", help="Put the document's title before each question.")
    ] = False,
    yes: options.Yes = False,
    quiet: options.Quiet = False,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    prompt_format: options.Format = "auto",
    trust_remote_code: options.Trust = False,
    as_json: options.Json = False,
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
    from selfedit.show.html import write_report

    with RichProgress(err) as progress:

        def confirm(estimate: Estimate) -> bool:
            return yes or agreed(estimate, progress)

        opened = open_library(model, library, device, dtype, prompt_format, trust_remote_code, progress)
        result = opened.learn(files, quiz, settings, confirm, write_report)
    if as_json:
        print_json(result.summary())
    else:
        from selfedit.show.terminal import print_result

        print_result(result, out)


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
