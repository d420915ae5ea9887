"""The store: runs, trials, cached verdicts, adapters and their lineage.

Every public write is one transaction, so an interrupted program leaves a store that is whole.
Several processes and threads may use one store.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from selfedit.errors import AdapterError, StoreError
from selfedit.store.database import connect, explained, migrate, store_name, store_url
from selfedit.store.records import (
    AdapterRecord,
    RunRecord,
    adapter_record,
    adapter_row,
    from_json,
    run_record,
    to_json,
    trial_of,
    trial_values,
)
from selfedit.store.schema import (
    AdapterRow,
    Base,
    CacheRow,
    CurrentRow,
    RunRow,
    TrialRow,
    VersionRow,
)
from selfedit.types import Trial

_KEYS_PER_QUERY = 500  # below SQLite's smallest limit of variables (999)


class Store:
    """A store in an SQLite file, or at a SQLAlchemy URL. Raises StoreError when it cannot serve."""

    def __init__(self, url_or_path: str | Path) -> None:
        """Open the store; create or upgrade it first where needed."""
        url = store_url(url_or_path)
        self.name = store_name(url)
        self._engine = connect(url)
        self._writer = self._engine.execution_options(sqlite_begin="IMMEDIATE")
        try:
            migrate(self._engine)
        except BaseException:
            self._engine.dispose()
            raise

    def close(self) -> None:
        """Give back the connections."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Runs

    def start_run(
        self,
        kind: str,
        model: str,
        model_revision: str,
        settings: Mapping[str, Any],
        inputs: Mapping[str, Any],
    ) -> int:
        """Record that a command began; returns the run's number."""
        row = RunRow(
            kind=kind,
            model=model,
            model_revision=model_revision,
            status="running",
            settings=to_json(dict(settings)),
            inputs=to_json(dict(inputs)),
            error="",
            started=datetime.now(UTC),
        )
        with self._write() as session:
            session.add(row)
            session.flush()
            return row.id

    def finish_run(
        self,
        run_id: int,
        status: Literal["finished", "failed", "interrupted"],
        result: Mapping[str, Any] | None = None,
        error: str = "",
    ) -> None:
        """Record how a run ended. NaN in the result becomes None."""
        said = None if result is None else to_json(dict(result))
        with self._write() as session:
            row = session.get(RunRow, run_id)
            if row is None:
                raise StoreError(f"The store {self.name} holds no run {run_id}.")
            row.status, row.result, row.error = status, said, error
            row.finished = datetime.now(UTC)

    def run(self, run_id: int) -> RunRecord:
        """One run. Raises StoreError where there is none of that number."""
        with self._read() as session:
            row = session.get(RunRow, run_id)
            if row is None:
                raise StoreError(f"The store {self.name} holds no run {run_id}; see `selfedit report`.")
            return run_record(row)

    def runs(self, limit: int | None = 50) -> list[RunRecord]:
        """The latest runs, newest first; all of them with None."""
        with self._read() as session:
            rows = session.scalars(select(RunRow).order_by(RunRow.id.desc()).limit(limit))
            return [run_record(row) for row in rows]

    # What is determined by its key

    def cached(self, keys: Iterable[str]) -> dict[str, Any]:
        """The values of those keys that are known."""
        found: dict[str, Any] = {}
        with self._read() as session:
            for chunk in _chunks(keys):
                wanted = select(CacheRow.key, CacheRow.value).where(CacheRow.key.in_(chunk))
                found.update((key, from_json(value)) for key, value in session.execute(wanted))
        return found

    def put_cached(self, kind: str, values: Mapping[str, Any], run_id: int | None = None) -> None:
        """Add JSON values; a key that is known keeps its value. ValueError for NaN."""
        now = datetime.now(UTC)
        rows = [
            {
                "key": key,
                "kind": kind,
                "value": to_json(values[key], exact=True),
                "run_id": run_id,
                "created": now,
            }
            for key in sorted(values)  # one order for all writers: no deadlock on PostgreSQL
        ]
        self._insert_new(CacheRow, rows)

    def trials(self, keys: Iterable[str]) -> dict[str, Trial]:
        """Those of the trials that are known, without their plans."""
        found: dict[str, Trial] = {}
        with self._read() as session:
            for chunk in _chunks(keys):
                for row in session.scalars(select(TrialRow).where(TrialRow.key.in_(chunk))):
                    found[row.key] = trial_of(row)
        return found

    def put_trials(self, run_id: int, trials: Iterable[Trial]) -> None:
        """Add trials, all or none; one whose key is known is left as it is."""
        now = datetime.now(UTC)
        self._insert_new(TrialRow, [trial_values(trial, run_id, now) for trial in trials])

    def iter_trials(self, run_id: int | None = None, batch: int = 500) -> Iterator[Trial]:
        """All trials, or those that a run was the first to store, in order of arrival.

        Reads `batch` at a time and holds no transaction in between.
        """
        last = 0
        while True:
            query = select(TrialRow).where(TrialRow.id > last).order_by(TrialRow.id).limit(batch)
            if run_id is not None:
                query = query.where(TrialRow.run_id == run_id)
            with self._read() as session:
                rows = session.scalars(query).all()
            if not rows:
                return
            yield from map(trial_of, rows)
            last = rows[-1].id

    # Adapters

    def reserve_version(self) -> int:
        """A number for a new adapter, never given twice."""
        with self._write() as session:
            row = VersionRow(reserved=datetime.now(UTC))
            session.add(row)
            session.flush()
            return row.version

    def add_adapter(self, record: AdapterRecord, make_current: bool) -> AdapterRecord:
        """Add an adapter and, in the same transaction, make it the current one of its model.

        Returns the record as stored. Raises AdapterError for a version that is taken or was never
        reserved, an unknown parent, or a current adapter that is not committed.
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
            session.add(row)
            session.flush()
            if make_current:
                self._point(session, record.model_revision, row)
            return adapter_record(row)

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
            return [adapter_record(row) for row in session.scalars(query)]

    def adapter(self, version: int) -> AdapterRecord:
        """One adapter, also a rejected or deleted one. AdapterError names those there are."""
        with self._read() as session:
            return adapter_record(self._find(session, version))

    def current(self, model_revision: str) -> AdapterRecord | None:
        """The adapter that this base model answers with, None for the base model alone."""
        query = select(AdapterRow).join(CurrentRow, CurrentRow.version == AdapterRow.version)
        with self._read() as session:
            row = session.scalar(query.where(CurrentRow.model_revision == model_revision))
            return None if row is None else adapter_record(row)

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

    def _find(self, session: Session, version: int, lock: bool = False) -> AdapterRow:
        row = session.get(AdapterRow, version, with_for_update=lock)
        if row is not None:
            return row
        there = session.scalars(
            select(AdapterRow.version)
            .where(AdapterRow.status != "deleted")
            .order_by(AdapterRow.version)
        ).all()
        hint = f"there are: {_ranges(there)}" if there else "there are no adapters yet"
        raise AdapterError(f"There is no adapter version {version}; {hint}.")

    def _point(self, session: Session, model_revision: str, row: AdapterRow) -> None:
        if row.model_revision != model_revision:
            raise AdapterError(
                f"Adapter version {row.version} was trained on another base model "
                f"({row.model} at {row.model_revision}); choose a version of {model_revision}."
            )
        if row.status != "committed":
            raise AdapterError(
                f"Adapter version {row.version} was {row.status} and cannot be the current one; "
                "choose a committed version."
            )
        insert = self._insert(CurrentRow).values(model_revision=model_revision, version=row.version)
        session.execute(
            insert.on_conflict_do_update(
                index_elements=["model_revision"], set_={"version": row.version}
            )
        )

    def _insert(self, table: type[Base]) -> sqlite.Insert | postgresql.Insert:
        if self._engine.dialect.name == "postgresql":
            return postgresql.insert(table)
        return sqlite.insert(table)

    def _insert_new(self, table: type[Base], rows: Sequence[dict[str, Any]]) -> None:
        if rows:
            insert = self._insert(table).on_conflict_do_nothing(index_elements=["key"])
            with self._write() as session:
                session.connection().execute(insert, list(rows))

    @contextmanager
    def _read(self) -> Iterator[Session]:
        with explained(self.name), Session(self._engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def _write(self) -> Iterator[Session]:
        with explained(self.name), Session(self._writer) as session, session.begin():
            yield session


def _chunks(keys: Iterable[str]) -> Iterator[list[str]]:
    unique = list(dict.fromkeys(keys))
    for start in range(0, len(unique), _KEYS_PER_QUERY):
        yield unique[start : start + _KEYS_PER_QUERY]


def _ranges(versions: Sequence[int]) -> str:
    """1, 2, 3, 7 → "1-3, 7"."""
    spans: list[list[int]] = []
    for version in versions:
        if spans and version == spans[-1][1] + 1:
            spans[-1][1] = version
        else:
            spans.append([version, version])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)
