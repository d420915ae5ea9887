"""What a round's self-edits are like as texts: how long, how various, how sure the policy was of them.

The known failure of reinforcement is collapse: entropy and variety fall until every edit is the same
text, after which no edit is better than another and nothing is learned any more.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations, pairwise

from selfedit.types import Group, SelfEdit

# Edits that a round must have, in groups of two or more, before it may be called collapsed.
_FEWEST = 4


def written(groups: Iterable[Group], count: Callable[[str], int]) -> dict[str, float]:
    """Numbers of a round's edits. count: tokens of a text.

    length: tokens of an edit, in the mean. entropy: mean of -log p of the drawn tokens, in nats a
    token, at the sampling temperature (an estimate of the policy's entropy there); absent where log-
    probabilities were not kept. valid: share of edits that could be trained on. distinct: share of a
    context's edits that are different texts. diversity: 1 - Jaccard similarity of the word pairs of two
    edits of a context, in the mean (0: equal, 1: nothing in common).
    """
    lengths, valid, distinct, diversity = array("q"), array("b"), array("d"), array("d")
    surprise, tokens = array("d"), 0
    for group in groups:
        edits = [candidate.edit for candidate in group.candidates]
        lengths.extend(count(edit.text) for edit in edits)
        valid.extend(one.status not in ("invalid", "failed") for one in group.candidates)
        for own in (own for edit in edits for own in edit.drawn):
            surprise.append(-math.fsum(own.logprobs))
            tokens += len(own.logprobs)
        if len(edits) > 1:
            distinct.append((len({edit.text for edit in edits}) - 1) / (len(edits) - 1))
            diversity.append(_diversity(edits))
    if not lengths:
        return {}
    numbers = {"length": _mean(lengths), "valid": _mean(valid)}
    if tokens:
        numbers["entropy"] = math.fsum(surprise) / tokens
    if distinct:
        numbers |= {"distinct": _mean(distinct), "diversity": _mean(diversity)}
    return numbers


def collapse(groups: Iterable[Group], temperature: float) -> str:
    """That the policy writes one text for each context, or ""; greedy sampling always does."""
    if temperature == 0:
        return ""
    texts: set[str] = set()
    edits = 0
    for group in groups:
        own = [one.edit.text for one in group.candidates]
        if len(own) > 1:
            if len(set(own)) > 1:
                return ""
            edits += len(own)
            texts.add(own[0])
    if edits < _FEWEST:
        return ""
    where = "all contexts" if len(texts) == 1 else "each context"
    return (
        f"the policy has collapsed: it writes the same self-edit every time for {where}, so that none "
        "is better than another. Use the policy of an earlier round, or train again with a lower "
        "policy learning rate, a higher --kl-weight or a higher --temperature"
    )


def _diversity(edits: Sequence[SelfEdit]) -> float:
    pairs = [_word_pairs(edit.text) for edit in edits]
    return _mean([_apart(a, b) for a, b in combinations(pairs, 2)])


def _word_pairs(text: str) -> frozenset[tuple[str, ...]]:
    words = text.lower().split()
    return frozenset(pairwise(words)) or frozenset([tuple(words)])


def _apart(a: frozenset[tuple[str, ...]], b: frozenset[tuple[str, ...]]) -> float:
    return 1 - len(a & b) / len(a | b)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
