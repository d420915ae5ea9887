"""What a server can do to a store that a file cannot: connections end in the middle."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from selfedit.cli import app
from selfedit.errors import StoreError
from selfedit.store import Store
from tests.store.test_store import adapter, start, trial


@pytest.fixture
def store(fresh: Callable[[str], str]) -> Iterator[Store]:
    with Store(fresh("postgresql")) as store:
        yield store


def end_connections(postgres: str) -> None:
    """As an administrator, a restart or a firewall does."""
    engine = sa.create_engine(postgres)
    with engine.begin() as connection:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        connection.execute(sa.text(f"{others} AND backend_type = 'client backend'"))
    engine.dispose()


def ends_at(store: Store, postgres: str, words: str, times: int = 1) -> list[str]:
    """End all connections just before the next statements with these words; what they were."""
    seen: list[str] = []

    def before(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if words in statement and len(seen) < times:
            seen.append(statement)
            end_connections(postgres)

    sa.event.listen(store._engine, "before_cursor_execute", before)
    return seen


def test_a_connection_that_ended_between_two_calls_is_made_again(store: Store, postgres: str) -> None:
    run = start(store)
    end_connections(postgres)
    store.put_trials(run, [trial("a")])
    end_connections(postgres)
    assert store.trials(["a"]) == {"a": trial("a")}


def test_trials_whose_connection_ends_in_the_middle_are_written_again(
    store: Store, postgres: str
) -> None:
    run = start(store)
    seen = ends_at(store, postgres, "INSERT INTO trials")
    store.put_trials(run, [trial("a"), trial("b")])
    assert seen
    assert [each.key for each in store.iter_trials(run)] == ["a", "b"]


def test_a_connection_that_ends_again_and_again_is_reported(store: Store, postgres: str) -> None:
    run = start(store)
    ends_at(store, postgres, "INSERT INTO trials", times=2)
    with pytest.raises(StoreError, match=r"lost its connection: nothing was half-written; run again"):
        store.put_trials(run, [trial("a"), trial("b")])
    assert list(store.iter_trials(run)) == []
    store.put_trials(run, [trial("a"), trial("b")])
    assert len(store.trials(["a", "b"])) == 2


def test_a_version_whose_connection_ends_in_the_middle_is_committed_whole_or_not_at_all(
    store: Store, postgres: str
) -> None:
    first = store.add_adapter(adapter(store), make_current=True)
    second = adapter(store, parent=first.version)
    seen = ends_at(store, postgres, "INSERT INTO current_adapters")
    with pytest.raises(StoreError, match="lost its connection"):
        store.add_adapter(second, make_current=True)
    assert seen
    assert store.adapters() == [first]
    assert store.current("rev-a") == first
    assert store.add_adapter(second, make_current=True) == second


def test_a_server_that_is_not_there_is_named_without_the_password(tmp_path) -> None:
    pytest.importorskip("psycopg", reason="needs a driver: pip install 'selfedit[postgres]'")
    for secret in (":secret@/db?", "@/db?password=secret&", "@/db?options=-cx=secret&"):
        url = f"postgresql+psycopg://user{secret}host={tmp_path}"
        with pytest.raises(StoreError, match="cannot be reached: start its server, or check") as caught:
            Store(url)
        assert "secret" not in str(caught.value)
        assert tmp_path.name in str(caught.value)


def test_the_commands_use_the_store_that_the_environment_names(
    store: Store, postgres: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two drivers with libraries of their own: the second finds the first one's trials."""
    data = tmp_path / "data.json"
    question = {"question": "Which stone is the tower made of?", "answer": "granite"}
    text = "The tower is made of granite. The tower stands in a field."
    data.write_text(json.dumps([{"title": "Tower", "context": text, "questions": [question]}]))
    monkeypatch.setenv("SELFEDIT_STORE", postgres)
    for name, rule in (("one", "positive"), ("two", "best")):
        command = ["train", "knowledge", "--model", "fake", "--data", str(data), "--rule", rule]
        command += ["--rounds", "1", "--yes"]
        done = CliRunner().invoke(app, [*command, "--json", "--library", str(tmp_path / name)])
        assert done.exit_code == 0, done.output
        assert not (tmp_path / name / "store.sqlite").exists()
    second, first = store.runs()
    assert first.kind == second.kind == "train"
    assert list(store.iter_trials(first.id))
    assert list(store.iter_trials(second.id)) == []
    listed = CliRunner().invoke(app, ["report", "--json", "--library", str(tmp_path / "one")])
    assert len(json.loads(listed.stdout)["runs"]) == 2
