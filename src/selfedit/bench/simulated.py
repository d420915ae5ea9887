"""A pool of workers (`runners.dispatch.Pool`) whose time is simulated: a discrete-event simulation.

What hands out the work is the code that does it on a cluster. Simulated are the workers, which take the
seconds that they are told to, and the clock; the driver's own time is put on the clock with `spend`.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import Generic, TypeVar

from selfedit.runners.dispatch import Done, Lost

W = TypeVar("W")


class SimulatedPool(Generic[W]):
    """Implements `dispatch.Pool`; the result of a piece of work is the work itself.

    seconds: of a worker at a piece of work. begins: seconds of the driver for handing out one. busy:
    seconds that all workers together have worked, at pieces that were run twice, too.
    """

    def __init__(self, workers: int, seconds: Callable[[int, W], float], begins: float = 0.0) -> None:
        self.idle = list(range(workers))
        self.clock = self.busy = 0.0
        self._seconds, self._begins = seconds, begins
        self._there = set(self.idle)
        self._events: list[tuple[float, int, Done[W] | Lost | int]] = []  # a number: a worker joins
        self._count = itertools.count()

    @property
    def size(self) -> int:
        return len(self._there)

    def now(self) -> float:
        return self.clock

    def spend(self, seconds: float) -> None:
        """The driver is busy with something else; workers go on."""
        self.clock += seconds

    def join(self, worker: int, at: float) -> None:
        self._happens(at, worker)

    def lose(self, worker: int, at: float) -> None:
        self._happens(at, Lost(worker, "killed"))

    def begin(self, worker: int, work: W) -> None:
        self.spend(self._begins)
        seconds = self._seconds(worker, work)
        self.busy += seconds
        self._happens(self.clock + seconds, Done(worker, work))

    def wait(self, seconds: float) -> list[Done[W] | Lost]:
        """See `dispatch.Pool`. The clock goes to the next event, or on by so many seconds."""
        until = self.clock + seconds
        if not self._events or self._events[0][0] > until:
            self.clock = until
            return []
        self.clock = max(self.clock, self._events[0][0])
        seen: list[Done[W] | Lost] = []
        while self._events and self._events[0][0] <= self.clock:
            event = heapq.heappop(self._events)[2]
            if isinstance(event, int):
                self._there.add(event)
                self.idle.append(event)
            elif event.worker in self._there:
                seen.append(event)
                self._after(event)
        return seen

    def _after(self, event: Done[W] | Lost) -> None:
        if isinstance(event, Done):
            self.idle.append(event.worker)
            return
        self._there.remove(event.worker)
        if event.worker in self.idle:
            self.idle.remove(event.worker)

    def _happens(self, at: float, event: Done[W] | Lost | int) -> None:
        heapq.heappush(self._events, (at, next(self._count), event))
