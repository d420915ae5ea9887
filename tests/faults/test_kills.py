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
from tests.faults.commands import Running, Setting, run
from tests.faults.libraries import COMMANDS, Work, left_behind, state, write_inputs
from tests.faults.torture import TORTURE, only_in_torture

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Ended(BaseException):
    """No handler of the code catches it."""


@contextmanager
def ended_at(number: int) -> Iterator[list[int]]:
    """Raises Ended at the write of that number; yields how many there were. A write is a commit to a
    store, or a file or folder that is put in its place."""
    count = [0]

    def write(*_: Any) -> None:
        count[0] += 1
        if count[0] == number:
            raise Ended

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
    except Ended:
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


@pytest.fixture
def signalled(tmp_path):
    """Sends signals to a command at random points and compares what comes of giving it again."""

    def check(name: str, work: Work) -> None:
        template, calm = tmp_path / "template", tmp_path / "calm"
        write_inputs(template)
        if work.prepare is not None:
            work.prepare(template)
        here = Setting(cwd=template)
        for args in work.before:
            assert run(*args, setting=here).code == 0
        shutil.copytree(template, calm)
        done = run(*work.args, setting=Setting(cwd=calm))
        assert done.code == 0, done.err
        wanted = state(calm)
        assert not run(*work.args, setting=Setting(cwd=calm)).crashed
        twice = state(calm)
        draw = random.Random(name)
        for point in range(TORTURE):
            number = SIGNALS[point % len(SIGNALS)]
            folder = tmp_path / f"{point}"
            shutil.copytree(template, folder)
            running = Running(work.args, Setting(cwd=folder))
            running.kill(number, draw.random() * done.seconds)
            killed = running.wait()
            again = run(*work.args, setting=Setting(cwd=folder))
            told = f"{name}, {number.name}, {killed.seconds:.2f} s: {killed.err}\n{again.err}"
            assert not killed.crashed, told
            assert not again.crashed, told
            assert again.code == 0 or not work.repeats, told
            assert state(folder) in (wanted, twice), told
            assert not left_behind(folder), told
            shutil.rmtree(folder)

    return check


@only_in_torture
@pytest.mark.parametrize("name", COMMANDS)
def test_signals_at_random_points(name, signalled):
    signalled(name, COMMANDS[name])
