"""Tasks put together, and seeded samples of them.

Which contexts are in a sample follows from their text and the seed alone.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import replace

from selfedit.config import stable_hash
from selfedit.errors import InputError
from selfedit.grading import normalise
from selfedit.types import Query, Task


def merge_tasks(tasks: Iterable[Task]) -> list[Task]:
    """One task for each id, in the order of their first, with the questions of all. A question that an
    earlier one has with the same answers is not added."""
    first: dict[str, Task] = {}
    queries: dict[str, list[Query]] = {}
    known: dict[str, set[Query]] = {}
    for task in tasks:
        if task.id not in first:
            first[task.id] = task
            queries[task.id], known[task.id] = list(task.queries), set(task.queries)
            continue
        new = [query for query in task.queries if query not in known[task.id]]
        queries[task.id] += new
        known[task.id].update(new)
    return [replace(task, queries=tuple(queries[key])) for key, task in first.items()]


def take(tasks: Iterable[Task], n: int, seed: int) -> list[Task]:
    """A seeded sample of n tasks, which a larger one begins with.

    A task's place depends on its context and the seed, not on the order of the file. Holds n tasks in
    memory, whatever the length of a stream. Raises InputError where there are fewer.
    """
    heap: list[tuple[int, int, str]] = []  # negative ranks: the next to be dropped is on top
    kept: dict[str, Task] = {}
    for task in tasks:
        if task.id in kept:
            (kept[task.id],) = merge_tasks((kept[task.id], task))
            continue
        text, identity = _rank(task, seed)
        kept[task.id] = task
        heapq.heappush(heap, (-text, -identity, task.id))
        if len(heap) > n:
            del kept[heapq.heappop(heap)[2]]
    if len(kept) < n:
        raise InputError(f"there are {len(kept)} contexts, and {n} are asked for")
    return drawn(kept.values(), seed)


def drawn(tasks: Iterable[Task], seed: int) -> list[Task]:
    """All tasks in a seeded order, which depends on their contexts and not on the order of the file."""
    return sorted(tasks, key=lambda task: _rank(task, seed))


def _rank(task: Task, seed: int) -> tuple[int, int]:
    """By hash and not random.shuffle, whose draws may change between versions of Python."""
    return int(stable_hash([seed, _text_key(task)]), 16), int(stable_hash(task.id), 16)


def _text_key(task: Task) -> str:
    return stable_hash(normalise(task.context) or task.context.strip())
