"""Where the files of a library are: adapters in `adapters/vNNNN`, those that hold one passage in
`passages/KEY`, reports in `reports/run-NNNN.html`.

A place follows from the number alone, so that a library may be moved, renamed, copied and
used from any folder, and a foreign or damaged path in its store is never opened or deleted.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection
from pathlib import Path

from selfedit.errors import AdapterError


class Shelf:
    """The places of one library."""

    def __init__(self, library: Path) -> None:
        self.library = library

    @staticmethod
    def name(version: int) -> str:
        """The place of a version, relative to the library."""
        return f"adapters/v{version:04d}"

    def report(self, run_id: int) -> Path:
        """The file of a run's report."""
        return self.library / "reports" / f"run-{run_id:04d}.html"

    @staticmethod
    def own(version: int) -> str:
        """The name of a version's own adapter among those of `LearnedPassage.adapter`."""
        return f"v{version:04d}"

    def adapter(self, name: str) -> Path:
        """The folder of an adapter by its name: that of a version's own, or of a passage's, which is
        the key of the trial that won. Raises AdapterError for other names, and as `place` does."""
        if re.fullmatch(r"v\d{4,}", name):
            return self.place(int(name[1:]))
        if not re.fullmatch(r"[0-9a-f]{8,64}", name):
            raise AdapterError(f"{name!r} is not the name of an adapter of a library")
        return self._inside(f"passages/{name}")

    def sweep(self, in_use: Collection[str]) -> int:
        """Delete the adapters of passages that are not in use; how many there were."""
        folder = self.library / "passages"
        gone = [p.name for p in folder.iterdir() if p.name not in in_use] if folder.is_dir() else []
        for name in gone:
            if re.fullmatch(r"[0-9a-f]{8,64}", name):
                shutil.rmtree(self._inside(f"passages/{name}"))
        return len(gone)

    def clear(self, recorded: Collection[int]) -> None:
        """Take away what a learner left that was killed while it saved: drafts, and versions that were
        never recorded. Only for who holds the library's lock."""
        for folder in (self.library / "adapters", self.library / "passages"):
            for path in list(folder.iterdir()) if folder.is_dir() else ():
                found = re.fullmatch(r"v(\d{4,})", path.name)
                unknown = found is not None and int(found[1]) not in recorded
                if (unknown or path.name.startswith(".saving-")) and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)

    def place(self, version: int) -> Path:
        """The folder of a version. Raises AdapterError if a link leads out of the library."""
        return self._inside(self.name(version))

    def _inside(self, name: str) -> Path:
        folder = self.library / name
        if folder.resolve() != self.library.resolve() / name:
            raise AdapterError(
                f"{folder} is a link out of the library, or is reached through one, and is left alone: "
                "put the folder itself there."
            )
        return folder

    def find(self, version: int) -> Path:
        """The folder of an existing version. Raises AdapterError if it is gone."""
        folder = self.place(version)
        if not folder.is_dir():
            raise AdapterError(
                f"the files of version {version} are not there: {folder} is gone. Copy a library as a "
                "whole; `selfedit adapters rollback` names another version."
            )
        return folder

    def remove(self, version: int) -> None:
        """Delete a version's files, if they are there. Raises AdapterError as `place` does, and if
        they cannot be deleted."""
        folder = self.place(version)
        try:
            if folder.exists():
                shutil.rmtree(folder)
        except OSError as error:
            raise AdapterError(f"{folder} cannot be deleted: {error.strerror or error}") from error
