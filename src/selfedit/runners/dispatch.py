"""Which worker gets which piece of work, and when: the same for a cluster and for its simulation.

The longest piece that is at hand goes first, so that short ones fill the end. A piece whose worker was
lost goes to another one, a few times. When nothing is left to begin, a piece that takes far longer than
its size explains is run a second time, and the first result counts.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from selfedit.errors import WorkerError

# A piece is given up when it has lost so many workers: it is likely what kills them.
ATTEMPTS = 3
# How many times longer than expected a piece runs before it counts as a straggler. The durations of one
# run, divided by the sizes of their pieces, differ by half of their mean and not by its double.
SLACK = 2.0
# Pieces for each worker that are at hand, so that the longest can go first.
AHEAD = 2
_SECONDS = 2.0  # of waiting before the pool is asked for more workers, and stragglers are looked for

W = TypeVar("W")
W_contra = TypeVar("W_contra", contravariant=True)
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Piece(Generic[W]):
    """size: expected work, in any unit. what: for messages."""

    number: int
    size: float
    work: W
    what: str


@dataclass(frozen=True, slots=True)
class Done(Generic[R]):
    worker: int
    result: R


@dataclass(frozen=True, slots=True)
class Lost:
    """The worker is gone, with what it was doing. reason: one line."""

    worker: int
    reason: str


class Pool(Protocol[W_contra, R]):
    """Workers, wherever they are. size: those that there are, the starting and the busy ones included.
    idle: those that have nothing to do; who takes one begins something with it."""

    idle: list[int]

    @property
    def size(self) -> int: ...

    def now(self) -> float:
        """Seconds."""
        ...

    def begin(self, worker: int, work: W_contra) -> None: ...

    def wait(self, seconds: float) -> list[Done[R] | Lost]:
        """What has happened; waits so long at most if nothing has, and returns at once if there is an
        idle worker that was not there before. Raises SelfEditError for what fails everywhere."""
        ...


@dataclass(slots=True)
class _Running(Generic[W]):
    piece: Piece[W]
    since: float


@dataclass(slots=True)
class Dispatch(Generic[W, R]):
    """Runs pieces in a pool. lost, twice: pieces that were lost with their worker so far, and pieces
    that were begun a second time."""

    pool: Pool[W, R]
    attempts: int = ATTEMPTS
    slack: float = SLACK
    ahead: int = AHEAD
    lost: int = 0
    twice: int = 0
    _queue: list[tuple[float, int, Piece[W]]] = field(default_factory=list)
    _running: dict[int, _Running[W]] = field(default_factory=dict)
    _copies: Counter[int] = field(default_factory=Counter)  # of each piece that is being run
    _losses: Counter[int] = field(default_factory=Counter)
    _seconds: float = 0.0
    _size: float = 0.0

    def run(self, pieces: Iterator[Piece[W]]) -> Iterator[tuple[Piece[W], R]]:
        """Every piece with its result, as they come; pieces are read as they are needed.

        Results are handed out when the idle workers have got new work. Raises WorkerError for a piece
        that has lost its worker too often.
        """
        left = True
        while True:
            self._begin()
            while left and len(self._queue) < max(1, self.ahead * self.pool.size):
                piece = next(pieces, None)
                left = piece is not None
                if piece is not None:
                    self._put(piece)
            self._begin()
            if not left and not self._queue:
                if not self._copies:
                    return
                self._begin_again()
            done = [got for event in self.pool.wait(_SECONDS) if (got := self._ended(event))]
            self._begin()
            yield from done

    @property
    def running(self) -> int:
        return len(self._copies)

    def _put(self, piece: Piece[W]) -> None:
        heapq.heappush(self._queue, (-piece.size, piece.number, piece))

    def _begin(self) -> None:
        while self._queue and self.pool.idle:
            self._start(heapq.heappop(self._queue)[2])

    def _start(self, piece: Piece[W]) -> None:
        worker = self.pool.idle.pop()
        self._running[worker] = _Running(piece, self.pool.now())
        self._copies[piece.number] += 1
        self.pool.begin(worker, piece.work)

    def _begin_again(self) -> None:
        """Give idle workers the pieces that are overdue, the most overdue first."""
        if not self.pool.idle or not self._size:
            return
        now, pace = self.pool.now(), self._seconds / self._size
        late = [
            (own.piece.size * pace * self.slack - (now - own.since), own.piece.number, own.piece)
            for own in self._running.values()
            if self._copies[own.piece.number] == 1
        ]
        for over, _, piece in sorted(late, key=lambda one: one[:2]):
            if over >= 0 or not self.pool.idle:
                return
            self.twice += 1
            self._start(piece)

    def _ended(self, event: Done[R] | Lost) -> tuple[Piece[W], R] | None:
        """The piece and its result, if it is the first one."""
        own = self._running.pop(event.worker, None)
        if own is None or own.piece.number not in self._copies:  # of an earlier run; or the second
            return None
        piece = own.piece
        if isinstance(event, Done):
            del self._copies[piece.number]
            self._losses.pop(piece.number, None)
            self._seconds += self.pool.now() - own.since
            self._size += piece.size
            return piece, event.result
        self.lost += 1
        self._copies[piece.number] -= 1
        self._losses[piece.number] += 1
        if self._losses[piece.number] >= self.attempts:
            raise WorkerError(
                f"{piece.what} lost its worker {self.attempts} times (the last time: {event.reason}). "
                "Look at the memory of the workers' machines, or use fewer workers on each; what is "
                "finished is stored, and the same command goes on from there."
            )
        if not self._copies[piece.number]:
            del self._copies[piece.number]
            self._put(piece)
        return None
