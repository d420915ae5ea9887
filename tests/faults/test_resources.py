"""A machine that refuses: no disk, no memory, no descriptors, no home, no terminal, no reader."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from selfedit.home import STORE
from tests.faults.commands import Running, Setting, run
from tests.faults.libraries import MODEL, learn, left_behind, state, write_inputs
from tests.faults.torture import TORTURE, only_in_torture

pytestmark = only_in_torture
LIST = ("adapters", "list", "--library", "lib")


@pytest.fixture
def folder(tmp_path) -> Path:
    write_inputs(tmp_path / "work")
    assert run(*learn("Orro"), setting=Setting(cwd=tmp_path / "work")).code == 0
    return tmp_path / "work"


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """An empty file system in memory, of 64 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", place], check=False, capture_output=True
    )
    if made.returncode:
        pytest.skip(f"no file system of its own: {made.stderr.decode()}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def refused(ended, *words: str) -> None:
    """It ended with one sentence, and no traceback."""
    assert not ended.crashed, ended.err
    assert ended.code in (1, 2), ended
    assert any(word in ended.err for word in words), ended.err


def test_a_disk_that_fills_up(small_disk):
    """At each of many points: then the same command, with room, ends as undisturbed; where its version
    was committed before the disk was full, as one that is given twice."""
    write_inputs(small_disk / "calm")
    wanted = []
    for name in ("Orro", "Velm", "Velm"):
        assert run(*learn(name), setting=Setting(cwd=small_disk / "calm")).code == 0
        wanted.append(state(small_disk / "calm"))
    write_inputs(small_disk / "work")
    here = Setting(cwd=small_disk / "work", env={"SELFEDIT_HOME": str(small_disk / "home")})
    assert run(*learn("Orro"), setting=here).code == 0
    for point in range(max(TORTURE, 4)):
        shutil.rmtree(small_disk / "try", ignore_errors=True)
        shutil.copytree(small_disk / "work", small_disk / "try")
        here = Setting(cwd=small_disk / "try", env={"SELFEDIT_HOME": str(small_disk / "home")})
        free = shutil.disk_usage(small_disk).free
        ballast = small_disk / "ballast"
        with ballast.open("wb") as file:
            file.write(b"\0" * max(0, free - 4096 * 2 ** (point % 8)))
        ended = run(*learn("Velm"), setting=here)
        ballast.unlink()
        if ended.code:
            refused(ended, "space", "full", "written")
        known = len(state(small_disk / "try")["versions"])
        again = run(*learn("Velm"), setting=here)
        assert again.code == 0, again.err
        assert state(small_disk / "try") == wanted[known]
        assert not left_behind(small_disk / "try")


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({resource.RLIMIT_NOFILE: 20}, ("open files", "Too many", "ulimit", "cannot be")),
        ({resource.RLIMIT_NOFILE: 8}, ("open", "Too many", "ulimit")),
        ({resource.RLIMIT_FSIZE: 4096}, ("large", "written", "disk", "full")),
    ],
)
def test_limits(folder, limits, words):
    ended = run(*learn("Velm"), setting=Setting(cwd=folder, limits=limits))
    if ended.code:
        assert not ended.crashed, ended.err
        refused(ended, *words)
        assert run(*learn("Velm"), setting=Setting(cwd=folder)).code == 0
    assert len(state(folder)["versions"]) == 2


@pytest.mark.parametrize("spare", [0, 2**18, 2**20, 2**22, 2**23, 2**24, 2**25, 2**26])
def test_little_memory(folder, spare):
    for args in (LIST, ("ask", "q", *MODEL, "--library", "lib"), learn("Velm")):
        ended = run(*args, setting=Setting(cwd=folder, spare=spare))
        if ended.code:  # SQLAlchemy logs what it could not roll back
            last = ended.err.splitlines()[-1]
            assert last.startswith("Error: "), ended.err
            assert "memory" in last or "segment" in last, ended.err
    assert run(*learn("Velm"), setting=Setting(cwd=folder)).code == 0
    assert len(state(folder)["versions"]) in (2, 3)
    assert not left_behind(folder)


def _without_capabilities() -> None:
    """As anybody else: root may write where nobody may."""
    header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None, use_errno=True).capset(header, none):
        raise OSError(ctypes.get_errno(), "capset")


@pytest.mark.parametrize("place", ["lib", "lib/passages", "."])
def test_a_folder_that_is_read_only(folder, place):
    anybody = Setting(cwd=folder, before=_without_capabilities)
    before = state(folder)
    closed = [folder / place, *(path for path in (folder / place).rglob("*") if place != ".")]
    for path in closed:
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        for args in (
            LIST,
            ("adapters", "show", "1", "--library", "lib"),
            ("ask", "q", *MODEL, "--library", "lib"),
            ("report", "1", "--library", "lib", "--html", "page.html"),
            ("adapters", "export", "out", "--version", "1", *MODEL, "--library", "lib"),
            ("adapters", "delete", "1", "--library", "lib"),
            learn("Velm"),
            ["learn", "Velm.md", *MODEL, "--library", "new/lib"],
        ):
            ended = run(*args, setting=anybody)
            if ended.code:
                refused(ended, "writ", "denied", "permission", "is the current one")
    finally:
        for path in closed:
            path.chmod(path.stat().st_mode | 0o200)
    assert state(folder)["versions"][:1] == before["versions"][:1] or place == "."
    assert run(*learn("Velm"), setting=Setting(cwd=folder)).code == 0
    assert not left_behind(folder)


PLACES = {
    "no home": {"HOME": None, "SELFEDIT_HOME": None, "XDG_DATA_HOME": None, "XDG_CACHE_HOME": None},
    "ascii": {"LANG": "C", "LC_ALL": "C"},
    "a dumb terminal": {"TERM": "dumb"},
    "20 columns": {"COLUMNS": "20"},
    "1 column": {"COLUMNS": "1"},
    "no terminal": {"TERM": None},
    "another time zone": {"TZ": "Pacific/Kiritimati"},
}


@pytest.mark.parametrize("name", PLACES)
def test_environments(folder, name):
    here = Setting(cwd=folder, env=PLACES[name])
    for args in (LIST, ("adapters", "show", "1", "--library", "lib"), learn("Velm")):
        ended = run(*args, setting=here)
        assert ended.code == 0, ended.err
    assert len(state(folder)["versions"]) == 2


@pytest.mark.parametrize("closed", [[1], [2], [0, 1, 2]])
def test_closed_streams(folder, closed):
    assert run(*learn("Velm"), setting=Setting(cwd=folder, closed=closed)).code in (0, 1)
    assert len(state(folder)["versions"]) == 2


def test_nobody_reads_the_output(folder):
    os.mkfifo(folder / "pipe")
    reader = os.open(folder / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    running = Running(learn("Velm"), Setting(cwd=folder, stdout=str(folder / "pipe")))
    time.sleep(0.2)
    os.close(reader)
    assert not running.wait().crashed
    assert len(state(folder)["versions"]) == 2


def _back_in_time() -> None:
    real = time.time
    time.time = lambda: real() - 10 * 365 * 86400


def test_a_clock_that_was_moved_back(folder):
    ended = run(*learn("Velm"), setting=Setting(cwd=folder, before=_back_in_time))
    assert ended.code == 0, ended.err
    assert run(*LIST, setting=Setting(cwd=folder)).code == 0


def test_a_store_that_is_locked_waits(folder):
    database = sqlite3.connect(folder / "lib" / STORE, isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    running = Running(learn("Velm"), Setting(cwd=folder))
    time.sleep(5)
    database.execute("ROLLBACK")
    database.close()
    assert running.wait().code == 0
    assert len(state(folder)["versions"]) == 2


@pytest.mark.parametrize("damage", ["garbage", "cut", "empty", "a page", "newer"])
def test_a_store_that_is_damaged(folder, damage):
    store = folder / "lib" / STORE
    run(*LIST, setting=Setting(cwd=folder))
    if damage == "newer":
        with sqlite3.connect(store) as database:
            database.execute("UPDATE alembic_version SET version_num = 'later'")
    else:
        with sqlite3.connect(store) as database:  # what is in the log would mend the file
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()
        for beside in folder.glob(f"lib/{STORE}-*"):
            beside.unlink()
        data = store.read_bytes()
        middle = len(data) // 2
        store.write_bytes(
            {
                "garbage": os.urandom(len(data)),
                "cut": data[:middle],
                "empty": b"",
                "a page": data[:4096] + os.urandom(4096) + data[8192:],
            }[damage]
        )
    for args in (LIST, learn("Velm"), ("ask", "q", *MODEL, "--library", "lib")):
        ended = run(*args, setting=Setting(cwd=folder))
        assert not ended.crashed, ended.err
        assert ended.code == 1 or damage == "empty", ended


def test_a_store_that_is_a_link_stays_one(folder, tmp_path):
    store = folder / "lib" / STORE
    for path in folder.glob(f"lib/{STORE}*"):
        shutil.move(path, tmp_path / path.name)
    store.symlink_to(tmp_path / STORE)
    assert run(*learn("Velm"), setting=Setting(cwd=folder)).code == 0
    assert store.is_symlink()
    assert len(state(folder)["versions"]) == 2
