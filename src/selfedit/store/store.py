"""The store: runs, trials, cached verdicts, adapters and their lineage.

Every public write is one transaction, so an interrupted program leaves a consistent store.
Several processes and threads may use one store.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import func, select

from selfedit.errors import NoSuchRun, StoreError
from selfedit.store.records import (
    RunRecord,
    from_json,
    run_record,
    to_json,
    trial_of,
    trial_values,
)
from selfedit.store.schema import CacheRow, ProgressRow, RunRow, TrialRow
from selfedit.store.sessions import KEYS_PER_QUERY
from selfedit.store.versions import Versions
from selfedit.types import Trial


class Store(Versions):
    """A store: what commands did, what was tried and written, and the adapters (`Versions`)."""

    # Runs

    def start_run(
        self,
        kind: str,
        model: str,
        model_revision: str,
        settings: Mapping[str, Any],
        inputs: Mapping[str, Any],
        beat: Mapping[str, Any] | None = None,
    ) -> int:
        """Record that a command began; returns the run's number. beat: its first sign of life."""
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
            if beat is not None:
                first = ProgressRow(run_id=row.id, value=to_json(dict(beat)), updated=row.started)
                session.add(first)
            return row.id

    def beat(self, run_id: int, values: Mapping[str, Any]) -> None:
        """Write a run's latest sign of life over the one before."""
        new = {"value": to_json(dict(values)), "updated": datetime.now(UTC)}
        insert = self._insert(ProgressRow).values(run_id=run_id, **new)
        with self._write() as session:
            session.execute(insert.on_conflict_do_update(index_elements=["run_id"], set_=new))

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
        """One run. Raises NoSuchRun where there is none of that number."""
        with self._read() as session:
            row = session.get(RunRow, run_id)
            if row is None:
                raise NoSuchRun(f"The store {self.name} holds no run {run_id}; see `selfedit report`.")
            return run_record(row, session.get(ProgressRow, run_id))

    def runs(self, limit: int | None = 50) -> list[RunRecord]:
        """The latest runs, newest first; all of them with None."""
        with self._read() as session:
            own = ProgressRow.run_id == RunRow.id
            both = select(RunRow, ProgressRow).join(ProgressRow, own, isouter=True)
            rows = session.execute(both.order_by(RunRow.id.desc()).limit(limit))
            return [run_record(row, progress) for row, progress in rows]

    # Values that are determined by their keys

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
            for key in sorted(values)
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

    def count_trials(self, run_id: int) -> tuple[int, int]:
        """Trials that a run was the first to store, and waves: the times at which it stored some."""
        counts = select(func.count(), func.count(TrialRow.created.distinct()))
        with self._read() as session:
            trials, waves = session.execute(counts.where(TrialRow.run_id == run_id)).one()
            return int(trials), int(waves)

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


def _chunks(keys: Iterable[str]) -> Iterator[list[str]]:
    unique = list(dict.fromkeys(keys))
    for start in range(0, len(unique), KEYS_PER_QUERY):
        yield unique[start : start + KEYS_PER_QUERY]
