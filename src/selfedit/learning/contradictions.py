"""Older questions that a new document answers otherwise: there the later document wins, and that is not
counted as forgetting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from selfedit.grading import contains_gold
from selfedit.memory.answering import Answering
from selfedit.memory.routed import Routed, Source
from selfedit.types import GradedAnswer, Prompt, Query

_SAME = 1 - 1e-9


def contradicted(
    answering: Answering,
    new: Collection[str],
    queries: Sequence[Query],
    prompts: Sequence[Prompt],
    before: Sequence[GradedAnswer],
    after: Sequence[GradedAnswer],
) -> tuple[set[int], tuple[str, ...]]:
    """Places of the older questions that are answered by a new document instead, and what to tell.

    new: sources of the new documents. A question counts if it was answered right and is not any more, a
    passage of a new document now answers, it covers the question no less than the older passage, and it
    does not hold the older answer.
    """
    if not isinstance(answering, Routed):
        return set(), ()
    places: set[int] = set()
    told: Counter[tuple[str, str]] = Counter()
    for i, (query, prompt) in enumerate(zip(queries, prompts, strict=True)):
        if not before[i].correct or after[i].correct:
            continue
        if (pair := _overruled(answering.sources(prompt, everything=True), new, query)) is not None:
            places.add(i)
            told[pair] += 1
    return places, tuple(
        f"{later} contradicts {earlier}, which was learned before it: the later one wins for {count} "
        f"question{'s' * (count != 1)}."
        for (earlier, later), count in told.items()
    )


def _overruled(sources: Sequence[Source], new: Collection[str], query: Query) -> tuple[str, str] | None:
    """Titles of the older document and of the new one that answers in its place."""
    if not sources or sources[0].document.source not in new:
        return None
    first = sources[0]
    older = next((one for one in sources if one.document.source not in new), None)
    if older is None or first.covered < _SAME * older.covered:
        return None
    if contains_gold(query.answers, first.passage.context):
        return None
    return older.document.title, first.document.title
