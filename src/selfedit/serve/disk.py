"""Small records on the disk: JSON objects in files that are whole or not there, and lines of them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selfedit.errors import StoreError
from selfedit.show.files import write_whole


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace the file by a JSON object; when this returns, it is on the disk. Raises StoreError."""
    write_whole(path, json.dumps(value, indent=1, default=str))


def append_json(path: Path, value: Mapping[str, Any]) -> None:
    """Add a JSON object as a line, a new one also after one that a kill cut off. Raises StoreError."""
    line = json.dumps(value, default=str).encode() + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                if file.read() != b"\n":
                    line = b"\n" + line
            file.write(line)
    except OSError as error:
        why = error.strerror or str(error)
        raise StoreError(f"{path} cannot be written: {why}. Free some space.") from error


def read_json(path: Path) -> dict[str, Any] | None:
    """The object; None where there is none, or a damaged one."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines; a line that a kill cut off is left out."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found
