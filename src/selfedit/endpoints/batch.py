"""Many requests side by side, in threads that nobody has to wait for."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

GRACE = 1.0  # seconds for replies on their way when a batch is interrupted


class Line(Protocol):
    """What one thread of a batch works with. cut: ends what is on its way, from another thread."""

    def cut(self) -> None: ...

    def close(self) -> None: ...


A = TypeVar("A")
L = TypeVar("L", bound=Line)
R = TypeVar("R")


class Stopped(Exception):
    """Another request of the batch has failed for good."""


class Batch(Generic[A, L, R]):
    """work(line, ask) gives the reply of one ask, and raises `Stopped` once `stop` is set.

    stop: send nothing more.
    """

    def __init__(self, work: Callable[[L, A], R]) -> None:
        self.stop = threading.Event()
        self._work = work
        self._todo: queue.SimpleQueue[A] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[tuple[A, R] | BaseException | None] = queue.SimpleQueue()
        self._keeping = threading.Lock()
        self._left = False

    def run(self, asks: Sequence[A], lines: Sequence[L]) -> Generator[tuple[A, R], None, None]:
        """(ask, reply) as they arrive, one thread a line. The first failure is raised once what is on
        its way has ended; whoever leaves earlier (Ctrl-C) closes this, and waits for `GRACE` seconds at
        most."""
        for ask in asks:
            self._todo.put(ask)
        for number, line in enumerate(lines):
            # Daemons, as nothing can end a thread that waits for a name server.
            threading.Thread(
                target=self._one_after_the_other, args=[line], name=f"selfedit_{number}", daemon=True
            ).start()
        failure: BaseException | None = None
        num_working = len(lines)
        try:
            while num_working:
                outcome = self._outcomes.get()
                if outcome is None:
                    num_working -= 1
                elif not isinstance(outcome, BaseException):
                    yield outcome
                elif failure is None and not isinstance(outcome, Stopped):
                    failure = outcome
        finally:
            self._leave(lines, num_working)
        if failure is not None:
            raise failure

    @contextmanager
    def keeping(self) -> Iterator[bool]:
        """Around the storing of a reply. False: nobody waits any more, and the store may be closed."""
        with self._keeping:
            yield not self._left

    def _one_after_the_other(self, line: L) -> None:
        try:
            while not self.stop.is_set():
                ask = self._todo.get_nowait()
                self._outcomes.put((ask, self._work(line, ask)))
        except queue.Empty:
            pass
        except BaseException as error:
            self.stop.set()
            self._outcomes.put(error)
        finally:
            line.close()
            self._outcomes.put(None)

    def _leave(self, lines: Sequence[L], num_working: int) -> None:
        self.stop.set()
        until = time.monotonic() + GRACE
        while num_working and (rest := until - time.monotonic()) > 0:
            try:
                num_working -= self._outcomes.get(timeout=rest) is None
            except queue.Empty:
                break
        locked = self._keeping.acquire(timeout=GRACE)  # what is being stored is stored whole
        self._left = True
        if locked:
            self._keeping.release()
        for line in lines:
            line.cut()
