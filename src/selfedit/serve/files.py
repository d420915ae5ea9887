"""Files that clients have uploaded, and those that are made for them; they are never executed.

A file lies under its id. Its name is what the client called it: it is shown, and says by its suffix
what the bytes are, and is never part of a path.
"""

from __future__ import annotations

import re
import secrets
import shutil
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from selfedit.errors import InputError, StoreError
from selfedit.serve.disk import read_json, write_json
from selfedit.show.files import write_whole

_ID = re.compile(r"file-[0-9a-f]{24}")
_LONGEST_NAME = 200


class NoSuchFile(InputError):
    """No file of that id is kept."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """id: "file-" and 24 hexadecimal digits. created_at: in seconds since 1970."""

    id: str
    filename: str
    purpose: str
    bytes: int
    created_at: int

    def to_json(self) -> dict[str, Any]:
        """As OpenAI's API shows it."""
        return {**asdict(self), "object": "file", "status": "processed"}


class Files:
    """The files of one server, in a folder of its library."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()

    def add(self, data: bytes, filename: str, purpose: str) -> StoredFile:
        """Keep bytes; when this returns they are on the disk. Raises StoreError."""
        name = PurePosixPath(filename.replace("\\", "/")).name[-_LONGEST_NAME:] or "file"
        file = StoredFile(f"file-{secrets.token_hex(12)}", name, purpose, len(data), int(time.time()))
        with self._lock:
            write_whole(self._place(file.id) / "content", data)
            write_json(self._place(file.id) / "file.json", asdict(file))
        return file

    def get(self, file_id: str) -> StoredFile:
        """Raises NoSuchFile where there is none."""
        found = read_json(self._place(file_id) / "file.json")
        if found is None:
            raise NoSuchFile(f"there is no file {file_id}")
        return StoredFile(**found)

    def content(self, file_id: str) -> bytes:
        """Raises NoSuchFile, StoreError."""
        self.get(file_id)
        try:
            return (self._place(file_id) / "content").read_bytes()
        except OSError as error:
            raise StoreError(f"the file {file_id} cannot be read: {error.strerror}") from error

    def list(self) -> list[StoredFile]:
        """All files, newest first."""
        folders = self.folder.iterdir() if self.folder.is_dir() else ()
        found = [read_json(own / "file.json") for own in folders if _ID.fullmatch(own.name)]
        files = [StoredFile(**one) for one in found if one is not None]
        return sorted(files, key=lambda file: (-file.created_at, file.id))

    def delete(self, file_id: str) -> None:
        """Raises NoSuchFile where there is none."""
        self.get(file_id)
        with self._lock:
            shutil.rmtree(self._place(file_id), ignore_errors=True)

    def _place(self, file_id: str) -> Path:
        if not _ID.fullmatch(file_id):
            raise NoSuchFile("there is no such file: an id is file- and 24 hexadecimal digits")
        return self.folder / file_id
