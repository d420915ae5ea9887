"""Which worker gets which piece of work, and when: the same for a cluster and for its simulation.

The longest piece that is at hand goes first, so that short ones fill the end; but none waits while more
pieces come in than are at hand, since what belongs together with it is in memory until it is done. A
piece whose worker was lost goes to another one, a few times. One that takes far longer than its size
explains is run a second time, and the first result counts. That is begun when it is noticed, before the
pieces that are left: at the end it would be too late, when a long piece takes longer than all others
that go on.
"""

from __future__ import annotations

import heapq
import math
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
# The same for a piece whose second run would be the last to end if it were begun later.
LAST_SLACK = 1.5
# Pieces for each worker that are at hand, so that the longest can go first (benchmarks/scale.py: with 2
# the last long ones begin late).
AHEAD = 8
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
    last_slack: float = LAST_SLACK
    ahead: int = AHEAD
    lost: int = 0
    twice: int = 0
    _waiting: dict[int, Piece[W]] = field(default_factory=dict)
    _longest: list[tuple[float, int]] = field(default_factory=list)  # heaps of those that wait, and
    _oldest: list[int] = field(default_factory=list)  # of some that do not any more
    _running: dict[int, _Running[W]] = field(default_factory=dict)
    _copies: Counter[int] = field(default_factory=Counter)  # of each piece that is being run
    _losses: Counter[int] = field(default_factory=Counter)
    _seconds: float = 0.0  # of finished pieces, and their sizes
    _size: float = 0.0
    _paces: dict[int, float] = field(default_factory=dict)  # of each worker at its latest piece
    _to_do: float = 0.0  # sizes of the pieces that wait
    _newest: int = 0
    _left: bool = True  # whether there may be more pieces

    def run(self, pieces: Iterator[Piece[W]]) -> Iterator[tuple[Piece[W], R]]:
        """Every piece with its result, as they come; pieces are read as they are needed.

        Results are handed out when the idle workers have got new work. Raises WorkerError for a piece
        that has lost its worker too often.
        """
        self._left = True
        while True:
            self._begin()
            while self._left and len(self._waiting) < self._at_hand:
                piece = next(pieces, None)
                self._left = piece is not None
                if piece is not None:
                    self._put(piece)
            self._begin()
            if not self._left and not self._waiting and not self._copies:
                return
            done = [got for event in self.pool.wait(_SECONDS) if (got := self._ended(event))]
            self._begin()
            yield from done

    @property
    def running(self) -> int:
        return len(self._copies)

    @property
    def _at_hand(self) -> int:
        return max(1, self.ahead * self.pool.size)

    def _put(self, piece: Piece[W]) -> None:
        self._waiting[piece.number] = piece
        heapq.heappush(self._longest, (-piece.size, piece.number))
        heapq.heappush(self._oldest, piece.number)
        self._newest = max(self._newest, piece.number)
        self._to_do += piece.size

    def _next(self) -> Piece[W]:
        """Of those that wait: the longest, or the oldest if it has waited long enough."""
        while self._oldest[0] not in self._waiting:
            heapq.heappop(self._oldest)
        number = self._oldest[0]
        if number + self._at_hand >= self._newest:
            while (number := heapq.heappop(self._longest)[1]) not in self._waiting:
                pass
        piece = self._waiting.pop(number)
        self._to_do -= piece.size
        if len(self._longest) > 2 * len(self._waiting) + self._at_hand:  # what was begun by its age
            self._longest = [(-own.size, own.number) for own in self._waiting.values()]
            heapq.heapify(self._longest)
        return piece

    def _begin(self) -> None:
        while self.pool.idle:
            if (late := self._overdue()) is not None:
                self.twice += 1
                self._start(late)
            elif self._waiting:
                self._start(self._next())
            else:
                return

    def _start(self, piece: Piece[W]) -> None:
        worker = self.pool.idle.pop()
        self._running[worker] = _Running(piece, self.pool.now())
        self._copies[piece.number] += 1
        self.pool.begin(worker, piece.work)

    def _overdue(self) -> Piece[W] | None:
        """The piece that is most overdue, of those that are run once."""
        if not self._size or not self._running:
            return None
        now, pace = self.pool.now(), self._seconds / self._size
        to_do = math.inf if self._left else self._to_do * pace / max(1, self.pool.size)

        def over(worker: int, own: _Running[W]) -> float:
            usual = own.piece.size * pace
            if usual >= to_do:
                return now - own.since - self.last_slack * usual
            # A worker that is always slow would else have all its pieces run twice.
            return (
                now - own.since - self.slack * max(usual, own.piece.size * self._paces.get(worker, 0))
            )

        late = [
            (over(worker, own), -own.piece.number, own.piece)
            for worker, own in self._running.items()
            if self._copies[own.piece.number] == 1
        ]
        most = max(late, key=lambda one: one[:2], default=None)
        return most[2] if most is not None and most[0] > 0 else None

    def _ended(self, event: Done[R] | Lost) -> tuple[Piece[W], R] | None:
        """The piece and its result, if it is the first one."""
        own = self._running.pop(event.worker, None)
        if own is None:  # of an earlier run
            return None
        piece, seconds = own.piece, self.pool.now() - own.since
        if isinstance(event, Done) and piece.size:
            self._paces[event.worker] = seconds / piece.size
        if piece.number not in self._copies:  # the second one to end
            return None
        if isinstance(event, Done):
            del self._copies[piece.number]
            self._losses.pop(piece.number, None)
            self._seconds += seconds
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
