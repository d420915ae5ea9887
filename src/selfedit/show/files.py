"""Files that the user names: written whole or not at all, and checked before the work.

In their names ~ is the user's folder: a shell leaves it as it is in `--html=~/report.html`.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from selfedit.errors import InputError, StoreError
from selfedit.home import expanded

FIGURES = (".svg", ".png", ".pdf")


def write_whole(path: Path, content: str | bytes) -> Path:
    """Writes a file, whole or not at all, and returns its path. Missing folders are made.

    A symlink stays one: its target is written. To anything but a regular file, such as a device or a
    pipe, the content is written directly. Lone surrogates are escaped. Raises StoreError if it cannot
    be written.
    """
    path = expanded(path)
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if _is_special(path):
            path.write_bytes(data)
            return path
        target = path.resolve()
        draft = _draft(target.parent)
        try:
            with draft.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, target)
        finally:
            draft.unlink(missing_ok=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: symlinks in a circle, until Python 3.12
        raise _not_written(path, error) from error
    return path


def check_writable(path: Path) -> None:
    """Raises StoreError if `write_whole` could not write now. Leaves nothing behind."""
    path = expanded(path)
    try:
        if _is_special(path):
            return
        target = path.resolve()
        if target.is_dir():
            raise IsADirectoryError(21, "it is a folder")
        draft = _draft(next(parent for parent in target.parents if parent.exists()))
        draft.touch(exist_ok=False)
        draft.unlink()
    except (OSError, RuntimeError) as error:
        raise _not_written(path, error) from error


def check_figure(path: Path) -> None:
    """Raises InputError for a name that ends in none of FIGURES, StoreError as `check_writable`."""
    if path.suffix.lower() not in FIGURES:
        raise InputError(f"{path}: a figure's file ends in {', '.join(FIGURES)}.")
    check_writable(path)


def _is_special(path: Path) -> bool:
    """Whether there is a device, a pipe or a socket at the path, or at the end of its links."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _draft(folder: Path) -> Path:
    return folder / f".{uuid.uuid4().hex}.tmp"


def _not_written(path: Path, error: Exception) -> StoreError:
    reason = error.strerror if isinstance(error, OSError) else None
    return StoreError(
        f"{path} cannot be written: {reason or error}. Choose another place for it, or free some space."
    )
