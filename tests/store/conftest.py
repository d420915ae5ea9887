"""Where stores live: a file, memory, and a PostgreSQL server that the tests start."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from selfedit.store import Store
from tests.store.postgres import Missing, server


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a database that may be wiped; SELFEDIT_TEST_POSTGRES names one that is there."""
    if given := os.environ.get("SELFEDIT_TEST_POSTGRES"):
        yield given
        return
    pytest.importorskip("psycopg", reason="needs a driver: pip install 'selfedit[postgres]'")
    running = server()
    try:
        url = running.__enter__()
    except Missing as error:
        pytest.skip(str(error))
    try:
        yield url
    finally:
        running.__exit__(None, None, None)


@pytest.fixture
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """The URL of an empty database of a kind: sqlite, memory or postgresql."""

    def made(kind: str) -> str:
        if kind == "sqlite":
            return str(tmp_path / "new" / "folder" / "store.db")
        if kind == "memory":
            return "sqlite://"
        url: str = request.getfixturevalue("postgres")
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            connection.execute(sa.text("DROP SCHEMA public CASCADE"))
            connection.execute(sa.text("CREATE SCHEMA public"))
        engine.dispose()
        return url

    return made


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, fresh: Callable[[str], str]) -> str:
    return fresh(request.param)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, fresh: Callable[[str], str]) -> Iterator[Store]:
    with Store(fresh(request.param)) as store:
        yield store
