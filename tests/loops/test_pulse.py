"""Signs of life: a run tells the store how far it is, and a dead one is known for dead."""

from __future__ import annotations

import io
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from selfedit.cli.follow import follow
from selfedit.config import InnerSettings
from selfedit.domains.knowledge import Knowledge
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.errors import StoreError
from selfedit.loops import pulse
from selfedit.loops.policies import Policies, ref_of
from selfedit.loops.pulse import Pulse, Watched, life, whereabouts
from selfedit.loops.runs import recorded_run
from selfedit.model.fake import FakeModel
from selfedit.progress import Part, Silent, Tracked
from selfedit.report.follow import line, look, view
from selfedit.report.runs import run_values, state
from selfedit.runners import stored
from selfedit.runners.local import LocalRunner
from selfedit.seams import PolicyRef
from selfedit.store import Beat, Store
from selfedit.types import Proposal, SelfEdit, Task

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_the_pace_counts_what_is_done_now():
    clock = Clock()
    watched = Watched(clock=clock)
    watched.start("training", 100)
    assert watched.values()["left"] is None
    clock.now = 50  # preparing
    watched.advance(40)  # finished in an earlier run
    for _ in range(10):
        clock.now += 2
        watched.advance()
    found = watched.values()
    assert (found["stage"], found["done"], found["total"]) == ("training", 50, 100)
    assert found["rate"] == pytest.approx(0.5)
    assert found["left"] == pytest.approx(100)
    for _ in range(200):  # slower by now: only the last minutes count
        clock.now += 60
        watched.advance(0.1)
        found = watched.values()
    assert found["rate"] == pytest.approx(0.1 / 60)
    Part(watched, 5).note("so far")
    assert watched.values()["note"] == "so far"
    watched.start("asking", 3)
    assert watched.values()["rate"] is None


def test_what_is_found_later_is_no_part_of_the_pace():
    """As with more contexts than are read at a time."""
    clock = Clock()
    watched = Watched(clock=clock)
    watched.start("training", 1000)
    for _ in range(2):
        watched.advance(0)
        part = Part(watched, 300)
        part.found(200)
        part.finish()  # what shares a training with another, or is invalid
        watched.values()
    clock.now = 60
    watched.advance(2)
    found = watched.values()
    assert found["done"] == 602
    assert found["rate"] == pytest.approx(2 / 60)
    assert found["left"] == pytest.approx(398 * 30)


def test_what_was_found_is_taken_back_with_the_rest():
    """It will be found again when the work is done again."""
    watched = Watched(clock=Clock())
    watched.start("training", 10)
    tracked = Tracked(watched)
    tracked.found(3)
    tracked.advance(2)
    tracked.take_back()
    assert watched.values()["done"] == 0


def test_stored_trials_are_no_part_of_the_pace(tmp_path, monkeypatch):
    """A chunk of the runner's after the first that is in the store."""
    monkeypatch.setattr(stored, "CONTEXTS_AT_ONCE", 2)
    model, domain, settings = FakeModel(), Knowledge(), LearnSettings()
    tasks = [Task(f"t{i}", "T", f"The tower {i} is tall and white.") for i in range(5)]
    store = Store(tmp_path / "store.sqlite")

    class Told(Silent):
        worked = had = 0

        def advance(self, amount=1):
            self.worked += amount

        def found(self, amount):
            self.had += amount

    for again in (False, True):
        told = Told()
        run = store.start_run("train", "fake", "fake", {}, {})
        edits = [
            Proposal(
                t, 0.0, (SelfEdit(t.id, 0, (), (f"Tall and white is the tower {t.id[1:]}.",) * 3),)
            )
            for t in tasks
        ]
        list(LocalRunner(Policies(model), store, run).run(ref_of(model), domain, edits, settings, told))
        assert told.worked + told.had == pytest.approx(len(tasks))
        assert (told.worked == 0) is again


def test_alive_silent_or_dead():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    here = platform.node()

    def seen(age, **where):
        return life(Beat({**whereabouts(), **where}, NOW), NOW + timedelta(seconds=age))

    real = time.time() + 5
    beat = Beat(whereabouts(), datetime.fromtimestamp(real, UTC))
    assert life(beat, beat.updated + timedelta(seconds=1)) == "alive"
    assert life(beat, beat.updated + timedelta(seconds=20)) == "alive", "a busy machine"
    assert life(beat, beat.updated + timedelta(seconds=99)) == "silent", "stopped, perhaps"
    assert seen(5, pid=ended.pid) == "alive", "not looked at yet"
    assert seen(20, pid=ended.pid) == "dead"
    assert seen(20, host=here) == "dead", "the number is another process's by now, which began later"
    assert seen(20, host="elsewhere", pid=ended.pid) == "alive"
    assert seen(99, host="elsewhere", pid=ended.pid) == "silent"


def test_a_run_tells_the_store_until_it_ends(tmp_path, monkeypatch):
    store = Store(tmp_path / "store.sqlite")
    watched = Watched()
    watched.workers = lambda: 3
    monkeypatch.setattr(Pulse.__init__, "__defaults__", (0.02,))
    with recorded_run(store, "train", PolicyRef("m", "r"), InnerSettings(), {}, watched) as run:
        assert store.run(run.id).beat.values == whereabouts(), "at once, in the run's own transaction"
        watched.start("writing", 8)
        watched.advance(2)
        until = time.monotonic() + 20
        while store.run(run.id).beat.values.get("done") != 2 and time.monotonic() < until:
            time.sleep(0.01)
        told = store.runs()[0].beat.values
        assert (told["stage"], told["done"], told["total"], told["workers"]) == ("writing", 2, 8, 3)
        assert told["pid"] == os.getpid()
        assert state(store.run(run.id)) == "going on"
        (live,) = look(store)
        assert "writing 2 of 8" in line(live)
    assert state(store.run(run.id)) == "finished"
    assert not look(store)
    last = store.run(run.id).beat.updated
    time.sleep(0.1)
    assert store.run(run.id).beat.updated == last, "nothing after its end"


def test_a_sign_that_the_store_refuses_stops_nothing(tmp_path, monkeypatch):
    store = Store(tmp_path / "store.sqlite")
    monkeypatch.setattr(Pulse.__init__, "__defaults__", (0.01,))
    with recorded_run(store, "train", PolicyRef("m", "r"), InnerSettings(), {}, Watched()) as run:
        monkeypatch.setattr(Store, "beat", _refuse)
        time.sleep(0.1)
    assert store.run(run.id).status == "finished"


def _refuse(*_):
    raise StoreError("full")


def test_followed_until_it_ends_or_is_dead(tmp_path, monkeypatch, capsys):
    store = Store(tmp_path / "store.sqlite")
    run = store.start_run("train", "fake", "fake-1", {"rounds": 2}, {}, whereabouts())
    looks = 0

    def pause(seconds):
        nonlocal looks
        looks += 1
        store.beat(
            run,
            whereabouts() | {"stage": "training", "done": looks, "total": 4, "rate": 0.5, "left": 8},
        )
        if looks == 3:
            store.finish_run(run, "failed", error="no space")

    follow(store, run, True, pause)
    told = [json.loads(text)["runs"][0] for text in capsys.readouterr().out.splitlines()]
    assert [one["state"] for one in told] == ["alive"] * 3 + ["failed"]
    assert [one["done"] for one in told] == [None, 1, 2, 3]
    assert told[1]["left"] == pytest.approx(8, abs=1)
    drawn = io.StringIO()
    going_on = replace(
        look(store, run)[0], run=replace(store.run(run), status="running", finished=None)
    )
    Console(file=drawn, width=80).print(view([going_on], 80))
    said = [text.split()[0] for text in drawn.getvalue().splitlines() if text.strip()]
    assert said[:2] == ["Run", "training:"], "then the bar"
    assert {"started", "pace", "where", "last"} <= set(said), "each in a line of its own"
    assert told[-1]["error"] == "no space"
    assert told[-1]["left"] is None

    monkeypatch.setattr(pulse, "SECONDS", 0.0)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    gone = store.start_run("train", "fake", "fake-1", {}, {}, {**whereabouts(), "pid": ended.pid})
    follow(store, gone, False, pause)
    assert f"run {gone} (train): killed" in capsys.readouterr().out
    assert run_values(store, store.run(gone))["state"] == "dead"
    assert run_values(store, store.run(gone))["status"] == "running"

    def leave(seconds):
        raise KeyboardInterrupt

    follow(store, None, False, leave)
    assert "killed" not in capsys.readouterr().out, "what is dead does not go on"
