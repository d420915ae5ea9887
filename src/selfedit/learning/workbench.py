"""Adapters of trials, kept until one of them has become a version."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from selfedit.errors import AdapterError
from selfedit.seams import Adapters, Model
from selfedit.types import Trial


class Workbench:
    """Their folder in a library, each under its trial's key, so that a killed run finds them when it
    goes on."""

    def __init__(self, library: Path, model: Model) -> None:
        self.folder, self.model = library / "work", model

    def keep(self, trials: Sequence[Trial], adapters: Adapters) -> None:
        """Save the adapters of the trials that were scored; the k-th is the k-th trial's. Raises
        AdapterError."""
        for k, trial in enumerate(trials):
            if trial.status == "scored":
                self.model.save_adapter(adapters, k, self.folder / trial.key)

    def find(self, key: str) -> Adapters | None:
        """A bank of the trial's adapter; None if it was not kept, or cannot be read."""
        folder = self.folder / key
        if not folder.is_dir():
            return None
        try:
            return self.model.load_adapter(folder)
        except AdapterError:
            return None  # it can be trained once more

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
