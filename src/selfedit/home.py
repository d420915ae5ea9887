"""Where selfedit keeps things (SELFEDIT_HOME overrides both folders), and what a user's path means."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

from platformdirs import user_cache_path, user_data_path

from selfedit.errors import InputError

DEFAULT_MODEL = "smollm2-135m"  # the embedded one, whose weights are in `models_folder`
MOST_BYTES = 500_000_000  # that are read at once
# Characters. A document of so many has 20,000 passages, each of which is trained by itself; a context
# is one passage, and few models read as many; the graders take some seconds for such an answer.
MOST_DOCUMENT, MOST_CONTEXT, MOST_ANSWER = 20_000_000, 1_000_000, 100_000
STORE = "store.sqlite"  # of a library, in its folder


def expanded(path: Path | str) -> Path:
    """The path with ~ replaced. Raises InputError for the folder of a user that there is not."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError(f"{Path(path).parts[0]}: there is no such user's folder") from None


def regular_file(path: Path | str) -> Path:
    """The path of a file that is to be read whole. Raises InputError if there is none, and for what is
    no file: a pipe may never end, and a device never does."""
    found = expanded(path)
    try:
        mode = found.stat().st_mode
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{shortened(str(path))} cannot be read: {reason}") from None
    if stat.S_ISDIR(mode):
        raise InputError(f"{path} is a folder: name a file in it")
    if not stat.S_ISREG(mode):
        raise InputError(
            f"{path} is a pipe or a device: write what it gives into a file, and name that"
        )
    return found


def whole_file(path: Path | str, most: int = MOST_BYTES) -> bytes:
    """The bytes of a file. Raises InputError for what is no file, cannot be read, or has more than
    `most` bytes."""
    found = regular_file(path)
    try:
        with found.open("rb") as file:
            check_size(path, os.fstat(file.fileno()).st_size, most)
            return file.read()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None


def whole_text(path: Path | str, most: int = MOST_BYTES, encoding: str = "utf-8") -> str:
    """The text of a file, its lines ended by \\n. Raises InputError as `whole_file`, and
    UnicodeDecodeError."""
    return io.TextIOWrapper(io.BytesIO(whole_file(path, most)), encoding=encoding).read()


def check_size(name: Path | str, size: int, most: int = MOST_BYTES) -> None:
    """Raises InputError for more bytes than are read at once."""
    if size > most:
        raise InputError(
            f"{name} has {size // 1_000_000:,} MB, more than {most // 1_000_000}: split it"
        )


def check_length(name: Path | str, length: int, most: int, advice: str) -> None:
    """Raises InputError for a text of more characters than can be worked on, with what to do."""
    if length > most:
        raise InputError(f"{name} has {length:,} characters, more than {most:,}: {advice}")


def shortened(name: str) -> str:
    """A name as a message shows it."""
    return name if len(name) <= 100 else f"{name[:100]}…"


def shared_store() -> str | None:
    """$SELFEDIT_STORE: the address of a database that keeps runs and trials in place of a library's own
    file, for `train`, `eval`, `report` and `import`. A library's versions stay in its file."""
    return os.environ.get("SELFEDIT_STORE") or None


def models_folder() -> Path:
    """Converted models: can be deleted at any time, and is recreated when needed."""
    home = os.environ.get("SELFEDIT_HOME")
    return Path(home) / "models" if home else user_cache_path("selfedit") / "models"


def anchors_folder() -> Path:
    """The bare models' own texts (`model.anchors`): can be deleted, and are written again."""
    home = os.environ.get("SELFEDIT_HOME")
    return Path(home) / "anchors" if home else user_cache_path("selfedit") / "anchors"


def probes_folder() -> Path:
    """What bare models answer to the probe's questions: can be deleted, and is asked again."""
    home = os.environ.get("SELFEDIT_HOME")
    return Path(home) / "probes" if home else user_cache_path("selfedit") / "probes"


def drawing_folder() -> Path:
    """Matplotlib's own cache, of fonts: can be deleted, and is made again."""
    home = os.environ.get("SELFEDIT_HOME")
    return Path(home) / "matplotlib" if home else user_cache_path("selfedit") / "matplotlib"


def library_folder() -> Path:
    """The default library: store, adapters and reports. Not a cache."""
    home = os.environ.get("SELFEDIT_HOME")
    return Path(home) / "library" if home else user_data_path("selfedit") / "library"
