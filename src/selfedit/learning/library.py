"""A library: one folder that holds what a model has learned, version by version, and the way back."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from selfedit.config import ANSWER_SAMPLING, LearnSettings
from selfedit.domains.knowledge import Knowledge
from selfedit.errors import AdapterError, StoreError
from selfedit.home import library_folder
from selfedit.learning.learner import Learner
from selfedit.loops.estimate import Confirm
from selfedit.model import Adapters, Model
from selfedit.model.prompts import PromptFormat
from selfedit.progress import Progress
from selfedit.store import AdapterRecord, Store
from selfedit.types import LearnResult, Query


class Library:
    """What a model has learned: `learn` adds to it, `ask` uses it, `rollback` takes it back.

    model: "smollm2-135m" (embedded), a Hugging Face id, or a model folder; or a loaded `Model`.
    folder: where store, adapters and reports are (default: the user's data folder, or
    $SELFEDIT_HOME/library). The model is loaded on first use.
    """

    def __init__(
        self,
        model: str | Model = "smollm2-135m",
        folder: Path | str | None = None,
        *,
        device: str = "auto",
        dtype: str = "auto",
        prompt_format: PromptFormat = "auto",
        trust_remote_code: bool = False,
        progress: Progress | None = None,
        status: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.folder = Path(folder).expanduser() if folder is not None else library_folder()
        self._model = model
        self._load: dict[str, Any] = {
            "device": device,
            "dtype": dtype,
            "prompt_format": prompt_format,
            "trust_remote_code": trust_remote_code,
            "status": status,
        }
        self.progress, self.status = progress, status
        self.store = Store(self.folder / "store.sqlite")
        self._loaded: dict[int, Adapters] = {}

    @property
    def model(self) -> Model:
        if isinstance(self._model, str):
            from selfedit.model.load import load_model

            self._model = load_model(self._model, **self._load)
        return self._model

    def learn(
        self,
        files: str | Path | Sequence[str | Path],
        quiz: str | Path | None = None,
        settings: LearnSettings | None = None,
        confirm: Confirm | None = None,
    ) -> LearnResult:
        """Learn documents; commit a new version only if it knows more and forgot little.

        confirm: asked with an estimate before long work; False stops. One `learn` at a time works
        on a library; a second one waits for it. Raises SelfEditError.
        """
        paths = [Path(f) for f in ([files] if isinstance(files, str | Path) else files)]
        learner = Learner(
            self.model, self.store, self.folder, settings or LearnSettings(), self.progress
        )
        with self._alone():
            return learner.run(paths, Path(quiz) if quiz is not None else None, confirm)

    def _alone(self) -> AbstractContextManager[object]:
        """The lock of this library's learners: the second builds on what the first has committed."""
        lock = FileLock(self.folder / "learn.lock")
        try:
            return lock.acquire(timeout=0)
        except Timeout:
            self.status("another learn is running on this library; waiting for it")
            return lock.acquire()
        except OSError as error:
            raise StoreError(f"the library {self.folder} cannot be written: {error}") from error

    def ask(
        self, questions: str | Sequence[str], *, version: int | None = None, base: bool = False
    ) -> list[str]:
        """Answers of the current version (a given one, or the bare model with base=True)."""
        asked = [questions] if isinstance(questions, str) else list(questions)
        domain = Knowledge()
        prompts = [domain.question(Query(question, ("",))) for question in asked]
        adapters = None if base else self._adapters(version)
        return self.model.generate(
            prompts,
            ANSWER_SAMPLING,
            [0] * len(prompts),
            adapters=adapters,
            owners=None if adapters is None else [0] * len(prompts),
        )

    def _adapters(self, version: int | None) -> Adapters | None:
        record = self.current() if version is None else self.adapter(version)
        if record is None:
            return None
        if record.status == "deleted":
            raise AdapterError(f"version {record.version} was deleted.")
        if record.version not in self._loaded:
            self._loaded[record.version] = self.model.load_adapter(Path(record.path))
        return self._loaded[record.version]

    def current(self) -> AdapterRecord | None:
        """The current version for this model; None: the bare model."""
        return self.store.current(self.model.revision)

    def adapter(self, version: int) -> AdapterRecord:
        return self.store.adapter(version)

    def adapters(self) -> list[AdapterRecord]:
        """All versions of all models, oldest first, rejected ones included."""
        return self.store.adapters()

    def rollback(self, version: int | None = None) -> AdapterRecord | None:
        """Make an older version current: the given one, or the parent of the current one.

        Version 0, and the parent of the first version, is the bare model (returns None).
        """
        if version is not None and version > 0:
            record = self.store.adapter(version)
            self.store.set_current(record.model_revision, version)
            return record
        current = self.current()
        if current is None:
            raise AdapterError("there is nothing to roll back: the bare model is current.")
        parent = None if version == 0 else current.parent
        if parent is not None and self.store.adapter(parent).status == "deleted":
            raise AdapterError(
                f"version {parent}, the one before, was deleted; name another one, or 0 for the "
                "bare model."
            )
        self.store.set_current(current.model_revision, parent)
        return self.store.adapter(parent) if parent is not None else None

    def delete(self, version: int) -> None:
        """Delete a version's files; its record stays, marked deleted. Not the current one."""
        record = self.store.adapter(version)
        self.store.mark_deleted(version)
        self._loaded.pop(version, None)
        folder = Path(record.path)
        if folder.is_relative_to(self.folder):  # never a folder that is not ours
            shutil.rmtree(folder, ignore_errors=True)

    def export(self, folder: Path | str, *, version: int | None = None, merged: bool = False) -> Path:
        """Write a version as a PEFT folder or, merged, as a model folder. Raises AdapterError."""
        record = self.current() if version is None else self.store.adapter(version)
        if record is None or record.status == "deleted":
            raise AdapterError("there is no such version to export; see `selfedit adapters list`.")
        target = Path(folder)
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise AdapterError(f"{target} exists already and is not an empty folder.")
        if merged:
            self.model.save_merged(target, Path(record.path))
            return target
        try:
            shutil.copytree(record.path, target, dirs_exist_ok=True)
        except (OSError, shutil.Error) as error:
            raise AdapterError(f"version {record.version} cannot be exported: {error}") from error
        return target

    def close(self) -> None:
        self.store.close()
