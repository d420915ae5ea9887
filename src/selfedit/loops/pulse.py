"""A run's signs of life in the store: how far it is, every few seconds, for whoever watches."""

from __future__ import annotations

import contextlib
import os
import platform
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, Self

import psutil

from selfedit.errors import StoreError
from selfedit.progress import Progress, Silent
from selfedit.seams import Model, Staffed, TrialRunner
from selfedit.store import Beat, Store

SECONDS = 5.0  # from one sign to the next
SILENT = 30.0  # seconds without one, after which something is wrong
_WINDOW = 300.0  # seconds that the pace is measured over

Life = Literal["alive", "silent", "dead"]


def whereabouts() -> dict[str, Any]:
    """Where this process is: what the first sign of a run says."""
    return {"host": platform.node(), "pid": os.getpid()}


def life(beat: Beat, now: datetime | None = None) -> Life:
    """Whether a run that has not ended goes on. silent: its process may have been stopped, or cut off
    from the store; dead: it is gone. The clocks of two machines may differ by some seconds."""
    age = ((now or datetime.now(UTC)) - beat.updated).total_seconds()
    if age >= 2 * SECONDS and beat.values.get("host") == platform.node() and not _is_there(beat):
        return "dead"
    return "alive" if age < SILENT else "silent"


def _is_there(beat: Beat) -> bool:
    """Whether the process of that number is the one that gave the sign, and not a later one."""
    try:
        begun = psutil.Process(int(beat.values["pid"])).create_time()
    except (psutil.Error, KeyError, TypeError, ValueError):
        return False
    return begun <= beat.updated.timestamp() + 1  # the two clocks are rounded


class Watched:
    """A progress that others may look at. Implements `progress.Progress`; wraps one.

    workers: how many work at the moment, if that is known; `of` says it of a runner.
    """

    def __init__(
        self, progress: Progress | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.progress = progress or Silent()
        self.workers: Callable[[], int] | None = None
        self._clock = clock
        self._stage, self._note = "", ""
        self._total, self._done = 0, 0.0
        self._pace: deque[tuple[float, float]] = deque()  # when so much was done

    def of(self, runner: TrialRunner, model: Model) -> None:
        """The workers are those of the runner, while it has some; else the model's threads."""
        own, threads = runner if isinstance(runner, Staffed) else None, model.num_workers
        self.workers = lambda: (own.workers if own is not None else 0) or threads

    def start(self, name: str, total: int) -> None:
        self._stage, self._total, self._done = name, total, 0.0
        self._pace.clear()
        self.progress.start(name, total)

    def advance(self, amount: float = 1) -> None:
        self._done += amount
        if not self._pace:  # what was finished in an earlier run, or prepared, says nothing of the pace
            self._pace.append((self._clock(), self._done))
        self.progress.advance(amount)

    def found(self, amount: float) -> None:
        self._done += amount
        for place, (when, done) in enumerate(self._pace):
            self._pace[place] = (when, done + amount)
        self.progress.found(amount)

    def note(self, text: str) -> None:
        self._note = text
        self.progress.note(text)

    def warn(self, text: str) -> None:
        self.progress.warn(text)

    def values(self) -> dict[str, Any]:
        """How far it is. rate: units a second; left: seconds; None: not known yet."""
        now, rate = self._clock(), None
        if self._pace:
            while len(self._pace) > 1 and now - self._pace[0][0] > _WINDOW:
                self._pace.popleft()
            since, done = self._pace[0]
            if self._done > done and now > since:
                rate = (self._done - done) / (now - since)
            self._pace.append((now, self._done))
        return {
            "stage": self._stage,
            "done": round(self._done, 3),
            "total": self._total,
            "rate": rate,
            "left": None if not rate else max(0.0, self._total - self._done) / rate,
            "note": self._note,
            "workers": None if self.workers is None else self.workers(),
        }


class Pulse:
    """Tells the store of a run while it is open, from a thread of its own. A store that does not take a
    sign is told the next one."""

    def __init__(
        self, store: Store, run_id: int, watched: Watched | None, seconds: float = SECONDS
    ) -> None:
        self._store, self._run_id, self._seconds = store, run_id, seconds
        self._watched = watched or Watched()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="selfedit-pulse", daemon=True)

    def __enter__(self) -> Self:
        if self._store.is_shared:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        if self._thread.is_alive():
            self._thread.join()

    def _beat(self) -> None:
        while not self._end.wait(self._seconds):
            with contextlib.suppress(StoreError):
                self._store.beat(self._run_id, whereabouts() | self._watched.values())
