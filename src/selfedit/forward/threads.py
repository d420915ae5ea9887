"""Runs pieces of work side by side, each in its own thread.

On a CPU two threads that each multiply for themselves do more than two that share every product: small
products are not worth sharing, and the rest (attention, norms, adapters, Python) runs two at a time
(docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Event
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
