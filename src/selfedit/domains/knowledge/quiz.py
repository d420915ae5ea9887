"""Quizzes: holding out half of one for the report. `selfedit.data` reads them."""

from __future__ import annotations

from collections.abc import Sequence

from selfedit.config import stable_hash
from selfedit.data.read import read_quiz
from selfedit.types import Query

__all__ = ["read_quiz", "split_quiz"]


def split_quiz(
    queries: Sequence[Query], seed: int, split_from: int = 8, sources: Sequence[str] = ()
) -> tuple[tuple[Query, ...], tuple[Query, ...]]:
    """(selection, held out): from split_from questions on, seeded halves (an odd one is held out),
    each in the order of the quiz. Fewer are too few to part: nothing is held out, and the caller
    reports on the selection and says so.

    sources: the sentence that each question is made of. Questions of one sentence stay together: what
    is chosen by one of them is good at the others. Halves are then as even as that allows; where
    all are of one sentence, nothing is held out.
    """
    if len(queries) < split_from:
        return tuple(queries), ()
    # By hash and not random.shuffle, whose draws may change between versions of Python.
    order = sorted(
        range(len(queries)),
        key=lambda i: stable_hash([seed, i, queries[i].question, list(queries[i].answers)]),
    )
    together: dict[str | int, list[int]] = {}
    for i in order:
        together.setdefault(sources[i] if sources else i, []).append(i)
    if len(together) == 1:
        return tuple(queries), ()
    chosen: set[int] = set()
    for group in together.values():
        if not chosen or len(chosen) + len(group) <= len(queries) // 2:
            chosen.update(group)
    selection = tuple(query for i, query in enumerate(queries) if i in chosen)
    held_out = tuple(query for i, query in enumerate(queries) if i not in chosen)
    return selection, held_out
