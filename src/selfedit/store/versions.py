"""Adapters, their version numbers and lineage, and which of them is the current one of its model."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from selfedit.errors import AdapterError, CurrentMoved, NoSuchVersion
from selfedit.store.records import (
    AdapterRecord,
    LearnedDocument,
    adapter_record,
    adapter_row,
    document_keys,
    document_rows,
    from_json,
    learned_document,
)
from selfedit.store.schema import AdapterRow, CurrentRow, DocumentRow, VersionRow
from selfedit.store.sessions import KEYS_PER_QUERY, Sessions


class Versions(Sessions):
    """The adapters of a store."""

    def reserve_version(self) -> int:
        """A number for a new adapter, never given twice."""
        with self._write() as session:
            row = VersionRow(reserved=datetime.now(UTC))
            session.add(row)
            session.flush()
            return row.version

    def add_adapter(self, record: AdapterRecord, make_current: bool) -> AdapterRecord:
        """Add an adapter and, in the same transaction, make it the current one of its model.

        Returns the record as stored. Raises CurrentMoved, adding nothing, where it is to take the place
        of another one than its parent; AdapterError for a version that is taken or was never reserved,
        an unknown parent, or a current adapter that is not committed.
        """
        row = adapter_row(record)
        with self._write() as session:
            if session.get(VersionRow, record.version) is None:
                raise AdapterError(
                    f"Version {record.version} was never reserved; ask `reserve_version` for one."
                )
            if session.get(AdapterRow, record.version) is not None:
                raise AdapterError(f"There is an adapter version {record.version} already.")
            if record.parent is not None:
                self._find(session, record.parent)
            if make_current:
                self._check_parent(session, record)
            if rows := document_rows(record.documents):
                insert = self._insert(DocumentRow).on_conflict_do_nothing(index_elements=["key"])
                session.connection().execute(insert, rows)
            session.add(row)
            session.flush()
            if make_current:
                self._point(session, record.model_revision, row)
            return self._records(session, [row])[0]

    def adapters(
        self, model_revision: str | None = None, include_deleted: bool = False
    ) -> list[AdapterRecord]:
        """The adapters of one base model or of all, oldest first."""
        query = select(AdapterRow).order_by(AdapterRow.version)
        if model_revision is not None:
            query = query.where(AdapterRow.model_revision == model_revision)
        if not include_deleted:
            query = query.where(AdapterRow.status != "deleted")
        with self._read() as session:
            return self._records(session, session.scalars(query).all())

    def recorded(self) -> set[int]:
        """The numbers of all versions, deleted and rejected ones included."""
        with self._read() as session:
            return set(session.scalars(select(AdapterRow.version)))

    def adapter(self, version: int) -> AdapterRecord:
        """One adapter, also a rejected or deleted one. AdapterError names those there are."""
        with self._read() as session:
            return self._records(session, [self._find(session, version)])[0]

    def current(self, model_revision: str) -> AdapterRecord | None:
        """The adapter that this base model answers with, None for the base model alone."""
        query = select(AdapterRow).join(CurrentRow, CurrentRow.version == AdapterRow.version)
        with self._read() as session:
            row = session.scalar(query.where(CurrentRow.model_revision == model_revision))
            return None if row is None else self._records(session, [row])[0]

    def set_current(self, model_revision: str, version: int | None) -> None:
        """Make a committed version the current one; None goes back to the base model alone.

        Raises AdapterError for a version of another model revision, a rejected or a deleted one.
        """
        with self._write() as session:
            if version is None:
                gone = delete(CurrentRow).where(CurrentRow.model_revision == model_revision)
                session.execute(gone)
            else:
                self._point(session, model_revision, self._find(session, version, lock=True))

    def mark_deleted(self, version: int) -> None:
        """Mark an adapter as deleted; its files are the caller's. Refuses the current one."""
        with self._write() as session:
            row = self._find(session, version, lock=True)
            if session.scalar(select(CurrentRow).where(CurrentRow.version == version)) is not None:
                raise AdapterError(
                    f"Adapter version {version} is the current one and cannot be deleted; "
                    "roll back to another version first."
                )
            row.status = "deleted"

    def _records(self, session: Session, rows: Sequence[AdapterRow]) -> list[AdapterRecord]:
        """The records, whose documents are read once, however many versions hold them."""
        keys = list(dict.fromkeys(key for row in rows for key in document_keys(row)))
        known: dict[str, LearnedDocument] = {}
        for at in range(0, len(keys), KEYS_PER_QUERY):
            wanted = select(DocumentRow).where(DocumentRow.key.in_(keys[at : at + KEYS_PER_QUERY]))
            for own in session.scalars(wanted):
                known[own.key] = learned_document(from_json(own.value))
        return [adapter_record(row, known) for row in rows]

    def _check_parent(self, session: Session, record: AdapterRecord) -> None:
        """Another process may have rolled back, or committed, since the adapter was begun."""
        row = session.get(CurrentRow, record.model_revision, with_for_update=True)
        now = None if row is None else row.version
        if now != record.parent:
            raise CurrentMoved(
                f"Adapter version {record.version} was built on {record.parent or 'the bare model'}, "
                f"but {now or 'the bare model'} is current now.",
                now,
            )

    def _find(self, session: Session, version: int, lock: bool = False) -> AdapterRow:
        row = None
        if 0 < version < 2**63:  # what a column holds
            row = session.get(AdapterRow, version, with_for_update=lock)
        if row is not None:
            return row
        there = session.scalars(
            select(AdapterRow.version)
            .where(AdapterRow.status != "deleted")
            .order_by(AdapterRow.version)
        ).all()
        hint = f"there are: {_ranges(there)}" if there else "there are no adapters yet"
        raise NoSuchVersion(f"There is no adapter version {version}; {hint}.")

    def _point(self, session: Session, model_revision: str, row: AdapterRow) -> None:
        if row.model_revision != model_revision:
            raise NoSuchVersion(
                f"Adapter version {row.version} was trained on another base model "
                f"({row.model} at {row.model_revision}); choose a version of {model_revision}."
            )
        if row.status != "committed":
            raise NoSuchVersion(
                f"Adapter version {row.version} was {row.status} and cannot be the current one; "
                "choose a committed version."
            )
        insert = self._insert(CurrentRow).values(model_revision=model_revision, version=row.version)
        session.execute(
            insert.on_conflict_do_update(
                index_elements=["model_revision"], set_={"version": row.version}
            )
        )


def _ranges(versions: Sequence[int]) -> str:
    """1, 2, 3, 7 → "1-3, 7"."""
    spans: list[list[int]] = []
    for version in versions:
        if spans and version == spans[-1][1] + 1:
            spans[-1][1] = version
        else:
            spans.append([version, version])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)
