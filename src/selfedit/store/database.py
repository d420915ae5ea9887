"""Connecting to the store's database, migrating its schema, explaining its errors."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from filelock import FileLock, Timeout
from sqlalchemy import (
    URL,
    Connection,
    Engine,
    StaticPool,
    create_engine,
    event,
    inspect,
    make_url,
    text,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from selfedit.errors import ConnectionLost, StoreError
from selfedit.home import expanded
from selfedit.store.mounts import network_file_system

BUSY_SECONDS = 30.0
OPEN_SECONDS = 120.0  # a migration of another process may take this long
_MIGRATIONS = Path(__file__).parent / "migrations"
_ADVISORY_LOCK = 0x5E1FED17  # PostgreSQL's counterpart of the lock file
_alembic = threading.Lock()  # its context is global to the process


def store_url(url_or_path: str | Path) -> URL:
    """A file's path becomes an SQLite URL; anything with `://` is taken as a SQLAlchemy URL."""
    if isinstance(url_or_path, str) and "://" in url_or_path:
        try:
            return make_url(url_or_path)
        except (ArgumentError, ValueError):
            raise StoreError(
                "The store's URL cannot be read; use a file's path, or a URL such as "
                "sqlite:////folder/store.db or postgresql+psycopg://user@host/database."
            ) from None
    return URL.create("sqlite", database=str(expanded(url_or_path)))


def store_file(url: URL) -> Path | None:
    """The SQLite file of a URL, None where there is none (a server, memory, a `file:` URI)."""
    name = url.database or ":memory:"
    if url.get_backend_name() != "sqlite" or name == ":memory:" or name.startswith("file:"):
        return None
    return Path(name)


def store_name(url: URL) -> str:
    """The store's name in messages; never shows a password."""
    shown = url.set(query={key: own for key, own in url.query.items() if key in ("host", "port")})
    return str(store_file(url) or shown.render_as_string(hide_password=True))


def connect(url: URL) -> Engine:
    """An engine whose transactions begin as `sqlite_begin` says (an execution option).

    SQLite: one begin statement each, so that also DDL is rolled back; foreign keys are enforced;
    a commit is on the disk when it returns (synchronous FULL).
    """
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise StoreError(
            f"A store lives in SQLite or PostgreSQL, not in {url.get_backend_name()}; "
            "use a file's path or a postgresql+psycopg:// URL."
        )
    options: dict[str, Any] = {"hide_parameters": True}
    if url.get_backend_name() == "sqlite":
        options["connect_args"] = {"timeout": BUSY_SECONDS}
        if (url.database or ":memory:") == ":memory:":
            options |= {"poolclass": StaticPool}
            options["connect_args"]["check_same_thread"] = False
    else:
        options["pool_pre_ping"] = True
    try:
        engine = create_engine(url, **options)
    except (ImportError, NoSuchModuleError) as error:
        raise StoreError(
            f"The store {store_name(url)} needs a database driver ({error}); "
            "install it, for PostgreSQL: pip install 'selfedit[postgres]'."
        ) from error
    if url.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def migrate(engine: Engine) -> None:
    """Create the schema or bring it to this code's revision; one process at a time.

    Raises StoreError if the stored revision is unknown here (a newer selfedit) or the database
    belongs to another program.
    """
    name = store_name(engine.url)
    with _alembic, _opening(engine.url), explained(name):
        config = Config(stdout=io.StringIO())
        config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
        scripts = ScriptDirectory.from_config(config)
        if engine.dialect.name == "sqlite":
            _choose_journal(engine)
        with engine.connect() as connection:
            if _is_current(connection, scripts, name):
                return
        writer = engine.execution_options(sqlite_begin="IMMEDIATE")
        with writer.begin() as connection:
            if engine.dialect.name == "postgresql":
                key = {"key": _ADVISORY_LOCK}
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), key)
            config.attributes["connection"] = connection
            if not _is_current(connection, scripts, name):
                command.upgrade(config, "head")


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Turns database errors into a StoreError that says what to do."""
    try:
        yield
    except DBAPIError as error:
        kind = ConnectionLost if error.connection_invalidated else StoreError
        raise kind(_advice(name, error)) from error
    except SQLAlchemyError as error:
        raise StoreError(f"The store {name} cannot be used: {_first_line(error)}") from error
    except UnicodeDecodeError as error:
        raise StoreError(
            f"The store {name} is damaged: restore it from a backup, or move it away to start a new "
            f"one. ({error.reason})"
        ) from error
    except OverflowError as error:
        raise StoreError(f"The store {name} cannot hold such a large number ({error}).") from error


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # `_begin_sqlite` begins, not the driver
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    how = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
    if how is not None:  # journal_mode is set outside of a transaction
        connection.exec_driver_sql(f"BEGIN {how}")


def _choose_journal(engine: Engine) -> None:
    """WAL: readers and one writer at a time then do not wait for each other. It needs memory that all
    of them share, which a network file system has not. The file remembers it."""
    file = store_file(engine.url)
    far = file is not None and network_file_system(file.parent) is not None
    wanted = "delete" if far else "wal"
    with engine.execution_options(sqlite_begin=None).connect() as connection:
        if connection.exec_driver_sql("PRAGMA journal_mode").scalar() != wanted:
            connection.exec_driver_sql(f"PRAGMA journal_mode={wanted}")


def _is_current(connection: Connection, scripts: ScriptDirectory, name: str) -> bool:
    heads = set(MigrationContext.configure(connection).get_current_heads())
    known = {script.revision for script in scripts.walk_revisions()}
    if not known:  # alembic passes over files that it cannot open
        raise StoreError(
            f"The store {name} cannot be opened: selfedit's own migrations cannot be read. Allow more "
            "open files (ulimit -n), or install selfedit again."
        )
    if heads - known:
        raise StoreError(
            f"The store {name} was written by a newer selfedit; upgrade selfedit "
            "(pip install --upgrade selfedit) or use another store."
        )
    if not heads and connection.dialect.name == "sqlite":
        tables = set(inspect(connection).get_table_names()) - {"alembic_version"}
        if tables:
            raise StoreError(
                f"{name} is the database of another program; choose another path for the store."
            )
    return heads == set(scripts.get_heads())


@contextmanager
def _opening(url: URL) -> Iterator[None]:
    """Makes the folder and holds the lock file beside an SQLite store."""
    file = store_file(url)
    if file is None:
        yield
        return
    if file.is_dir():
        raise StoreError(f"{file} is a folder; the store is a file, such as {file / 'store.db'}.")
    lock: AbstractContextManager[Any] = nullcontext()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{file}.lock", timeout=OPEN_SECONDS)
        lock.__enter__()
    except Timeout as error:
        raise StoreError(
            f"Another process has been opening the store {file} for {OPEN_SECONDS:.0f} s; "
            f"end it, or delete {file}.lock if there is none."
        ) from error
    except (OSError, NotImplementedError) as error:
        raise StoreError(
            f"The store {file} cannot be opened ({getattr(error, 'strerror', None) or error}); "
            "make its folder writable or choose another path."
        ) from error
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


def _advice(name: str, error: DBAPIError) -> str:
    """A message that says what to do. The driver's message is cut to one line, without values."""
    said = _first_line(error.orig)
    if error.connection_invalidated:
        return f"The store {name} lost its connection: nothing was half-written; run again. ({said})"
    advice = (
        (
            "disk is full",
            "has no disk space left; nothing was half-written: free some space and run again",
        ),
        ("readonly", "cannot be written: make the file and its folder writable"),
        ("unable to open", "cannot be opened: make its folder exist and be writable"),
        ("locked", f"was kept busy for {BUSY_SECONDS:.0f} s by another process: end it, run again"),
        ("not a database", "is not an SQLite database: move that file away or choose another path"),
        ("malformed", "is damaged: restore it from a backup, or move it away to start a new one"),
        # SQLite says so, too, where it has no memory left for a page.
        ("disk i/o", "could not be read or written: check the disk and the free memory, and run again"),
        ("no such table", "lacks a table: restore it from a backup, or move it away"),
        ("relation", "lacks a table: restore it from a backup, or use an empty database"),
        ("password", "refused the user: check the password (PGPASSWORD, ~/.pgpass)"),
        ("connection failed", "cannot be reached: start its server, or check its address"),
        ("connection is bad", "cannot be reached: start its server, or check its address"),
        ("constraint", "refused a record that refers to something it does not hold"),
    )
    for words, meaning in advice:
        if words in said.lower():
            return f"The store {name} {meaning}. ({said})"
    return f"The store {name} cannot be used ({said})."


def _first_line(error: BaseException | None) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
