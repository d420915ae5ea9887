"""An adapter that is not a version yet: what it remembers, and its way into the library."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from selfedit.config import stable_hash
from selfedit.domains.knowledge.sequences import as_sequence, neighbours
from selfedit.domains.knowledge.settings import KnowledgeSettings, LearnSettings
from selfedit.errors import CurrentMoved
from selfedit.learning.outcome import Verdict, scores
from selfedit.learning.shelf import Shelf
from selfedit.memory.answering import Answering
from selfedit.seams import Adapters, Model
from selfedit.store import AdapterRecord, LearnedDocument, LearnedPassage, Store
from selfedit.types import LearnResult, TrainingPlan, TrainingSequence


@dataclass(frozen=True, slots=True)
class Draft:
    """older: documents that it takes over from the parent; new: those that were learned for it. parent:
    the version that was current, None for the bare model. answering: what answers with it. adapters: a
    bank of one, which is its own; None where every passage has another. losses: of each step, nats per
    token."""

    older: tuple[LearnedDocument, ...]
    new: tuple[LearnedDocument, ...]
    parent: AdapterRecord | None
    answering: Answering
    adapters: Adapters | None = None
    losses: tuple[float, ...] = ()

    @property
    def documents(self) -> tuple[LearnedDocument, ...]:
        """All that it holds."""
        return (*self.older, *self.new)


def final_plan(documents: Sequence[LearnedDocument], settings: KnowledgeSettings) -> TrainingPlan:
    """Everything that a version is trained on, each text once, under its first title."""
    passages = [passage for document in documents for passage in document.passages if passage.sequences]
    found: dict[str, LearnedPassage] = {}
    for passage in passages:
        for text in passage.sequences:
            found.setdefault(text, passage)
    count = -(-settings.neighbours // max(1, len(passages)))
    near = dict.fromkeys(one for passage in passages for one in _neighbours(passage, settings, count))
    return TrainingPlan(
        tuple(as_sequence(text, own.title, settings, own.context) for text, own in found.items()),
        neighbours=tuple(near),
    )


def _neighbours(
    passage: LearnedPassage, settings: KnowledgeSettings, count: int
) -> tuple[TrainingSequence, ...]:
    """As of its self-edit (`training_plan`); statements stand for a passage that is not known."""
    statements = [text.removeprefix(f"{passage.title}\n") for text in passage.sequences]
    own = [statement for statement in statements if statement != passage.context]
    return neighbours(passage.title, passage.context or "\n".join(own), own, settings, count)


# Statements of older documents that a stack with an anchor trains on again, of all together.
REPLAYED = 16


def replay(documents: Sequence[LearnedDocument], settings: LearnSettings) -> list[LearnedDocument]:
    """The documents with a few of their statements, as many of each, drawn with the settings' seed."""
    draw = random.Random(stable_hash([settings.seed, [own.digest for own in documents]]))
    each = -(-REPLAYED // max(1, len(documents)))
    return [_thinned(document, draw, each) for document in documents[-REPLAYED:]]


def _thinned(document: LearnedDocument, draw: random.Random, count: int) -> LearnedDocument:
    texts = [(p, text) for p, own in enumerate(document.passages) for text in own.sequences]
    drawn = draw.sample(texts, min(count, len(texts)))
    passages = tuple(
        replace(own, sequences=tuple(text for p, text in drawn if p == place))
        for place, own in enumerate(document.passages)
    )
    return replace(document, passages=passages)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a draft goes. model: the one that its adapter was trained over; bare: the one that the
    version belongs to, which is another in a stack. run_id: the run that made it."""

    store: Store
    shelf: Shelf
    run_id: int | None
    model: Model
    bare: Model


def commit(draft: Draft, result: LearnResult, verdict: Verdict, place: Place) -> LearnResult:
    """Save the adapter as a version and, if the verdict says so, make it current in one transaction.

    The current version is checked again in that transaction: if another process has rolled it back
    meanwhile, the new version is kept but does not take its place.
    """
    store, shelf = place.store, place.shelf
    version = store.reserve_version()
    folder = shelf.place(version)
    if draft.adapters is None:
        folder = shelf.library / "passages"
    else:
        place.model.save_adapter(draft.adapters, 0, folder)
    record = AdapterRecord(
        version=version,
        model=place.bare.name,
        model_revision=place.bare.revision,
        parent=draft.parent.version if draft.parent else None,
        status="committed" if verdict.committed else "rejected",
        path=shelf.name(version),
        created=datetime.now(UTC),
        reason=verdict.reason,
        settings=result.settings,
        documents=draft.documents,
        scores=scores(result),
        run_id=place.run_id,
    )
    try:
        store.add_adapter(record, make_current=verdict.committed)
    except CurrentMoved as moved:
        verdict = Verdict(False, _moved(moved.current, record))
        store.add_adapter(replace(record, reason=verdict.reason), make_current=False)
    return replace(
        result,
        version=version,
        committed=verdict.committed,
        reason=verdict.reason,
        adapter_path=str(folder),
    )


def _moved(now: int | None, record: AdapterRecord) -> str:
    def named(version: int | None) -> str:
        return "the bare model" if version is None else f"version {version}"

    return (
        f"while it was learned, {named(now)} became current in place of {named(record.parent)}, and "
        f"stays so; `selfedit adapters rollback {record.version}` makes the new one current"
    )
