"""What answers with a version: its kind of memory says how its adapters are used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, cast

from selfedit.config import stable_hash
from selfedit.domains.knowledge.settings import (
    MEMORY_KINDS,
    ROUTER_KINDS,
    LearnSettings,
    MemoryKind,
    RouterKind,
    for_memory,
)
from selfedit.errors import AdapterError, NoSuchVersion
from selfedit.learning.shelf import Shelf
from selfedit.memory.answering import Adapted, Answering
from selfedit.memory.loaded import Loaded
from selfedit.memory.routed import MakeRouter, Routed, by_words
from selfedit.seams import Adapters, Model
from selfedit.store import AdapterRecord, LearnedDocument, Store

if TYPE_CHECKING:
    from selfedit.memory.blended import Embedder


def kind_of(record: AdapterRecord | None) -> MemoryKind:
    """How a version keeps what it holds; those of before there were kinds, and the bare model: single.
    Raises AdapterError for one of a newer selfedit."""
    kind = None if record is None else record.settings.get("memory")
    if kind is not None and kind not in MEMORY_KINDS:
        raise AdapterError(f"the version keeps its memory as {kind!r}: upgrade selfedit to use it")
    return cast(MemoryKind, kind or "single")


def router_of(record: AdapterRecord | None) -> RouterKind:
    """How a version finds what a question concerns. Raises AdapterError for one of a newer selfedit."""
    kind = None if record is None else record.settings.get("router")
    if kind is not None and kind not in ROUTER_KINDS:
        raise AdapterError(f"the version's router is {kind!r}: upgrade selfedit to use it")
    return cast(RouterKind, kind or "bm25")


def settled(settings: LearnSettings, current: AdapterRecord | None) -> LearnSettings:
    """The settings with a kind of memory and a router, those of the current version if they name none;
    without one the memory is routed."""
    kind = settings.memory or ("routed" if current is None else kind_of(current))
    router = {"router": settings.router or router_of(current)} if kind == "routed" else {}
    return for_memory(settings, kind).model_copy(update=router)


def adapter_names(record: AdapterRecord) -> set[str]:
    """The adapters that a version needs, by the names that `Shelf.adapter` knows; none where everything
    that it was trained on was forgotten."""
    own = Shelf.own(record.version)
    learned = [p for document in record.documents for p in document.passages if p.sequences]
    if kind_of(record) == "routed" or not learned:
        return {passage.adapter or own for passage in learned}
    return {own, *(passage.adapter for passage in learned if passage.adapter)}


def has_none(record: AdapterRecord) -> AdapterError:
    """For what cannot be done with a version that needs no adapter."""
    return AdapterError(
        f"version {record.version} has no adapter: what it knew was forgotten, and it answers as the "
        "bare model."
    )


def needed(store: Store) -> set[str]:
    """The adapters that versions which are not deleted need, those below a stack among them."""
    records = {record.version: record for record in store.adapters()}
    names: set[str] = set()
    for record in records.values():
        names |= adapter_names(record)
        below = record.parent if kind_of(record).startswith("stack") else None
        while below is not None:
            names.add(Shelf.own(below))
            own = records.get(below) or store.adapter(below)
            below = own.parent if kind_of(own).startswith("stack") else None
    return names


def named(documents: Sequence[LearnedDocument], own: str) -> list[LearnedDocument]:
    """The documents with the adapter of every passage named: own, where none is."""
    return [
        replace(
            document,
            passages=tuple(replace(one, adapter=one.adapter or own) for one in document.passages),
        )
        for document in documents
    ]


class Standing:
    """Versions of one library as they answer. model: the bare one."""

    def __init__(
        self,
        model: Model,
        store: Store,
        shelf: Shelf,
        status: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.model, self.store, self.shelf, self.status = model, store, shelf, status
        self.loaded = Loaded(model, self.load)

    @cached_property
    def embedder(self) -> Embedder:
        """The model behind the blended router, fetched on first use. Raises ModelError."""
        from selfedit.model.text_embedding import TextEmbedder, fetch_text_embedder

        return TextEmbedder(fetch_text_embedder(self.status))

    def load(self, name: str) -> Adapters:
        """An adapter by its name. Raises AdapterError if it is gone or damaged."""
        folder = self.shelf.adapter(name)
        if not folder.is_dir():
            raise AdapterError(
                f"the adapter {name} is not there: {folder} is gone. Copy a library as a whole; "
                "`selfedit adapters rollback` names another version, and learning its document again "
                "makes it anew."
            )
        return self.model.load_adapter(folder)

    def of(self, record: AdapterRecord | None) -> Answering:
        """What answers with a version; None: the bare model. Raises AdapterError, also for a version of
        another model: a routed one would answer with this bare model where nothing is concerned."""
        if record is None:
            return Adapted()
        if record.status == "deleted":
            raise NoSuchVersion(f"version {record.version} was deleted.")
        if record.model_revision != self.model.revision:
            raise NoSuchVersion(
                f"version {record.version} is one of {record.model} ({record.model_revision}), and "
                f"{self.model.name} ({self.model.revision}) is asked: name its own model with --model."
            )
        kind = kind_of(record)
        if kind == "routed":
            most = int(record.settings.get("adapters_per_question") or 1)
            return self.routed(record.documents, most, Shelf.own(record.version), router_of(record))
        if not adapter_names(record):
            return Adapted()
        if kind == "single":
            self.shelf.find(record.version)
            return Adapted(self.loaded.bank([((Shelf.own(record.version), 1.0),)]))
        return Adapted(other=self.stacked(record))

    def routed(
        self,
        documents: Sequence[LearnedDocument],
        most: int,
        own: str = "",
        router: RouterKind | None = None,
    ) -> Routed:
        return Routed(documents, self.loaded, own=own, most=most, router=self.router(router))

    def router(self, kind: RouterKind | None) -> MakeRouter:
        if kind != "blended":
            return by_words
        from selfedit.memory.blended import blended

        return lambda passages: blended(passages, self.embedder, self.store)

    def stacked(self, record: AdapterRecord | None) -> Model:
        """The model with the adapters of a version and of those below it merged in, the oldest first;
        the bare one for None, and for versions of another kind nothing lies below."""
        chain: list[AdapterRecord] = []
        while record is not None:
            chain.append(record)
            below = record.parent if kind_of(record).startswith("stack") else None
            record = None if below is None else self.store.adapter(below)
        model = self.model
        for one in reversed(chain):
            if not adapter_names(one):  # all that it was trained on was forgotten
                continue
            if kind_of(one) == "routed" and adapter_names(one) != {Shelf.own(one.version)}:
                raise AdapterError(
                    f"version {one.version} is routed, and has no adapter to stack others on: "
                    "`selfedit adapters consolidate` makes one of it."
                )
            revision = stable_hash([model.revision, Shelf.own(one.version), one.created.isoformat()])
            adapters = model.load_adapter(self.shelf.find(one.version))
            model = model.merged(adapters, 0, revision)
        return model
