"""What the commands share: consoles, options, opening a library, JSON on stdout."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.console import Console

from selfedit.errors import InputError

if TYPE_CHECKING:
    from pydantic import ValidationError

    from selfedit.cli.progress import RichProgress
    from selfedit.library import Library
    from selfedit.model import Model
    from selfedit.model.prompts import PromptFormat
    from selfedit.progress import Progress

# Results go to stdout; progress, questions and errors to stderr.
out = Console()
err = Console(stderr=True)

ModelOption = Annotated[
    str,
    typer.Option("--model", "-m", help="smollm2-135m, a Hugging Face id, or a model folder."),
]
LibraryOption = Annotated[
    Path | None,
    typer.Option("--library", help="Folder of versions and reports (default: your data folder)."),
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")]
DtypeOption = Annotated[
    str, typer.Option("--dtype", help="auto (bfloat16 on CUDA, else float32), float32, bfloat16 …")
]
FormatOption = Annotated[
    str,
    typer.Option("--prompt-format", help="auto, chat (the model's template) or plain (base models)."),
]
TrustOption = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run code that comes with the model.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]

DEFAULT_MODEL = "smollm2-135m"


def status(text: str) -> None:
    """One line of what is going on, on stderr."""
    err.print(text, style="dim", markup=False, highlight=False)


def the_model(name: str) -> str | Model:
    """The fake model is made at once; others are loaded when they are needed."""
    if name != "fake" and not (Path(name) / "fake_model.json").is_file():
        return name
    from selfedit.testing import load_fake

    return load_fake(name) or name


def load_or_fake(
    name: str, device: str, dtype: str, prompt_format: str, trust_remote_code: bool
) -> Model:
    """A model, loaded."""
    chosen = the_model(name)
    if not isinstance(chosen, str):
        return chosen
    from selfedit.model.load import load_model

    return load_model(
        chosen,
        device=device,
        dtype=dtype,
        prompt_format=_prompt_format(prompt_format),
        trust_remote_code=trust_remote_code,
        status=status,
    )


def _prompt_format(text: str) -> PromptFormat:
    if text not in ("auto", "chat", "plain"):
        raise InputError(f"--prompt-format {text}: use auto, chat or plain.")
    return cast("PromptFormat", text)


def open_library(
    model: str,
    folder: Path | None,
    device: str = "auto",
    dtype: str = "auto",
    prompt_format: str = "auto",
    trust_remote_code: bool = False,
    progress: Progress | None = None,
) -> Library:
    from selfedit.library import Library

    return Library(
        the_model(model),
        folder,
        device=device,
        dtype=dtype,
        prompt_format=_prompt_format(prompt_format),
        trust_remote_code=trust_remote_code,
        progress=progress,
        status=status,
    )


# Work that is expected to take longer than this is asked about first, in seconds.
ASK_FROM = 15 * 60


def go_on(plan: str, seconds: float, progress: RichProgress, hint: str = "") -> bool:
    """Show the plan; for long work, ask. Without a terminal InputError, naming --yes."""
    progress.pause()
    try:
        err.print(plan, highlight=False, markup=False)
        if seconds < ASK_FROM:
            return True
        if not sys.stdin.isatty():
            raise InputError(f"that is long; add --yes to do it anyway{hint}")
        return typer.confirm("Go on?", err=True)
    finally:
        progress.resume()


def given_only(given: dict[str, Any]) -> dict[str, Any]:
    """Without the options that were not given."""
    kept: dict[str, Any] = {}
    for name, value in given.items():
        chosen = given_only(value) if isinstance(value, dict) else value
        if chosen is not None and chosen != {}:
            kept[name] = chosen
    return kept


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The values with the changes, which may name a part of a part."""
    result = dict(base)
    for name, value in changes.items():
        result[name] = merged(base.get(name, {}), value) if isinstance(value, dict) else value
    return result


def wrong_value(error: ValidationError) -> InputError:
    """A setting out of bounds, as the option that gave it."""
    first = error.errors()[0]
    name = str(first["loc"][-1]).replace("_", "-") if first["loc"] else "settings"
    return InputError(f"--{name} {first['input']!r}: {first['msg']}")


def print_json(value: dict[str, Any]) -> None:
    """Exactly one JSON object; what is not a number becomes null."""
    sys.stdout.write(json.dumps(_clean(value), ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


def _clean(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(k): _clean(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(v) for v in value]
    return value
