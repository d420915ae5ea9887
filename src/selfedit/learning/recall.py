"""How much more likely the words of a document's blanks became."""

from __future__ import annotations

from collections.abc import Sequence

from selfedit.domains.knowledge import Knowledge, gold_reply
from selfedit.memory.answering import Answering
from selfedit.seams import Model
from selfedit.types import Query


def logprob_gain(
    model: Model,
    domain: Knowledge,
    queries: Sequence[Query],
    before: Answering,
    after: Answering,
) -> float | None:
    """Mean rise in the log-probability of a blank's words, in nats, over the blanks among the queries;
    None if there are none. before, after: what answers with the version before and the new one."""
    blanks = [query for query in queries if query.form == "cloze"]
    if not blanks:
        return None
    prompts = [domain.question(query) for query in blanks]
    replies = [gold_reply(query) for query in blanks]
    old = before.answer_scores(model, prompts, replies)
    new = after.answer_scores(model, prompts, replies)
    return sum(b.logprob - a.logprob for a, b in zip(old, new, strict=True)) / len(blanks)
