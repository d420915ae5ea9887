"""How much more likely the words of a document's blanks became."""

from __future__ import annotations

from collections.abc import Sequence

from selfedit.domains.knowledge import Knowledge, gold_reply
from selfedit.seams import Adapters, Model
from selfedit.types import Query


def logprob_gain(
    model: Model,
    domain: Knowledge,
    queries: Sequence[Query],
    before: Adapters | None,
    after: Adapters,
) -> float | None:
    """Mean rise in the log-probability of a blank's words, in nats, over the blanks among the queries;
    None if there are none. before (None: the bare model), after: banks of one adapter."""
    blanks = [query for query in queries if query.form == "cloze"]
    if not blanks:
        return None
    prompts = [domain.question(query) for query in blanks]
    replies = [gold_reply(query) for query in blanks]
    owners = [0] * len(blanks)
    old = model.answer_scores(prompts, replies, adapters=before, owners=owners)
    new = model.answer_scores(prompts, replies, adapters=after, owners=owners)
    return sum(b.logprob - a.logprob for a, b in zip(old, new, strict=True)) / len(blanks)
