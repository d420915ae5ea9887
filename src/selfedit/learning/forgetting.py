"""Forgetting a document on purpose: a version without it, and the proof that its facts are gone and all
else is as it was."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from selfedit.config import LoraSettings, TrainSettings
from selfedit.domains.knowledge import Knowledge
from selfedit.domains.knowledge.settings import KnowledgeSettings, LearnSettings
from selfedit.errors import AdapterError, InputError, SelfEditError
from selfedit.grading import offline
from selfedit.learning.draft import final_plan
from selfedit.learning.measuring import graded
from selfedit.learning.shelf import Shelf
from selfedit.learning.standing import Standing, adapter_names, kind_of, named
from selfedit.learning.targets import Target, done_before, forgetful
from selfedit.loops.sampler import Writer
from selfedit.memory.answering import Answering
from selfedit.memory.answers import answers_of
from selfedit.memory.routed import Routed
from selfedit.progress import Progress, by_steps
from selfedit.store import AdapterRecord, LearnedDocument
from selfedit.types import Query

# What decides how an adapter is trained, of a version's settings, and what reads each part.
_OF_A_TRAINING: dict[str, Callable[[Any], Any]] = {
    "knowledge": KnowledgeSettings.model_validate,
    "lora": LoraSettings.model_validate,
    "train": TrainSettings.model_validate,
    "seed": int,
}


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A document that was forgotten, and how that shows.

    version: that is current now, None for the bare model. num_questions: about the document; right
    before, right after, and right by the bare model. as_bare: those that are answered word for word as
    the bare model does. num_documents: that are left. unchanged: adapters of these, all of them bit for
    bit as they were; retrained: passages whose adapter held the document, too, and was trained anew.
    rerouted: questions about them that meet other adapters than before.
    """

    document: str
    source: str
    version: int | None
    num_questions: int
    right_before: int
    right_after: int
    right_bare: int
    as_bare: int
    num_documents: int
    unchanged: int
    retrained: int
    rerouted: int
    seconds: float

    def summary(self) -> dict[str, Any]:
        """What `selfedit forget --json` prints."""
        return asdict(self)


def forget(
    standing: Standing, target: Target, settings: LearnSettings | None, progress: Progress
) -> Forgotten:
    """Make a version without a document the current one. Older versions keep it until they are deleted.
    Where a run that was killed has done it, it is only measured.

    settings: for a training, where an adapter holds the document and others; None: those that the
    adapter was trained with, by its version's record. The new version's record has those that were
    used. Raises InputError where the current version does not hold the document, AdapterError for a
    stack, whose weights cannot be taken apart, and SelfEditError.
    """
    start = time.perf_counter()
    is_done, version = done_before(standing, target)
    record = standing.store.adapter(target.version) if is_done else forgetful(standing)
    document = next((own for own in record.documents if own.digest == target.digest), None)
    if document is None:
        raise InputError(f"version {record.version}, which is current, does not hold {target.title}")
    before = standing.of(record)
    hashes = _hashes(standing.shelf, record)
    parts = _Parts.of(record, document)
    if not is_done:
        version = _without(standing, record, document, parts, settings, progress)
    after = standing.of(None if version is None else standing.store.adapter(version))
    left = parts.left
    told = _told(standing, document, before, after, progress)
    return Forgotten(
        document.title,
        document.source,
        version,
        *told,
        num_documents=len(left),
        unchanged=_unchanged(standing, version, hashes),
        retrained=sum(bool(p.sequences) for other in parts.shared for p in other.passages),
        rerouted=_rerouted(left, before, after),
        seconds=time.perf_counter() - start,
    )


@dataclass(frozen=True, slots=True)
class _Parts:
    """A version without a document. left: the other documents, every passage with its adapter's name.
    gone: adapters that cannot stay. shared: documents with those passages alone that these hold."""

    left: list[LearnedDocument]
    gone: set[str]
    shared: list[LearnedDocument]

    @classmethod
    def of(cls, record: AdapterRecord, document: LearnedDocument) -> _Parts:
        own = Shelf.own(record.version)
        left = named([other for other in record.documents if other is not document], own)
        # A single version has one adapter of everything, whatever its passages were learned by before.
        held = (document, *left) if kind_of(record) == "single" else (document,)
        gone = {p.adapter or own for one in held for p in one.passages if p.sequences}
        shared = [other for other in (_only(one, gone) for one in left) if other.sequences]
        return cls(left, gone, shared)


def _without(
    standing: Standing,
    record: AdapterRecord,
    document: LearnedDocument,
    parts: _Parts,
    settings: LearnSettings | None,
    progress: Progress,
) -> int | None:
    """The new current version; None: the bare model."""
    store, model = standing.store, standing.model
    left = parts.left
    if not left:
        store.set_current(record.model_revision, None)
        return None
    version, recorded = store.reserve_version(), record.settings
    if parts.shared:
        settings = settings or _trained_with(standing, record, parts.gone)
        used = settings.model_dump(mode="json", include={*_OF_A_TRAINING})
        recorded = {**recorded, **used}
        plan = final_plan(parts.shared, settings.knowledge)
        progress.start("training again what shared an adapter with it", 100)
        adapters, (trained,) = model.train(
            [plan], settings.lora, settings.train, [settings.seed], on_step=by_steps(progress, 100)
        )
        if trained.failure:
            raise SelfEditError(f"what is left could not be trained: {trained.failure}")
        model.save_adapter(adapters, 0, standing.shelf.place(version))
        left = [_renamed(other, parts.gone) for other in left]
    new = replace(
        record,
        version=version,
        parent=record.version,
        path=Shelf.name(version),
        created=datetime.now(UTC),
        reason=f"{document.title} was forgotten",
        settings=recorded,
        documents=tuple(left),
        scores={},
        run_id=None,
    )
    store.add_adapter(new, make_current=True)
    return version


def _trained_with(standing: Standing, record: AdapterRecord, gone: set[str]) -> LearnSettings:
    """The settings that a version's shared adapter was trained with: those of the latest version whose
    own is among the adapters that are gone. Raises AdapterError where they cannot be read."""
    versions = [int(name[1:]) for name in gone if name.startswith("v")]
    if kind_of(record) != "single" and versions:
        record = standing.store.adapter(max(versions))
    stored = {name: record.settings[name] for name in _OF_A_TRAINING if name in record.settings}
    try:
        # Each by itself: `LearnSettings` would fill in what a record of an older release did not know.
        parts = {k: _OF_A_TRAINING[k](v) for k, v in stored.items()}
        return LearnSettings(**parts)
    except ValueError as error:
        raise AdapterError(
            f"version {record.version} was learned with settings that this selfedit does not know: "
            f"{error}"
        ) from error


def _only(document: LearnedDocument, adapters: set[str]) -> LearnedDocument:
    """The document with the texts of these adapters' passages alone."""
    passages = (p if p.adapter in adapters else replace(p, sequences=()) for p in document.passages)
    return replace(document, passages=tuple(passages))


def _renamed(document: LearnedDocument, gone: set[str]) -> LearnedDocument:
    """Passages of adapters that are gone are in the new version's own."""
    passages = (replace(p, adapter="") if p.adapter in gone else p for p in document.passages)
    return replace(document, passages=tuple(passages))


def _told(
    standing: Standing,
    document: LearnedDocument,
    before: Answering,
    after: Answering,
    progress: Progress,
) -> tuple[int, int, int, int, int]:
    """Of the questions about the document: how many, right before, after and by the bare model, and
    answered as by the bare model."""
    queries = (*document.selection, *document.held_out)
    domain = Knowledge(grader=offline)
    prompts = [domain.question(query) for query in queries]
    writer = Writer(standing.model, standing.store, progress)
    old = [own.text for own in answers_of(before, prompts, writer, "version before")]
    new = [own.text for own in answers_of(after, prompts, writer, "version without it")]
    bare = writer.answer(prompts, "asking the bare model")
    same = sum(a == b for a, b in zip(new, bare, strict=True))
    right = (_right(domain, queries, old), _right(domain, queries, new), _right(domain, queries, bare))
    return len(queries), *right, same


def _right(domain: Knowledge, queries: Sequence[Query], answers: Sequence[str]) -> int:
    return sum(answer.correct for answer in graded(domain, queries, answers))


def _hashes(shelf: Shelf, record: AdapterRecord) -> dict[str, str]:
    """Of the files of each adapter that a version needs."""
    return {name: _hash(shelf.adapter(name)) for name in sorted(adapter_names(record))}


def _hash(folder: Path) -> str:
    whole = hashlib.sha256()
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        with path.open("rb") as file:
            whole.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()


def _unchanged(standing: Standing, version: int | None, before: dict[str, str]) -> int:
    """Adapters of the new version that are bit for bit those of the one before. Raises AdapterError if
    one that should be is not."""
    if version is None:
        return 0
    after = _hashes(standing.shelf, standing.store.adapter(version))
    kept = before.keys() & after.keys()
    changed = [name for name in kept if after[name] != before[name]]
    if changed:
        raise AdapterError(f"the adapter {changed[0]} changed while a document was forgotten")
    return len(kept)


def _rerouted(left: Sequence[LearnedDocument], before: Answering, after: Answering) -> int:
    if not (isinstance(before, Routed) and isinstance(after, Routed)):
        return 0
    domain = Knowledge()
    prompts = [domain.question(query) for own in left for query in own.reported]
    return sum(before.mix(prompt) != after.mix(prompt) for prompt in prompts)
