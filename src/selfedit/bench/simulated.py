"""A pool of workers (`runners.dispatch.Pool`) whose time is simulated: a discrete-event simulation.

What hands out the work is the code that does it on a cluster. Simulated are the workers, which take the
seconds that they are told to, and the clock.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from selfedit.runners.dispatch import Done, Lost

W = TypeVar("W")
R = TypeVar("R")


class SimulatedPool(Generic[W, R]):
    """Implements `dispatch.Pool`.

    seconds: of a worker at a piece of work. result: of a piece of work. begins: seconds of the driver
    for handing out one. charged: whether the processor time that the driver takes between its calls is
    put on the clock. driver: seconds of the driver so far.
    """

    def __init__(
        self,
        workers: int,
        seconds: Callable[[int, W], float],
        result: Callable[[W], R],
        *,
        begins: float = 0.0,
        charged: bool = False,
    ) -> None:
        self.idle = list(range(workers))
        self.clock = self.driver = 0.0
        self._seconds, self._result = seconds, result
        self._begins, self._charged, self._left = begins, charged, time.thread_time()
        self._there = set(self.idle)
        self._events: list[tuple[float, int, Done[R] | Lost | int]] = []  # a number: a worker joins
        self._count = itertools.count()

    @property
    def size(self) -> int:
        return len(self._there)

    def now(self) -> float:
        return self.clock

    def spend(self, seconds: float) -> None:
        """The driver is busy with something else; workers go on."""
        self.clock += seconds
        self.driver += seconds

    def join(self, worker: int, at: float) -> None:
        self._happens(at, worker)

    def lose(self, worker: int, at: float) -> None:
        self._happens(at, Lost(worker, "killed"))

    def begin(self, worker: int, work: W) -> None:
        self._charge()
        self.spend(self._begins)
        done = Done(worker, self._result(work))
        self._happens(self.clock + self._seconds(worker, work), done)
        self._left = time.thread_time()

    def wait(self, seconds: float) -> list[Done[R] | Lost]:
        """See `dispatch.Pool`. The clock goes to the next event, or on by so many seconds."""
        self._charge()
        seen = self._seen(seconds)
        self._left = time.thread_time()
        return seen

    def _charge(self) -> None:
        if self._charged:
            self.spend(time.thread_time() - self._left)

    def _seen(self, seconds: float) -> list[Done[R] | Lost]:
        until = self.clock + seconds
        if not self._events or self._events[0][0] > until:
            self.clock = until
            return []
        self.clock = max(self.clock, self._events[0][0])
        seen: list[Done[R] | Lost] = []
        while self._events and self._events[0][0] <= self.clock:
            event = heapq.heappop(self._events)[2]
            if isinstance(event, int):
                self._there.add(event)
                self.idle.append(event)
            elif event.worker in self._there:
                seen.append(event)
                self._after(event)
        return seen

    def _after(self, event: Done[R] | Lost) -> None:
        if isinstance(event, Done):
            self.idle.append(event.worker)
            return
        self._there.remove(event.worker)
        if event.worker in self.idle:
            self.idle.remove(event.worker)

    def _happens(self, at: float, event: Done[R] | Lost | int) -> None:
        heapq.heappush(self._events, (at, next(self._count), event))
