"""Which document is to be forgotten, and whether a run that was killed has done it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from selfedit.errors import AdapterError, InputError, SelfEditError
from selfedit.home import expanded
from selfedit.learning.standing import Standing, kind_of
from selfedit.store import AdapterRecord, LearnedDocument

_LISTED = 8  # documents in a message


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be forgotten, looked up once, so that a second run after a kill takes nothing else and
    knows what the first has done.

    digest, title: the document's. version: the current one then, which holds it. latest: the newest one
    that there was then.
    """

    digest: str
    title: str
    version: int
    latest: int

    def to_json(self) -> dict[str, Any]:
        """As a job keeps it; `Target(**values)` reads it."""
        return asdict(self)


def find_target(standing: Standing, wanted: str) -> Target:
    """Raises InputError for an unknown document, AdapterError for a stack."""
    record = forgetful(standing)
    document = find_document(record.documents, wanted)
    latest = max(standing.store.recorded())
    return Target(document.digest, document.title, record.version, latest)


def find_document(documents: Sequence[LearnedDocument], wanted: str) -> LearnedDocument:
    """By its file, its source, its title or the beginning of its digest. Raises InputError."""
    path = wanted
    with suppress(SelfEditError, OSError, ValueError):  # a title may begin with ~, or hold a NUL
        path = str(expanded(wanted).resolve())
    tests = (
        lambda own: own.source in (path, wanted),
        lambda own: own.title.casefold() == wanted.casefold(),
        lambda own: Path(own.source).name == wanted,
        lambda own: len(wanted) >= 6 and own.digest.startswith(wanted),
    )
    for test in tests:
        found = [own for own in documents if test(own)]
        if len(found) == 1:
            return found[0]
        if found:
            several = ", ".join(own.source for own in found[:_LISTED])
            raise InputError(f"{wanted} may be any of {several}: name one by its whole path")
    known = ", ".join(own.title for own in documents[-_LISTED:]) or "nothing"
    raise InputError(f"the current version did not learn {wanted}; it knows {known}")


def forgetful(standing: Standing) -> AdapterRecord:
    """The current version, if it can forget."""
    record = standing.store.current(standing.model.revision)
    if record is None:
        raise InputError("nothing was learned: the bare model is current")
    if kind_of(record).startswith("stack"):
        raise AdapterError(
            f"version {record.version} is a {kind_of(record)}: every document is merged into the next "
            "one's weights, so that none can be taken out. Roll back to a version before it."
        )
    return record


def done_before(standing: Standing, target: Target) -> tuple[bool, int | None]:
    """Whether it was done since it was looked up, and the version without the document."""
    store, revision = standing.store, standing.model.revision
    if _digests(store.adapter(target.version)) == {target.digest}:
        return store.current(revision) is None, None
    records = {record.version: record for record in store.adapters(include_deleted=True)}
    for record in records.values():
        below = None if record.parent is None else records.get(record.parent)
        if record.version <= target.latest or below is None or record.status == "deleted":
            continue
        without = target.digest in _digests(below) and (
            _digests(record) == _digests(below) - {target.digest}
        )
        if without and _stands_on(records, below, target.version):
            return True, record.version
    return False, None


def _digests(record: AdapterRecord) -> set[str]:
    return {document.digest for document in record.documents}


def _stands_on(records: Mapping[int, AdapterRecord], record: AdapterRecord, version: int) -> bool:
    """Whether a version is that one or was made from it, as another program may learn meanwhile."""
    found: AdapterRecord | None = record
    while found is not None and found.version != version:
        found = None if found.parent is None else records.get(found.parent)
    return found is not None
