"""Adapters that were trained and are no version, or passage's adapter, yet."""

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
        self._best: dict[str, tuple[float, list[str]]] = {}

    def keep(self, trials: Sequence[Trial], adapters: Adapters) -> None:
        """Save the adapters of the trials that were scored; the k-th is the k-th trial's. Raises
        AdapterError."""
        for k, trial in enumerate(trials):
            if trial.status == "scored":
                self.model.save_adapter(adapters, k, self.folder / trial.key)

    def keep_best(self, trials: Sequence[Trial], adapters: Adapters) -> None:
        """The same, but of each passage only those that no other has beaten so far: a library of many
        passages would take many times its own size."""
        for k, trial in enumerate(trials):
            reward = -1.0 if trial.reward is None else trial.reward
            best, keys = self._best.get(trial.task_id, (reward, []))
            if trial.status != "scored" or reward < best:
                continue
            if reward > best:
                for key in keys:
                    shutil.rmtree(self.folder / key, ignore_errors=True)
                keys = []
            self._best[trial.task_id] = (reward, [*keys, trial.key])
            self.model.save_adapter(adapters, k, self.folder / trial.key)

    def publish(self, key: str, folder: Path) -> bool:
        """Move a trial's adapter to its place in the library; whether it is there now."""
        if not folder.is_dir() and (self.folder / key).is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            (self.folder / key).replace(folder)
        return folder.is_dir()

    def find(self, key: str) -> Adapters | None:
        """A bank of the trial's adapter; None if it was not kept, or cannot be read."""
        folder = self.folder / key
        if not folder.is_dir():
            return None
        try:
            return self.model.load_adapter(folder)
        except AdapterError:
            return None  # it can be trained once more

    def save(self, key: str, adapters: Adapters) -> None:
        """Keep the first adapter of a bank. Raises AdapterError."""
        self.model.save_adapter(adapters, 0, self.folder / key)

    def remove(self, key: str) -> None:
        shutil.rmtree(self.folder / key, ignore_errors=True)

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
