"""A library: one folder that holds what a model has learned, version by version, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from selfedit.config import ANSWER_SAMPLING
from selfedit.data import Skipped, read_quiz
from selfedit.domains.knowledge import Document, Knowledge, read_sources
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.errors import AdapterError, InputError, NoSuchVersion, StoreError
from selfedit.grading import Grader, offline
from selfedit.home import DEFAULT_MODEL, STORE, expanded, library_folder
from selfedit.learning.consolidation import consolidate
from selfedit.learning.exporting import export
from selfedit.learning.forgetting import Forgotten, forget
from selfedit.learning.learner import Learner, Report
from selfedit.learning.quiz_writer import Quiz
from selfedit.learning.shelf import Shelf
from selfedit.learning.standing import Standing, needed
from selfedit.learning.targets import Target, find_target
from selfedit.loops.estimate import Confirm
from selfedit.memory.answering import Adapted, Answering
from selfedit.memory.probe import SAMPLE, probe
from selfedit.memory.routed import Routed, Source
from selfedit.memory.subjects import subject_of_learned
from selfedit.model.prompts import PromptFormat
from selfedit.progress import Progress, Silent
from selfedit.seams import Model
from selfedit.store import AdapterRecord, Store
from selfedit.types import LearnResult, ProbeResult, Prompt, Query

# Versions that are ready to answer; in a stack, each is a whole model.
_VERSIONS_AT_HAND = 2
_LOOK = 0.25  # seconds between two looks whether a wait was given up


class Library:
    """What a model has learned: `learn` adds to it, `ask` uses it, `rollback` takes it back.

    model: "smollm2-135m" (embedded), a Hugging Face id, or a model folder; or a loaded `Model`.
    folder: where store, adapters and reports are (default: the user's data folder, or
    $SELFEDIT_HOME/library). create: make it where it is not there; False: InputError. The model is
    loaded on first use.
    """

    def __init__(
        self,
        model: str | Model = DEFAULT_MODEL,
        folder: Path | str | None = None,
        *,
        create: bool = True,
        device: str = "auto",
        dtype: str = "auto",
        prompt_format: PromptFormat = "auto",
        trust_remote_code: bool = False,
        progress: Progress | None = None,
        status: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.folder = expanded(folder) if folder is not None else library_folder()
        self._model = model
        self._load: dict[str, Any] = {
            "device": device,
            "dtype": dtype,
            "prompt_format": prompt_format,
            "trust_remote_code": trust_remote_code,
            "status": status,
        }
        self.progress, self.status = progress, status
        if not create and not (self.folder / STORE).is_file():
            raise InputError(
                f"there is no library in {self.folder}: nothing was learned there. Name another one "
                "with --library, or make one: selfedit learn FILE."
            )
        self.store = Store(self.folder / STORE)
        self.shelf = Shelf(self.folder)
        self._answering: dict[int, Answering] = {}

    @property
    def model(self) -> Model:
        if isinstance(self._model, str):
            from selfedit.model.load import load_model

            self._model = load_model(self._model, **self._load)
        return self._model

    @cached_property
    def standing(self) -> Standing:
        """Its versions as they answer."""
        return Standing(self.model, self.store, self.shelf, self.status)

    def learn(
        self,
        documents: str | Path | Document | Sequence[str | Path | Document],
        quiz: str | Path | Sequence[Query] | Quiz | None = None,
        settings: LearnSettings | None = None,
        *,
        grader: Grader = offline,
        confirm: Confirm | None = None,
        report: Report | None = None,
        allow_urls: bool = False,
        origin: str = "",
    ) -> LearnResult:
        """Learn documents; commit a new version only if it knows more and forgot little.

        documents: files, folders, globs, "-" for standard input, addresses of the web (allow_urls), or
        texts that are no file's (`text_document`); see docs/inputs.md. quiz: a file, questions, or a
        quiz that was made of the documents; None: one is made. grader: of the answers. confirm: asked
        with an estimate before long work; False stops. report: writes a report into the library
        (`experiments.learn` gives one). origin: what asked for it; the run's record keeps it. One
        `learn` at a time works on a library; a second one waits for it. Raises SelfEditError.
        """
        if settings is not None and settings.measure.kind != "accuracy":
            raise InputError("`learn` chooses by accuracy; measure is for rewards of an outer loop")
        if settings is not None and settings.knowledge.strategy == "directed":
            raise InputError(
                "a `directed` self-edit asks for a training of its own, and `learn` trains them all "
                "together: use another strategy (`train` and `eval knowledge` take this one)."
            )
        named = [documents] if isinstance(documents, str | Path | Document) else documents
        sources = read_sources(named, allow_urls=allow_urls)
        skipped = Skipped()
        name = str(quiz) if isinstance(quiz, str | Path) else None
        questions = read_quiz(quiz, skipped=skipped) if isinstance(quiz, str | Path) else quiz or ()
        notes = (*sources.notes, *skipped.notes(str(quiz)))
        with self._alone():
            # Made under the lock: the one before may have moved what this one stands on.
            learner = Learner(
                self.model,
                self.store,
                self.folder,
                settings or LearnSettings(),
                grader=grader,
                progress=self.progress,
                report=report,
                status=self.status,
            )
            return learner.run(sources.documents, questions, confirm, name, notes, origin)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Holding the lock of this library's learners: the second builds on what the first has
        committed. What one left that was killed is taken away."""
        with self._locked():
            self.shelf.clear(self.store.recorded())
            yield

    def _locked(self) -> AbstractContextManager[object]:
        lock, wait = FileLock(self.folder / "learn.lock"), 0.0
        while True:
            try:
                return lock.acquire(timeout=wait)
            except Timeout:
                if not wait:
                    self.status("another learn is running on this library; waiting for it")
                wait = _LOOK
                if self.progress is not None:  # a job that was cancelled stops at its next step
                    self.progress.advance(0)
            except OSError as error:
                raise StoreError(f"the library {self.folder} cannot be written: {error}") from error

    def ask(
        self, questions: str | Sequence[str], *, version: int | None = None, base: bool = False
    ) -> list[str]:
        """Answers of the current version (a given one, or the bare model with base=True)."""
        asked = [questions] if isinstance(questions, str) else list(questions)
        return ask_model(self.model, asked, None if base else self.answering(version))

    def sources(
        self, questions: str | Sequence[str], *, version: int | None = None
    ) -> list[list[Source]]:
        """For each question the learned passages that it concerns, the first one first; none where the
        bare model is asked. Where one adapter holds everything, it answers all the same."""
        record = self.current() if version is None else self.adapter(version)
        asked = [questions] if isinstance(questions, str) else list(questions)
        if record is None:
            return [[] for _ in asked]
        answering = self.answering(version)
        if not isinstance(answering, Routed):
            own = self.shelf.own(record.version)
            answering = self.standing.routed(record.documents, 1, own)
        return [answering.sources(prompt) for prompt in prompts_of(asked)]

    def answering(self, version: int | None = None) -> Answering | None:
        """What answers with a version (default: the current one); None: the bare model. Raises
        AdapterError."""
        record = self.current() if version is None else self.adapter(version)
        if record is None:
            return None
        if record.version not in self._answering or record.status == "deleted":
            found = self.standing.of(record)
            while len(self._answering) >= _VERSIONS_AT_HAND:
                self._answering.pop(next(iter(self._answering)))
            self._answering[record.version] = found
        return self._answering[record.version]

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
        if version is not None and version != 0:
            record = self.store.adapter(version)
            self.store.set_current(record.model_revision, version)
            return record
        current = self.current()
        if current is None:
            raise NoSuchVersion("there is nothing to roll back: the bare model is current.")
        parent = None if version == 0 else current.parent
        if parent is not None and self.store.adapter(parent).status == "deleted":
            raise NoSuchVersion(
                f"version {parent}, the one before, was deleted; name another one, or 0 for the "
                "bare model."
            )
        self.store.set_current(current.model_revision, parent)
        return self.store.adapter(parent) if parent is not None else None

    def delete(self, version: int) -> None:
        """Delete a version's files, those of its passages too if no other version has them; its record
        stays, marked deleted. Not the current one. An adapter that another version needs stays."""
        self.shelf.place(self.store.adapter(version).version)  # refused before anything is marked
        with self._alone():
            self.store.mark_deleted(version)
            self._answering.pop(version, None)
            kept = needed(self.store)  # no model is loaded for it
            if self.shelf.own(version) not in kept:
                self.shelf.remove(version)
            self.shelf.sweep(kept)

    def to_forget(self, document: str | Path) -> Target:
        """A learned document by its file, source or title, as `forget` takes it: who keeps it may call
        `forget` again after a kill. Raises InputError, AdapterError."""
        return find_target(self.standing, str(document))

    def forget(self, document: str | Path | Target, settings: LearnSettings | None = None) -> Forgotten:
        """Make a version without a document the current one, and show that its facts are gone
        (`learning.forgetting`). document: as `to_forget` takes it, or what that gave. settings: for a
        training, where an adapter holds other documents, too; None: those it was trained with. Raises
        SelfEditError."""
        with self._alone():
            target = document if isinstance(document, Target) else self.to_forget(document)
            return forget(self.standing, target, settings, self.progress or Silent())

    def consolidate(self, settings: LearnSettings | None = None) -> LearnResult:
        """One adapter from everything that is kept, if it passes the gate (`learning.consolidation`).
        Raises SelfEditError."""
        with self._alone():
            own, progress = settings or LearnSettings(), self.progress or Silent()
            return consolidate(self.standing, own, progress)

    def export(
        self,
        folder: Path | str,
        *,
        version: int | None = None,
        merged: bool = False,
        gguf: bool = False,
        llama_cpp: Path | None = None,
    ) -> Path:
        """Write a version as a PEFT folder, merged as a model folder, or a routed one as a folder of
        PEFT folders with a routing table; gguf: as a GGUF file in the folder, by the converter of
        llama_cpp (see `model.gguf`). Raises AdapterError, ModelError."""
        record = self.current() if version is None else self.store.adapter(version)
        if record is None or record.status == "deleted":
            raise AdapterError("there is no such version to export; see `selfedit adapters list`.")
        return export(self.standing, record, expanded(folder), merged, gguf=gguf, llama_cpp=llama_cpp)

    def probe(self, version: int | None = None, sample: int = SAMPLE) -> ProbeResult:
        """What a version (default: the current one) broke of the bare model (`memory.probe`).

        sample: how many general questions are asked again, at most. Raises SelfEditError.
        """
        record = self.current() if version is None else self.adapter(version)
        if record is None:
            raise AdapterError("there is no version to probe: the bare model is current.")
        answering = self.answering(record.version)
        assert answering is not None, "a version that there is"
        subjects = [subject_of_learned(document) for document in record.documents]
        return probe(self.model, answering, subjects, progress=self.progress, sample=sample)

    def close(self) -> None:
        self.store.close()


def ask_model(model: Model, questions: Sequence[str], answering: Answering | None = None) -> list[str]:
    """Greedy closed-book answers of a model, bare or with what was learned."""
    replies = (answering or Adapted()).sample(model, prompts_of(questions), ANSWER_SAMPLING)
    return [reply.text for reply in replies]


def prompts_of(questions: Sequence[str]) -> list[Prompt]:
    """Questions as they are asked."""
    domain = Knowledge()
    return [domain.question(Query(question, ("",))) for question in questions]
