"""Network file systems are found in Linux's table of mounts, and said."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from selfedit.console.common import open_store
from selfedit.store import Store, mounts


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "link").symlink_to(tmp_path / "far away")
    file = tmp_path / "mounts"
    lines = [
        "/dev/root / ext4 rw 0 0",
        f"host:/export {tmp_path}/far\\040away nfs4 rw,vers=4.2 0 0",
        f"me@host: {tmp_path}/far\\040away/ssh fuse.sshfs rw 0 0",
        f"//host/share {tmp_path}/share cifs rw 0 0",
        f"/dev/sdb {tmp_path}/share/disk xfs rw 0 0",
        f"/dev/fuse {tmp_path}/near fuse.encfs rw 0 0",
        "broken",
    ]
    file.write_text("\n".join(lines) + "\n")
    return file


def test_the_longest_mount_point_tells(table: Path, tmp_path: Path) -> None:
    for name, kind in {
        "far away/lib": "nfs4",
        "link/lib": "nfs4",  # followed
        "far away/ssh/lib": "fuse.sshfs",
        "share": "cifs",
        "share/disk/lib": "",
        "shares/lib": "",  # another folder, whose name begins alike
        "near/lib": "",
        "lib": "",
    }.items():
        found = mounts.network_file_system(tmp_path / name, table)
        assert (found[0] if found else "") == kind, name
        said = mounts.advice(tmp_path / name, table)
        assert (kind in said) if kind else not said
    assert mounts.network_file_system(tmp_path, tmp_path / "no table") is None


def journal(folder: Path) -> str:
    with sqlite3.connect(folder / "store.sqlite") as connection:
        return str(connection.execute("PRAGMA journal_mode").fetchone()[0])


def test_it_is_said_and_the_journal_needs_no_shared_memory(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mounts, "_MOUNTS", table)
    far, near = tmp_path / "far away" / "lib", tmp_path / "lib"
    for folder, mode, is_said in ((far, "delete", True), (near, "wal", False)):
        with open_store(folder):
            pass
        assert journal(folder) == mode
        assert ("network" in capsys.readouterr().err) == is_said
    monkeypatch.setattr(mounts, "_MOUNTS", tmp_path / "none")
    Store(far / "store.sqlite").close()  # brought back to a local disk
    assert journal(far) == "wal"
