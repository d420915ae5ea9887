"""A corpus on the disk: its file, and beside it a ledger that says how much of it is whole.

The ledger is an SQLite file that holds what was done, and a key of every line. Lines reach the disk
before the ledger says so. Killed at any moment, the file is cut back to what the ledger knows, and the
same lines are written again: none is torn, none comes twice.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO

from selfedit.corpus.lines import Line
from selfedit.errors import InputError, StoreError

_VERSION = 1
_TABLES = ("facts (name TEXT PRIMARY KEY, value TEXT)", "seen (alike BLOB PRIMARY KEY, exact BLOB)")


@dataclass(frozen=True, slots=True)
class Done:
    """How far a corpus is. passages: that were looked at, the repeated ones included; prefix: their
    identity. size: bytes of the file. lines, tokens: of the file; written: tokens of all replies.

    same, alike: texts left out because the corpus has them already, or nearly (`lines.Line`).
    over: the budget of tokens that was used up before the last chunk was whole; None: none was.
    """

    passages: int = 0
    prefix: str = ""
    size: int = 0
    lines: int = 0
    tokens: int = 0
    written: int = 0
    repeated: int = 0
    same: int = 0
    alike: int = 0
    invalid: dict[str, int] = field(default_factory=dict)
    over: int | None = None


@dataclass(slots=True)
class Added:
    """What a chunk adds: counted while its lines are looked through."""

    lines: int = 0
    tokens: int = 0
    written: int = 0
    same: int = 0
    alike: int = 0
    invalid: Counter[str] = field(default_factory=Counter)
    data: list[bytes] = field(default_factory=list)
    over: int | None = None


# A name stays as it is stored, since another would be another corpus; a message says more.
_SHOWN = {"strategy or its options": "strategy or its options, or --as"}


class Ledger:
    """Holds a corpus open for writing; one process at a time.

    out: the file. identity: what determines the lines besides the passages, by name. Raises InputError
    where the file is another one's, StoreError where it cannot be written.
    """

    def __init__(self, out: Path, identity: Mapping[str, str]) -> None:
        self.out, self.place = out, out.with_name(f".{out.name}.state")
        if out.exists() and not self.place.exists():
            raise InputError(f"{out} exists already: name another file, or delete it")
        with self._explained():
            out.parent.mkdir(parents=True, exist_ok=True)
            self._sql = sqlite3.connect(self.place, timeout=0, isolation_level=None)
            self._file: BinaryIO | None = None
            try:
                self._open(identity)
            except BaseException:
                self.close()
                raise

    def _open(self, identity: Mapping[str, str]) -> None:
        sql = self._sql
        sql.execute("PRAGMA locking_mode=EXCLUSIVE")
        sql.execute("BEGIN IMMEDIATE")
        for table in _TABLES:
            sql.execute(f"CREATE TABLE IF NOT EXISTS {table} WITHOUT ROWID")
        found = {
            name: json.loads(value) for name, value in sql.execute("SELECT name, value FROM facts")
        }
        known = found.get("identity")
        if known is None:
            self._put("identity", {"format": str(_VERSION), **identity})
            self._put("before", asdict(Done()))
            self._put("now", asdict(Done()))
            found = {"before": asdict(Done()), "now": asdict(Done())}
        else:
            self._check(known, identity)
        sql.execute("COMMIT")
        # before: at the end of the last whole chunk; now: with what was fitted in behind it.
        self.before, self.now = Done(**found["before"]), Done(**found["now"])
        self._file = self.out.open("ab")
        self._cut_to(self.now.size)

    def _check(self, known: Mapping[str, str], identity: Mapping[str, str]) -> None:
        other = [name for name, value in identity.items() if known.get(name) != value]
        if other or known.get("format") != str(_VERSION):
            what = ", ".join(_SHOWN.get(name, name) for name in other) or "format"
            raise InputError(
                f"{self.out} was begun with another {what}: go on with the same, or name another file "
                f"with --out (or delete it with {self.place.name}, and start afresh)"
            )

    def reopen(self) -> None:
        """Take back what only fitted into a smaller budget: the chunk is written again, and whole."""
        with self._explained():
            # In this order, since a file that is longer than it should be is cut when it is opened.
            self.now = self.before
            self._put("now", asdict(self.now))
            self._cut_to(self.now.size)

    def add(
        self, lines: Iterable[Line], budget: int | None, written: int, invalid: Counter[str]
    ) -> Added:
        """Look through a chunk's lines, in one transaction that `keep` ends. Those that are new are
        kept until the budget of tokens is used up."""
        added = Added(written=written, invalid=invalid)
        with self._explained():
            self._sql.execute("BEGIN")
            for line in lines:
                if self._is_known(line, added):
                    continue
                if budget is not None and self.before.tokens + added.tokens + line.tokens > budget:
                    added.over = budget
                    break
                self._sql.execute("INSERT INTO seen VALUES (?, ?)", (line.alike, line.exact))
                added.lines, added.tokens = added.lines + 1, added.tokens + line.tokens
                added.data.append(line.data)
        return added

    def _is_known(self, line: Line, added: Added) -> bool:
        found = self._sql.execute("SELECT exact FROM seen WHERE alike = ?", (line.alike,)).fetchone()
        if found is None:
            return False
        if found[0] == line.exact:
            added.same += 1
        else:
            added.alike += 1
        return True

    def keep(self, added: Added, passages: int, repeated: int, prefix: str) -> None:
        """Write the chunk's lines and what is done with them. passages: so far, repeated ones included;
        repeated: of this chunk."""
        data = b"".join(added.data)
        before = self.before
        now = Done(
            passages=passages,
            prefix=prefix,
            size=before.size + len(data),
            lines=before.lines + added.lines,
            tokens=before.tokens + added.tokens,
            written=before.written + added.written,
            repeated=before.repeated + repeated,
            same=before.same + added.same,
            alike=before.alike + added.alike,
            invalid=dict(Counter(before.invalid) + added.invalid),
            over=added.over,
        )
        with self._explained():
            self._append(data)
            if added.over is not None:  # with a larger budget the whole chunk comes again
                self._sql.execute("ROLLBACK")
                self._sql.execute("BEGIN")
            else:
                self.before = now
                self._put("before", asdict(now))
            self.now = now
            self._put("now", asdict(now))
            self._sql.execute("COMMIT")

    def close(self) -> None:
        with suppress(sqlite3.Error):
            self._sql.close()
        if self._file is not None:
            self._file.close()

    def _append(self, data: bytes) -> None:
        assert self._file is not None
        self._file.write(data)
        self._file.flush()
        os.fsync(self._file.fileno())

    def _cut_to(self, size: int) -> None:
        """Take away what a killed process wrote behind what the ledger knows."""
        assert self._file is not None
        there = os.fstat(self._file.fileno()).st_size
        if there < size:
            raise InputError(
                f"{self.out} is shorter than it was: put it back, or delete it with {self.place.name} "
                "and start afresh"
            )
        if there > size:
            self._file.truncate(size)

    def _put(self, name: str, value: object) -> None:
        self._sql.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, json.dumps(value)))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise InputError(f"another process is writing {self.out}: wait for it") from None
            raise StoreError(f"{self.out} cannot be written: {error}") from error
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"{self.place} is damaged ({error}): delete it with {self.out.name}, and start afresh"
            ) from error
        except OSError as error:
            raise StoreError(f"{self.out} cannot be written: {error.strerror or error}") from error


class Repeats:
    """Which passages came before, in a table on the disk: a set would grow with the corpus."""

    def __init__(self) -> None:
        self._sql = sqlite3.connect("", isolation_level=None)  # a temporary file of its own
        self._sql.execute("CREATE TABLE first (id TEXT PRIMARY KEY, place INTEGER) WITHOUT ROWID")
        self._sql.execute("BEGIN")

    def add(self, identity: str, place: int) -> None:
        self._sql.execute("INSERT OR IGNORE INTO first VALUES (?, ?)", (identity, place))

    def is_first(self, identity: str, place: int) -> bool:
        query = "SELECT place FROM first WHERE id = ?"
        return bool(self._sql.execute(query, (identity,)).fetchone()[0] == place)

    def close(self) -> None:
        self._sql.close()
