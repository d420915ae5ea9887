"""Which worker gets which piece of work: by the simulated pool, in no time."""

from __future__ import annotations

import itertools

import pytest

from selfedit.bench.simulated import SimulatedPool
from selfedit.errors import WorkerError
from selfedit.runners.dispatch import Dispatch, Piece


def pieces(*sizes: float):
    return (Piece(n, size, (n, size), f"piece {n}") for n, size in enumerate(sizes))


def takes_its_size(worker, work) -> float:
    return work[1]


def pool_of(workers: int, seconds=takes_its_size) -> SimulatedPool:
    return SimulatedPool(workers, seconds, lambda work: work)


def finished(dispatch: Dispatch, work) -> list[int]:
    return [piece.number for piece, _ in dispatch.run(work)]


def test_every_piece_once_and_the_longest_at_hand_first():
    pool = pool_of(2)
    sizes = (1, 1, 6, 1, 1, 1)
    assert sorted(finished(Dispatch(pool, ahead=3), pieces(*sizes))) == list(range(6))
    assert pool.clock == 6, "the long one began first, beside all the short ones"


def test_pieces_are_read_as_workers_need_them():
    pool, read = pool_of(2), []
    endless = (read.append(n) or Piece(n, 1.0, (n, 1.0), "") for n in itertools.count())
    some = list(itertools.islice(Dispatch(pool, ahead=3).run(endless), 10))
    assert len(some) == 10
    assert len(read) <= 10 + 2 * 3 + 2


def test_a_short_piece_does_not_wait_for_ever():
    """What is planned together with it would stay in memory."""
    dispatch = Dispatch(pool_of(2), ahead=5)
    endless = (Piece(n, 9.0 if n else 1.0, (n, 9.0), "") for n in itertools.count())
    done = {piece.number for piece, _ in itertools.islice(dispatch.run(endless), 300)}
    assert done >= set(range(max(done) - 25))


def test_the_piece_of_a_lost_worker_goes_to_another():
    pool = pool_of(2)
    pool.lose(1, at=3.0)
    dispatch = Dispatch(pool)
    assert sorted(finished(dispatch, pieces(5, 5, 5))) == [0, 1, 2]
    assert (dispatch.lost, pool.clock) == (1, 15)


def test_a_piece_that_kills_every_worker_is_given_up():
    pool = pool_of(1)
    for n in range(3):
        pool.lose(n, at=1.0 + n)
        pool.join(n + 1, at=1.5 + n)
    with pytest.raises(WorkerError, match=r"^piece 0 lost its worker 3 times \(the last time: killed"):
        finished(Dispatch(pool), pieces(5))


def test_a_worker_that_joins_takes_work():
    pool = pool_of(1)
    pool.join(1, at=2.0)
    assert len(finished(Dispatch(pool), pieces(*[2.0] * 7))) == 7
    assert pool.clock == 8


def test_a_straggler_is_run_twice_and_the_first_result_counts():
    """Worker 0 hangs at its second piece."""
    begun = []

    def seconds(worker, work):
        begun.append((worker, work[0]))
        return 1000.0 if worker == 0 and len(begun) > 2 else work[1]

    pool = pool_of(2, seconds)
    dispatch = Dispatch(pool)
    assert sorted(finished(dispatch, pieces(*[1.0] * 8))) == list(range(8))
    assert dispatch.twice == 1
    assert pool.clock < 20
    # What it still does belongs to no later run.
    assert sorted(finished(Dispatch(pool), pieces(1.0, 1.0))) == [0, 1]
    pool.spend(2000)
    assert finished(Dispatch(pool), pieces(1.0)) == [0]


def test_a_piece_of_the_usual_pace_is_not_run_twice():
    pool = pool_of(4)
    dispatch = Dispatch(pool)
    finished(dispatch, pieces(30, 1, 1, 1, 1, 1))
    assert dispatch.twice == 0


def test_a_straggler_is_run_again_before_what_is_left():
    """A long piece that hangs would else be begun again at 160, when all others are done."""
    pool = pool_of(4, lambda worker, work: 500.0 if work[0] == 0 and pool.clock == 0 else work[1])
    dispatch = Dispatch(pool)
    assert sorted(finished(dispatch, pieces(*[60.0] * 4, *[5.0] * 60))) == list(range(64))
    assert (dispatch.twice, pool.clock) == (1, 180)


def test_a_worker_that_is_always_slow_has_its_pieces_for_itself():
    pool = pool_of(4, lambda worker, work: work[1] * (4 if worker == 0 else 1))
    dispatch = Dispatch(pool)
    assert len(finished(dispatch, pieces(*[3.0] * 60))) == 60
    assert dispatch.twice <= 2, "its first, of which nobody knows, and its last"
