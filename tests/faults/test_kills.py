"""A command that is ended at any point: given again, it ends as if nothing had happened. (Where its
version was committed already, that is what an undisturbed command leaves that is given twice.)

The quick part ends one in this process at some of its writes; the torture sends signals to processes.
"""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine
from typer.testing import CliRunner

from selfedit.cli.app import app
from tests.faults import ledger
from tests.faults.commands import Ended, Running, Setting, run
from tests.faults.libraries import COMMANDS, Work, left_behind, state, write_inputs
from tests.faults.torture import TORTURE, only_in_torture

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Cut(BaseException):
    """No handler of the code catches it."""


@contextmanager
def ended_at(number: int) -> Iterator[list[int]]:
    """Raises Cut at the write of that number; yields how many there were. A write is a commit to a
    store, or a file or folder that is put in its place."""
    count = [0]

    def write(*_: Any) -> None:
        count[0] += 1
        if count[0] == number:
            raise Cut

    with pytest.MonkeyPatch.context() as patch:
        replace = Path.replace

        def replaced(self: Path, target: Any) -> Path:
            write()
            return replace(self, target)

        patch.setattr(Path, "replace", replaced)
        event.listen(Engine, "commit", write)
        try:
            yield count
        finally:
            event.remove(Engine, "commit", write)


def invoke(folder: Path, args: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.chdir(folder)
    try:
        result = CliRunner().invoke(app, list(args))
    except Cut:
        return -1
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code


def test_ended_at_a_write_and_given_again(tmp_path, monkeypatch):
    work = COMMANDS["learn"]
    for name in ("template", "calm"):
        write_inputs(tmp_path / name)
    (before,) = work.before
    invoke(tmp_path / "template", before, monkeypatch)
    shutil.copytree(tmp_path / "template", tmp_path / "calm", dirs_exist_ok=True)
    with ended_at(-1) as writes:
        invoke(tmp_path / "calm", work.args, monkeypatch)
    wanted = state(tmp_path / "calm")
    assert len(wanted["versions"]) == 2
    assert writes[0] > 5
    invoke(tmp_path / "calm", work.args, monkeypatch)
    twice = state(tmp_path / "calm")
    for number in sorted({2, writes[0] // 2, writes[0] - 1}):
        folder = tmp_path / f"ended-{number}"
        shutil.copytree(tmp_path / "template", folder)
        with ended_at(number):
            invoke(folder, work.args, monkeypatch)
        kept = len(state(folder)["versions"])
        assert invoke(folder, work.args, monkeypatch) == 0
        assert state(folder) == (wanted if kept == 1 else twice), number
        assert not left_behind(folder)


def signalled(folder: Path, name: str, work: Work) -> list[str]:
    """Sends signals to a command at random points of its work and compares what comes of giving it
    again. What did not hold, each with the point that finds it again: it alone decides where."""
    template, calm = folder / "template", folder / "calm"
    write_inputs(template)
    if work.prepare is not None:
        work.prepare(template)
    for args in work.before:
        assert run(*args, setting=Setting(cwd=template)).code == 0
    shutil.copytree(template, calm)
    undisturbed = Running(work.args, Setting(cwd=calm))
    seconds = undisturbed.work()
    done = undisturbed.wait()
    assert done.code == 0, done.err
    wanted = [state(calm)]
    assert not run(*work.args, setting=Setting(cwd=calm)).crashed
    wanted.append(state(calm))
    failed = []
    for point in sorted(set(range(TORTURE)) - ledger.held("kill", name)):
        number = SIGNALS[point % len(SIGNALS)]
        fraction = random.Random(f"{name} {point}").random()
        place = folder / f"{point}"
        shutil.copytree(template, place)
        running = Running(work.args, Setting(cwd=place))
        running.kill(number, fraction * seconds)
        killed = running.wait()
        again = run(*work.args, setting=Setting(cwd=place))
        wrong = _wrong(work, place, wanted, killed, again)
        said = f"{wrong}: {killed.err}\n{again.err}" if wrong else ""
        outcome = "failed" if wrong else "held"
        ended = {"signal": number.name, "fraction": round(fraction, 3), "status": killed.code}
        ledger.note("kill", name, point=point, outcome=outcome, said=said, **ended)
        if wrong:
            failed.append(f"point {point}, {ended}: {said}")
        shutil.rmtree(place)
    return failed


def _wrong(work: Work, place: Path, wanted: Any, killed: Ended, again: Ended) -> str:
    """What is not as it should be after a command was ended and given again."""
    if killed.crashed or again.crashed:
        return "a traceback"
    if again.code != 0 and work.repeats:
        return "refused when given again"
    if (found := state(place)) not in wanted:
        return f"another state: {found}"
    return f"left behind: {left}" if (left := left_behind(place)) else ""


@only_in_torture
@pytest.mark.parametrize("name", COMMANDS)
def test_signals_at_random_points(name, tmp_path):
    assert not signalled(tmp_path, name, COMMANDS[name])
