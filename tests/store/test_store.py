"""The store: what goes in comes out, whole, once, and whoever else is writing."""

from __future__ import annotations

import json
import logging
import math
import multiprocessing
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selfedit.errors import AdapterError, CurrentMoved, StoreError
from selfedit.store import AdapterRecord, LearnedDocument, LearnedPassage, Store, document_values
from selfedit.store.database import connect, store_url
from selfedit.store.schema import AnyText, Base
from selfedit.types import (
    GradedAnswer,
    Prompt,
    Query,
    Score,
    SelfEdit,
    TrainingPlan,
    TrainingSequence,
    Trial,
)

ODD = 'a "quoted" \0 NUL, a lone \udc80 surrogate, 日本語 \U0001f642'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def execute(store: Store, statement: str) -> None:
    with store._writer.begin() as connection:
        connection.exec_driver_sql(statement)


def start(store: Store) -> int:
    return store.start_run("learn", "embedded", "rev-a", {"seed": 0}, {"documents": ["a.md"]})


def trial(key: str, **changes: Any) -> Trial:
    whole = Trial(
        key=key,
        task_id="task-1",
        edit=SelfEdit(
            task_id="task-1",
            index=3,
            prompts=(Prompt("List facts."), Prompt("Say", kind="question", prefix="1.")),
            completions=("One.\nTwo.", ODD),
        ),
        seed=2**62 + 1,
        status="scored",
        score=Score(
            (
                GradedAnswer("Who?", "Ada", "Ada", correct=True, exact=True, f1=1 / 3),
                GradedAnswer("When?", "1843", ODD, correct=False),
            )
        ),
        losses=(0.1 + 0.2, 5e-324, 1.7976931348623157e308, -0.0),
        tokens=123,
        seconds=0.1,
    )
    return replace(whole, **changes)


def adapter(store: Store, **changes: Any) -> AdapterRecord:
    record = AdapterRecord(
        version=store.reserve_version(),
        model="embedded",
        model_revision="rev-a",
        parent=None,
        status="committed",
        path="adapters/1",
        created=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        reason="better",
        settings={"lora": {"rank": 32}},
        documents=(
            LearnedDocument(
                "a.md",
                "A",
                "d1",
                (LearnedPassage("A: One", ODD, ("A.", ODD)), LearnedPassage("A: Two", "B.", ("B.",))),
                selection=(Query("Who?", ("Ada", ODD), "Machines"),),
            ),
        ),
        scores={"before": 0.25, "after": 0.75},
        run_id=None,
    )
    return replace(record, **changes)


# Runs and cache


def test_a_run_is_recorded_from_start_to_end(store: Store) -> None:
    first = start(store)
    second = start(store)
    store.finish_run(first, "finished", {"accuracy": float("nan"), "path": Path("x"), "t": (1,)})
    store.finish_run(second, "failed", error=ODD)
    newest, oldest = store.runs()
    assert (newest.id, newest.status, newest.error, newest.result) == (second, "failed", ODD, None)
    assert oldest.status == "finished"
    assert oldest.result == {"accuracy": None, "path": "x", "t": [1]}
    assert oldest.settings == {"seed": 0}
    assert oldest.inputs == {"documents": ["a.md"]}
    assert oldest.finished is not None
    assert timedelta(0) <= oldest.finished - oldest.started < timedelta(minutes=1)
    assert oldest.started.tzinfo is UTC
    assert [run.id for run in store.runs(limit=1)] == [second]
    assert len(store.runs(limit=None)) == 2


def test_a_started_run_is_running_and_an_unknown_one_cannot_end(store: Store) -> None:
    start(store)
    assert store.runs()[0].status == "running"
    assert store.runs()[0].finished is None
    with pytest.raises(StoreError, match="no run 99"):
        store.finish_run(99, "finished")


def test_a_cached_value_is_never_replaced(store: Store) -> None:
    store.put_cached("judge", {"a": {"correct": True}, "b": None})
    store.put_cached("judge", {"a": "other", "c": [1, 2.5, ODD]}, run_id=start(store))
    assert store.cached(["a", "b", "c", "missing"]) == {
        "a": {"correct": True},
        "b": None,
        "c": [1, 2.5, ODD],
    }
    assert store.cached([]) == {}
    store.put_cached("judge", {})


def test_more_keys_than_a_query_can_have_variables(store: Store) -> None:
    store.put_cached("judge", {f"k{n}": n for n in range(2500)})
    found = store.cached(f"k{n}" for n in range(-500, 2500))
    assert found == {f"k{n}": n for n in range(2500)}


def test_what_json_cannot_hold_is_refused_before_anything_is_written(store: Store) -> None:
    with pytest.raises(ValueError, match="JSON"):
        store.put_cached("judge", {"fine": 1, "nan": float("nan")})
    with pytest.raises(TypeError, match="JSON values, not a set"):
        store.put_cached("judge", {"fine": 1, "set": {1}})
    assert store.cached(["fine"]) == {}


# Trials


def test_trials_come_back_exactly(store: Store) -> None:
    plan = TrainingPlan((TrainingSequence("text"),))
    scored = trial("scored", plan=plan)
    others = [
        trial("invalid", status="invalid", reason=ODD, score=None, losses=()),
        trial("empty", score=Score(()), reason='"quoted"'),
        trial(ODD, task_id=ODD),
    ]
    store.put_trials(start(store), [scored, *others])
    found = store.trials(["scored", "invalid", "empty", ODD, "missing"])
    assert found == {each.key: each for each in [scored, *others]}
    assert found["scored"].plan is None
    assert math.copysign(1, found["scored"].losses[-1]) == -1
    assert isinstance(found["scored"].edit.prompts, tuple)
    assert isinstance(found["scored"].score.answers, tuple)  # type: ignore[union-attr]
    assert list(store.iter_trials()) == [scored, *others]


def test_losses_that_are_not_finite_survive(store: Store) -> None:
    losses = (1.0, float("inf"), float("-inf"), float("nan"))
    store.put_trials(start(store), [trial("t", status="failed", score=None, losses=losses)])
    back = store.trials(["t"])["t"].losses
    assert back[:3] == losses[:3]
    assert math.isnan(back[3])


def test_a_trial_is_never_replaced_and_belongs_to_the_run_that_stored_it(store: Store) -> None:
    one, two = start(store), start(store)
    store.put_trials(one, [trial("a", tokens=1), trial("a", tokens=2)])
    store.put_trials(two, [trial("a", tokens=3), trial("b")])
    store.put_trials(two, [])
    assert store.trials(["a"])["a"].tokens == 1
    assert [t.key for t in store.iter_trials(one)] == ["a"]
    assert [t.key for t in store.iter_trials(two)] == ["b"]


def test_iter_trials_streams_while_others_write(store: Store) -> None:
    run = start(store)
    store.put_trials(run, [trial(f"t{n}") for n in range(7)])
    seen = []
    for each in store.iter_trials(run, batch=3):
        store.put_cached("seen", {each.key: True})
        seen.append(each.key)
    assert seen == [f"t{n}" for n in range(7)]


def test_trials_of_an_unknown_run_are_refused_whole(store: Store) -> None:
    with pytest.raises(StoreError, match="refers to something"):
        store.put_trials(99, [trial("a")])
    assert store.trials(["a"]) == {}


def test_the_columns_can_be_queried(path: Path) -> None:
    with Store(path) as store:
        store.put_trials(start(store), [trial("a"), trial("b", score=None, status="failed")])
    with sqlite3.connect(path) as db:
        rows = db.execute(
            "SELECT task_id, status, reward, seconds, json_extract(edit, '$.index'),"
            " json_extract(score, '$.answers[0].gold') FROM trials ORDER BY id"
        ).fetchall()
    db.close()
    assert rows == [
        ("task-1", "scored", 0.5, 0.1, 3, "Ada"),
        ("task-1", "failed", None, 0.1, 3, None),
    ]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=st.text(st.characters(exclude_categories=())))
def test_any_text_survives_the_column_type(text: str) -> None:
    dialect = sa.create_engine("sqlite://").dialect
    stored = AnyText().process_bind_param(text, dialect)
    assert stored is not None
    stored.encode()
    assert "\0" not in stored
    assert AnyText().process_result_value(stored, dialect) == text


# Adapters


def test_an_adapter_comes_back_as_it_was_and_is_current(store: Store) -> None:
    first = adapter(store, path=f"/folder/{ODD}", run_id=start(store))
    assert store.current("rev-a") is None
    assert store.add_adapter(first, make_current=True) == first
    second = adapter(store, parent=first.version, status="rejected", reason="forgets")
    store.add_adapter(second, make_current=False)
    assert store.adapter(first.version) == first
    assert store.current("rev-a") == first
    assert store.current("rev-b") is None
    assert store.adapters() == [first, second]
    assert store.adapters("rev-b") == []


def test_times_are_utc_and_need_a_zone(store: Store) -> None:
    zone = timezone(timedelta(hours=5))
    there = adapter(store, created=datetime(2026, 1, 1, 5, tzinfo=zone))
    back = store.add_adapter(there, make_current=False)
    assert back == there
    assert store.adapter(there.version).created.tzinfo is UTC
    with pytest.raises(ValueError, match="time zone"):
        store.add_adapter(replace(there, created=datetime(2026, 1, 1)), make_current=False)


def test_a_failing_pointer_takes_the_adapter_with_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = store.add_adapter(adapter(store), make_current=True)

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, "_point", fail)
        second = adapter(store, parent=first.version)
        with pytest.raises(KeyboardInterrupt):
            store.add_adapter(second, make_current=True)
    assert store.adapters() == [first]
    assert store.current("rev-a") == first
    store.add_adapter(second, make_current=True)
    assert store.current("rev-a") == second


def test_a_current_version_that_moved_meanwhile_stays(store: Store) -> None:
    first = store.add_adapter(adapter(store), make_current=True)
    second = store.add_adapter(adapter(store, parent=first.version), make_current=True)
    third = adapter(store, parent=second.version)
    store.set_current("rev-a", first.version)
    store.mark_deleted(second.version)
    with pytest.raises(CurrentMoved, match="built on 2, but 1 is current") as moved:
        store.add_adapter(third, make_current=True)
    assert moved.value.current == first.version
    assert store.adapters() == [first]  # nothing was added
    store.set_current("rev-a", None)
    with pytest.raises(CurrentMoved, match="the bare model is current"):
        store.add_adapter(third, make_current=True)
    assert store.add_adapter(third, make_current=False) == third


def test_documents_of_older_releases_are_read_and_damaged_ones_refused(path: Path) -> None:
    old = {"source": "a.md", "title": "A", "digest": "d", "sequences": ["One.", "Two."]}
    old |= {"selection": [{"question": "Who?", "answers": ["Ada"], "topic": ""}], "held_out": []}
    with Store(path) as store:
        store.add_adapter(adapter(store), make_current=True)
        with sqlite3.connect(path) as database:
            database.execute("update adapters set documents = ?", (json.dumps([old]),))
        (document,) = store.adapters()[0].documents
        assert document.passages == (LearnedPassage("A", "", ("One.", "Two.")),)
        assert document.reported == (Query("Who?", ("Ada",)),)
        with sqlite3.connect(path) as database:
            database.execute("update adapters set documents = '[{\"title\": 1}]'")
        with pytest.raises(StoreError, match="damaged record of a document"):
            store.adapters()


def test_rolling_back_and_forth(store: Store) -> None:
    first = store.add_adapter(adapter(store), make_current=True)
    second = store.add_adapter(adapter(store, parent=first.version), make_current=True)
    other = store.add_adapter(adapter(store, model_revision="rev-b"), make_current=True)
    store.set_current("rev-a", first.version)
    assert store.current("rev-a") == first
    store.set_current("rev-a", None)
    store.set_current("rev-a", None)
    assert store.current("rev-a") is None
    store.set_current("rev-a", second.version)
    assert store.current("rev-a") == second
    assert store.current("rev-b") == other


def test_what_cannot_be_current(store: Store) -> None:
    good = store.add_adapter(adapter(store), make_current=True)
    other = store.add_adapter(adapter(store, model_revision="rev-b"), make_current=False)
    rejected = store.add_adapter(adapter(store, status="rejected"), make_current=False)
    deleted = store.add_adapter(adapter(store), make_current=False)
    store.mark_deleted(deleted.version)
    for version, why in [
        (other.version, "another base model"),
        (rejected.version, "was rejected"),
        (deleted.version, "was deleted"),
        (99, r"no adapter version 99; there are: 1-3\."),
    ]:
        with pytest.raises(AdapterError, match=why):
            store.set_current("rev-a", version)
    with pytest.raises(AdapterError, match="was rejected"):
        store.add_adapter(adapter(store, status="rejected", parent=good.version), make_current=True)
    assert store.current("rev-a") == good
    assert len(store.adapters()) == 3


def test_the_current_adapter_cannot_be_deleted(store: Store) -> None:
    first = store.add_adapter(adapter(store), make_current=True)
    with pytest.raises(AdapterError, match="roll back to another version first"):
        store.mark_deleted(first.version)
    store.set_current("rev-a", None)
    store.mark_deleted(first.version)
    store.mark_deleted(first.version)
    gone = replace(first, status="deleted")
    assert store.adapters() == []
    assert store.adapters(include_deleted=True) == [gone]
    assert store.adapter(first.version) == gone


def test_messages_name_the_versions_there_are(store: Store) -> None:
    with pytest.raises(AdapterError, match="there are no adapters yet"):
        store.adapter(1)
    for _ in range(5):
        store.add_adapter(adapter(store), make_current=False)
    store.mark_deleted(4)
    with pytest.raises(AdapterError, match=r"there are: 1-3, 5\."):
        store.mark_deleted(77)


def test_a_version_must_be_reserved_and_is_taken_once(store: Store) -> None:
    first = store.add_adapter(adapter(store), make_current=False)
    with pytest.raises(AdapterError, match="version 1 already"):
        store.add_adapter(replace(first, reason="again"), make_current=False)
    with pytest.raises(AdapterError, match="Version 50 was never reserved"):
        store.add_adapter(replace(first, version=50), make_current=False)
    with pytest.raises(AdapterError, match="no adapter version 60; there are: 1"):
        store.add_adapter(adapter(store, parent=60), make_current=False)
    assert store.adapters() == [first]


def test_a_version_is_never_given_twice(url: str) -> None:
    with Store(url) as store:
        assert [store.reserve_version() for _ in range(3)] == [1, 2, 3]
        execute(store, "DELETE FROM versions")
    with Store(url) as store:
        assert store.reserve_version() == 4


# Opening


def test_everything_is_there_after_reopening(url: str) -> None:
    with Store(url) as store:
        store.put_trials(start(store), [trial("a")])
        store.put_cached("judge", {"k": 1})
        first = store.add_adapter(adapter(store), make_current=True)
    with Store(url) as store:
        assert store.trials(["a"]) == {"a": trial("a")}
        assert store.cached(["k"]) == {"k": 1}
        assert store.current("rev-a") == first


def test_the_migrations_make_the_schema_of_the_code(store: Store) -> None:
    with store._engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, Base.metadata) == []


def test_sqlite_is_set_up_for_durable_and_concurrent_use(path: Path) -> None:
    with Store(path) as store, store._engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    full = 2
    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": full,
        "foreign_keys": 1,
        "busy_timeout": 30_000,
    }


def test_opening_prints_nothing_and_leaves_logging_alone(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    loggers = [logging.root, logging.getLogger("alembic"), logging.getLogger("sqlalchemy")]
    before = [(each.level, list(each.handlers)) for each in loggers]
    Store(path).close()
    assert [(each.level, list(each.handlers)) for each in loggers] == before
    assert not logging.getLogger(__name__).disabled
    assert capfd.readouterr() == ("", "")


def test_a_store_of_a_newer_selfedit_is_refused_and_left_alone(url: str) -> None:
    with Store(url) as store:
        execute(store, "UPDATE alembic_version SET version_num = 'f00d'")
    with pytest.raises(StoreError, match="was written by a newer selfedit; upgrade selfedit"):
        Store(url)
    engine = connect(store_url(url))
    with engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").fetchall()
    engine.dispose()
    assert [tuple(row) for row in found] == [("f00d",)]


@pytest.mark.parametrize("content", [b"hello", b"# Notes\n" * 1000])
def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"store\.db is not an SQLite database: move that file away"):
        Store(path)
    assert path.read_bytes() == content


def test_the_database_of_another_program_is_refused(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE bookmarks (url TEXT)")
    db.close()
    with pytest.raises(StoreError, match="database of another program"):
        Store(path)


def test_an_interrupted_first_opening_leaves_nothing_half_made(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alembic import op

    original: Callable[..., Any] = op.create_table

    def fail(name: str, *columns: Any, **options: Any) -> Any:
        if name == "adapters":
            raise KeyboardInterrupt
        return original(name, *columns, **options)

    with monkeypatch.context() as patch:
        patch.setattr(op, "create_table", fail)
        with pytest.raises(KeyboardInterrupt):
            Store(url)
    with Store(url) as store:
        assert store.reserve_version() == 1


def test_a_folder_an_unknown_database_and_nonsense_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is a folder"):
        Store(tmp_path)
    with pytest.raises(StoreError, match="SQLite or PostgreSQL, not in mysql"):
        Store("mysql://user:secret@host/db")
    with pytest.raises(StoreError, match="URL cannot be read") as caught:
        Store("://secret")
    assert "secret" not in str(caught.value)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="make its folder writable or choose another path"):
        Store(tmp_path / "file" / "store.db")


def test_a_missing_driver_is_named_and_the_password_is_not() -> None:
    with pytest.raises(StoreError) as caught:
        Store("postgresql+pg8000://user:secret@127.0.0.1:1/db")
    assert "secret" not in str(caught.value)
    assert "pg8000" in str(caught.value) or "cannot be used" in str(caught.value)


def test_odd_paths_work(tmp_path: Path) -> None:
    path = tmp_path / "50% of? all #notes" / "ünï.db"
    with Store(path) as store:
        assert store.reserve_version() == 1
    assert path.exists()


# Trouble


def test_a_read_only_database_cannot_be_written(path: Path) -> None:
    with Store(path) as store:
        with store._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA query_only=ON")
        with pytest.raises(StoreError, match="make the file and its folder writable"):
            start(store)
        assert store.runs() == []


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused(path: Path) -> None:
    path.parent.chmod(0o500)
    try:
        with pytest.raises(StoreError, match="writable"):
            Store(path)
    finally:
        path.parent.chmod(0o700)


def test_a_full_disk_leaves_nothing_half_written(path: Path) -> None:
    with Store(path) as store:
        run = start(store)
        with store._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count=40")
        many = [trial(f"t{n}", reason="x" * 10_000) for n in range(50)]
        with pytest.raises(StoreError, match="no disk space left; nothing was half-written: free some"):
            store.put_trials(run, many)
        assert list(store.iter_trials()) == []
        with store._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count=1000000")
        store.put_trials(run, many)
        assert len(list(store.iter_trials())) == 50


def test_a_damaged_store_says_so(path: Path) -> None:
    with Store(path) as store:
        store.put_cached("judge", {f"k{n}": "x" * 100 for n in range(1000)})
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    with pytest.raises(StoreError, match=r"is damaged|cannot be used"), Store(path) as store:
        store.cached(["k1"])


def test_a_busy_store_is_reported(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("selfedit.store.database.BUSY_SECONDS", 0.05)
    with Store(path) as store, sqlite3.connect(path, isolation_level=None) as db:
        db.execute("BEGIN IMMEDIATE")
        assert store.runs() == []  # readers do not wait
        with pytest.raises(StoreError, match="kept busy"):
            start(store)
        db.execute("ROLLBACK")
        assert start(store) == 1
    db.close()


def test_a_write_holds_the_lock_from_its_first_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a write has checked cannot change under it, and it never fails for a stale read."""
    find = Store._find
    refused: list[int] = []

    def find_and_try(self: Store, session: Any, version: int, lock: bool = False) -> Any:
        found = find(self, session, version, lock)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        refused.append(version)
        return found

    other = sqlite3.connect(path, isolation_level=None, timeout=0)
    with Store(path) as store:
        first = store.add_adapter(adapter(store), make_current=False)
        monkeypatch.setattr(Store, "_find", find_and_try)
        store.set_current("rev-a", first.version)
        assert store.current("rev-a") == first
    assert refused == [first.version]
    other.close()


def test_opening_waits_for_another_opening(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("selfedit.store.database.OPEN_SECONDS", 0.05)
    with FileLock(f"{path}.lock"), pytest.raises(StoreError, match="Another process has been"):
        Store(path)
    assert not path.exists()
    Store(path).close()


def test_values_are_never_in_messages(url: str) -> None:
    with Store(url) as store:
        execute(store, "ALTER TABLE cache RENAME TO elsewhere")
        with pytest.raises(StoreError, match="lacks a table") as caught:
            store.put_cached("judge", {"key": "my-secret"})
        execute(store, "ALTER TABLE elsewhere RENAME TO cache")
    assert "my-secret" not in f"{caught.value} {caught.value.__cause__}"


# Several processes


def _hammer(url: str, worker: int, barrier: Any, answers: Any) -> None:
    try:
        barrier.wait()
        with Store(url) as store:
            run = start(store)
            versions = []
            for n in range(25):
                store.put_trials(run, [trial(f"shared{n}", tokens=worker), trial(f"{worker}-{n}")])
                store.put_cached("judge", {f"shared{n}": worker, f"{worker}-{n}": n})
                versions.append(store.reserve_version())
                if n % 5 == 0:
                    before = store.current("rev-a")
                    done = adapter(store, parent=before.version if before else None)
                    try:
                        store.add_adapter(done, make_current=True)
                    except CurrentMoved:
                        store.add_adapter(done, make_current=False)
                    versions.append(done.version)
            answers.put((worker, versions, ""))
    except BaseException as error:
        answers.put((worker, [], repr(error)))


def test_a_store_of_the_first_schema_is_upgraded_with_all_that_it_holds(url: str) -> None:
    """Its versions hold their documents themselves."""
    with Store(url) as store:
        store.put_trials(start(store), [trial("a")])
        store.put_cached("judge", {"k": 1})
        first = store.add_adapter(adapter(store), make_current=True)
        whole = json.dumps([document_values(document) for document in first.documents])
        with store._writer.begin() as connection:
            connection.execute(sa.text("UPDATE adapters SET documents = :whole"), {"whole": whole})
            connection.exec_driver_sql("DROP TABLE documents")
            connection.exec_driver_sql("DROP TABLE progress")
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    with Store(url) as store:
        assert store.trials(["a"]) == {"a": trial("a")}
        assert store.cached(["k"]) == {"k": 1}
        assert store.current("rev-a") == first
        assert store.add_adapter(adapter(store, parent=first.version), make_current=True)
        with store._engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_two_writers_of_the_same_trials_in_another_order(url: str) -> None:
    """Each holds rows that the other one waits for, unless there is one order for all."""
    trials = [trial(f"t{n}") for n in range(400)]
    with Store(url) as one, Store(url) as other, ThreadPoolExecutor() as threads:
        run = start(one)
        for _ in range(5):
            both = [
                threads.submit(one.put_trials, run, trials),
                threads.submit(other.put_trials, run, trials[::-1]),
            ]
            for done in both:
                done.result()
            assert len(one.trials(each.key for each in trials)) == 400
            execute(one, "DELETE FROM trials")


def test_two_processes_open_a_fresh_store_and_hammer_it(url: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    barrier, answers = spawn.Barrier(2), spawn.Queue()
    processes = [
        spawn.Process(target=_hammer, args=(url, worker, barrier, answers)) for worker in (1, 2)
    ]
    for process in processes:
        process.start()
    results = [answers.get(timeout=300) for _ in processes]
    for process in processes:
        process.join(30)
    assert [error for _, _, error in results] == ["", ""]
    versions = [version for _, given_out, _ in results for version in given_out]
    assert len(versions) == len(set(versions)) == 60
    with Store(url) as store:
        keys = [each.key for each in store.iter_trials()]
        assert len(keys) == len(set(keys)) == 75
        assert len(store.cached(keys)) == 75
        assert {store.trials([f"shared{n}"])[f"shared{n}"].tokens for n in range(25)} <= {1, 2}
        assert len(store.adapters()) == 10
        assert store.current("rev-a") in store.adapters()


def test_trials_are_plain_json_and_rows(store: Store) -> None:
    """Nothing is pickled: the stored edit is what `json` reads, without the tokens that were drawn."""
    store.put_trials(start(store), [trial("a")])
    with store._engine.connect() as connection:
        (edit,) = connection.exec_driver_sql("SELECT edit FROM trials").one()
    expected = json.loads(json.dumps(asdict(trial("a").edit)))
    assert expected.pop("drawn") == []
    assert json.loads(edit) == expected
