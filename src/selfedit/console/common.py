"""What the commands share: consoles, models, libraries and their stores, JSON on stdout, files."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

import typer

from selfedit.console.literal import console
from selfedit.errors import InputError

if TYPE_CHECKING:
    from selfedit.model.fake import Skill
    from selfedit.model.prompts import PromptFormat
    from selfedit.seams import Model
    from selfedit.store import Store

# Results go to stdout; progress, questions and errors to stderr.
out = console()
err = console(stderr=True)


@dataclass
class Shown:
    """What the running command shows on stderr besides warnings, questions and errors."""

    progress: bool = True


shown = Shown()


def set_quiet(context: typer.Context, value: bool) -> bool:
    """Callback of --quiet. It holds until the command ends."""
    shown.progress = not value
    context.call_on_close(lambda: setattr(shown, "progress", True))
    return value


def status(text: str) -> None:
    """Print one line of status on stderr; nothing with --quiet."""
    if shown.progress:
        err.print(text, style="dim", markup=False, highlight=False)


def warn(text: str) -> None:
    """Print on stderr what a user should know, also with --quiet."""
    err.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)


def the_model(name: str, skills: Sequence[Skill] = ()) -> str | Model:
    """The fake model is made at once; others are loaded when needed."""
    if name != "fake" and not (Path(name) / "fake_model.json").is_file():
        return name
    from selfedit.model.fake import load_fake

    return load_fake(name, skills) or name


def model_loader(
    device: str = "auto",
    dtype: str = "auto",
    prompt_format: str = "auto",
    trust_remote_code: bool = False,
    skills: Sequence[Skill] = (),
) -> Callable[[str], Model]:
    """Loads a model, or a policy that was trained, by its name: each time in the same way.

    skills: of the fake model.
    """

    def load(name: str) -> Model:
        chosen = the_model(name, skills)
        if not isinstance(chosen, str):
            return chosen
        from selfedit.model.load import load_model

        return load_model(
            chosen,
            device=device,
            dtype=dtype,
            prompt_format=prompt_format_of(prompt_format),
            trust_remote_code=trust_remote_code,
            status=status,
        )

    return load


def check_model(name: str) -> None:
    """Raises ModelError if there is no model of that name, without loading it."""
    if isinstance(the_model(name), str):
        from selfedit.model.load import check_model as check

        check(name)


def prompt_format_of(text: str) -> PromptFormat:
    if text not in ("auto", "chat", "plain"):
        raise InputError(f"--prompt-format {text}: use auto, chat or plain.")
    return cast("PromptFormat", text)


def folder_of(library: Path | None) -> Path:
    """The library's folder: the given one, else the user's own."""
    from selfedit.home import expanded, library_folder

    return expanded(library or library_folder())


def open_store(library: Path | None) -> Store:
    """The store of runs and trials: a library's own, which is made if there is none, or the one that
    $SELFEDIT_STORE names."""
    from selfedit.home import STORE, shared_store
    from selfedit.store import Store

    if (address := shared_store()) is not None:
        return Store(address)
    advise(library)
    return Store(folder_of(library) / STORE)


def advise(library: Path | None) -> None:
    """Say what to mind where a library lies on a network file system."""
    from selfedit.store.mounts import advice

    if said := advice(folder_of(library)):
        status(f"Note: {said}")


def parts(text: str) -> tuple[str, ...]:
    """The values of an option, separated by commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def one_of(option: str, value: str | None, known: Sequence[str]) -> None:
    """Raises InputError for a value that the option does not have; None: it was not given."""
    if value is not None and value not in known:
        raise InputError(f"{option} {value}: use one of {', '.join(known)}.")


def standard_input() -> TextIO:
    """Standard input as text; bytes that are none are replaced."""
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(errors="replace")
    return sys.stdin


def print_json(value: dict[str, Any]) -> None:
    """Print exactly one JSON object, in ASCII, which every console can show; NaN becomes null."""
    sys.stdout.write(json.dumps(_clean(value), default=str) + "\n")
    sys.stdout.flush()


def _clean(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(k): _clean(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(v) for v in value]
    return value
