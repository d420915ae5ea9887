"""A PostgreSQL server for the tests: of this machine's own programs, in a temporary folder."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Missing(Exception):
    """Why there is no server."""


@contextmanager
def server() -> Iterator[str]:
    """The URL of an empty database. The server listens on a socket in its folder alone, and ends with
    the block. Raises Missing."""
    programs, user = _programs(), _user()
    folder = Path(tempfile.mkdtemp(prefix="selfedit-pg-", dir="/tmp"))  # a socket's path has 107 bytes
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)
    data = folder / "data"

    def run(program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(programs / program), *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=(log := (folder / "log").open("ab")),
            stderr=log,
            user=None if user is None else user.pw_uid,
            group=None if user is None else user.pw_gid,
            extra_groups=None if user is None else [],
            check=False,
        )
        log.close()
        if done.returncode:
            raise Missing(f"{program} failed: {(folder / 'log').read_text()[-500:]}")

    try:
        run(
            "initdb",
            "-D",
            str(data),
            "-U",
            "selfedit",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-locale",
            "-N",
        )
        # No fsync: what is tested is not the disk. A deadlock is looked for soon.
        how = f"-F -k {folder} -c listen_addresses='' -c deadlock_timeout=100ms"
        run("pg_ctl", "-D", str(data), "-o", how, "-w", "-l", str(folder / "server.log"), "start")
        try:
            yield f"postgresql+psycopg://selfedit@/postgres?host={folder}"
        finally:
            run("pg_ctl", "-D", str(data), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path:
    """Debian has the server's programs beside the path."""
    there = [
        shutil.which("initdb") or "",
        *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))),
    ]
    for found in reversed(there):
        if found and Path(found).with_name("pg_ctl").exists():
            return Path(found).parent
    raise Missing("there is no PostgreSQL here (Debian: apt install postgresql)")


def _user() -> pwd.struct_passwd | None:
    """Whom to run it as: it refuses root. None: as we are."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise Missing(f"PostgreSQL does not run as {getpass.getuser()}, and there is no user nobody")
