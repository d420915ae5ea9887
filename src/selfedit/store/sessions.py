"""Reading and writing the store's database: a session for each, every write one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from sqlalchemy import StaticPool
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from selfedit.errors import ConnectionLost
from selfedit.store.database import connect, explained, migrate, store_name, store_url
from selfedit.store.schema import Base

KEYS_PER_QUERY = 500  # below SQLite's lowest limit on variables (999)


class Sessions:
    """A database, in an SQLite file or at a SQLAlchemy URL. Raises StoreError if it cannot be used."""

    def __init__(self, url_or_path: str | Path) -> None:
        """Open the store; create or upgrade it first if needed."""
        url = store_url(url_or_path)
        self.name = store_name(url)
        self._engine = connect(url)
        self._writer = self._engine.execution_options(sqlite_begin="IMMEDIATE")
        try:
            migrate(self._engine)
        except BaseException:
            self._engine.dispose()
            raise

    @property
    def is_shared(self) -> bool:
        """Whether others may open it: it is not in this process's memory alone."""
        return not isinstance(self._engine.pool, StaticPool)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _insert(self, table: type[Base]) -> sqlite.Insert | postgresql.Insert:
        if self._engine.dialect.name == "postgresql":
            return postgresql.insert(table)
        return sqlite.insert(table)

    def _insert_new(self, table: type[Base], rows: Sequence[dict[str, Any]]) -> None:
        """Add those of the rows whose key is new; once more if the connection ends meanwhile: whether
        that was before or after the commit, the result is the same."""
        try:
            self._insert_once(table, rows)
        except ConnectionLost:
            self._insert_once(table, rows)

    def _insert_once(self, table: type[Base], rows: Sequence[dict[str, Any]]) -> None:
        if not rows:
            return
        insert = self._insert(table).on_conflict_do_nothing(index_elements=["key"])
        with self._write() as session:
            if self._engine.dialect.name == "postgresql":
                # Two writers of the same keys in another order would wait for each other.
                lock = f"LOCK TABLE {table.__tablename__} IN SHARE ROW EXCLUSIVE MODE"
                session.connection().exec_driver_sql(lock)
            session.connection().execute(insert, list(rows))

    @contextmanager
    def _read(self) -> Iterator[Session]:
        with explained(self.name), Session(self._engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def _write(self) -> Iterator[Session]:
        with explained(self.name), Session(self._writer) as session, session.begin():
            yield session
