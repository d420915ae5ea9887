"""What one server process holds: a library that answers, the same one that learns, files, jobs."""

from __future__ import annotations

import time
from pathlib import Path

from filelock import FileLock, Timeout

from selfedit.errors import InputError, StoreError
from selfedit.learning.library import Library
from selfedit.seams import Model
from selfedit.serve.breath import Breath
from selfedit.serve.engine import Engine
from selfedit.serve.engines import Engines
from selfedit.serve.files import Files
from selfedit.serve.jobs import Jobs
from selfedit.serve.learning_jobs import Learning
from selfedit.serve.metrics import Metrics
from selfedit.serve.other_jobs import Forgetting, Probing, Remembering
from selfedit.serve.settings import ServeSettings
from selfedit.serve.voices import Voices

LOCK = "serve.lock"


class Service:
    """Everything that requests share.

    model: a loaded one. Jobs learn with it; answers come from a second one over the same weights, with
    modules of its own, so that training's hooks never meet an answer. folder: of the library, which is
    made if there is none. Raises InputError where another server works on it.
    """

    def __init__(self, model: Model, folder: Path, settings: ServeSettings) -> None:
        self.settings, self.started = settings, time.time()
        self.lock = _locked(folder)
        try:
            self.learner = Library(model, folder)
            self.library = Library(twin(model), folder)
            self.voices = Voices(self.library, settings.adapter_folders)
            self.files = Files(folder / "serve" / "files")
            self.engine: Engine = Engines(self.library.model, settings)
            self.breath = Breath(self.engine, settings.learning_share)
            self.jobs = Jobs(folder / "serve" / "jobs", self.breath)
            self.jobs.kinds["learn"] = Learning(self.learner, self.files)
            self.jobs.kinds["probe"] = Probing(self.learner)
            self.jobs.kinds["forget"] = Forgetting(self.learner, self.jobs)
            self.jobs.kinds["remember"] = Remembering(self.learner)
            self.metrics = Metrics(self)
        except BaseException:
            self.lock.release()
            raise

    def start(self) -> None:
        """Begin with the jobs, those of a server before first."""
        self.jobs.start()

    def close(self) -> None:
        """Stop the job that runs, which goes on after the next start, and the engine."""
        self.jobs.close()
        self.engine.close()
        self.learner.close()
        self.library.close()
        self.lock.release()


def twin(model: Model) -> Model:
    """The model again, over the same weights, to be used by another thread at the same time."""
    from selfedit.model.language_model import LanguageModel

    return model.twin() if isinstance(model, LanguageModel) else model


def _locked(folder: Path) -> FileLock:
    lock = FileLock(folder / LOCK, thread_local=False)  # made by one thread, released by another
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"another server is working on the library {folder}: stop it, or name another library "
            "with --library"
        ) from None
    except OSError as error:
        raise StoreError(f"the library {folder} cannot be written: {error}") from error
    return lock
