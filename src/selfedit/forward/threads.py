"""Runs pieces of work in threads of their own, side by side or one that leaves nothing behind.

On a CPU two threads that each multiply for themselves do more than two that share every product: small
products are not worth sharing, and the rest (attention, norms, adapters, Python) runs two at a time
(docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from threading import Event, Thread
from typing import TypeVar

import torch

T = TypeVar("T")


def side_by_side(works: Sequence[Callable[[Event], T]]) -> list[T]:
    """Results of the pieces of work, in their order; the first runs in this thread.

    Torch's threads are divided among them. The event is set when one of them fails or Ctrl-C is
    pressed: the others should return soon, and the failure is raised.
    """
    stop = Event()
    if len(works) == 1:
        return [works[0](stop)]
    threads = torch.get_num_threads()

    def run(work: Callable[[Event], T]) -> T:
        torch.set_num_threads(max(1, threads // len(works)))
        try:
            return work(stop)
        except BaseException:
            stop.set()
            raise

    try:
        with ThreadPoolExecutor(len(works) - 1, thread_name_prefix="selfedit") as pool:
            try:
                others = [pool.submit(run, work) for work in works[1:]]
                first = run(works[0])
                wait(others)
            except BaseException:
                stop.set()  # before the pool waits for its threads
                raise
    finally:
        torch.set_num_threads(threads)
    return [first, *(other.result() for other in others)]


def in_passing_thread(work: Callable[[], T]) -> T:
    """The result of the work, done in a thread that ends with it, and torch's helpers with the thread.

    OpenMP keeps helpers for every thread that ever shared a product. Once all of them together are more
    than the cores, they no longer wait awake for the next product, which halves the speed of small ones
    (docs/performance.md): a process in which one thread decodes wants no helpers of others.
    """
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(work())
        except BaseException as error:
            result.set_exception(error)

    Thread(target=copy_context().run, args=(run,), name="selfedit-passing", daemon=True).start()
    return result.result()
