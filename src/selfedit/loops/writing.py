"""What a round's self-edits are like as texts: how long, how various, how sure the policy was of them.

The known failure of reinforcement is collapse: entropy and variety fall until every edit is the same
text, after which no edit is better than another and nothing is learned any more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations, pairwise

from selfedit.types import Group, SelfEdit

# Valid edits that a round must have, in groups of two or more, before it may be called collapsed.
_FEWEST = 4


def written(groups: Sequence[Group], count: Callable[[str], int]) -> dict[str, float]:
    """Numbers of a round's edits. count: tokens of a text.

    length: tokens of an edit, in the mean. entropy: mean of -log p of the drawn tokens, in nats a
    token, at the sampling temperature (an estimate of the policy's entropy there); absent where log-
    probabilities were not kept. valid: share of edits that could be trained on. distinct: share of a
    context's edits that are different texts. diversity: 1 - Jaccard similarity of the word pairs of two
    edits of a context, in the mean (0: equal, 1: nothing in common).
    """
    candidates = [candidate for group in groups for candidate in group.candidates]
    if not candidates:
        return {}
    numbers = {
        "length": _mean([count(one.edit.text) for one in candidates]),
        "valid": _mean([one.status not in ("invalid", "failed") for one in candidates]),
    }
    drawn = [-value for one in candidates for own in one.edit.drawn for value in own.logprobs]
    if drawn:
        numbers["entropy"] = _mean(drawn)
    several = [[one.edit for one in group.candidates] for group in groups if len(group.candidates) > 1]
    if several:
        distinct = [(len({edit.text for edit in own}) - 1) / (len(own) - 1) for own in several]
        numbers["distinct"] = _mean(distinct)
        numbers["diversity"] = _mean([_diversity(own) for own in several])
    return numbers


def collapse(groups: Sequence[Group], temperature: float) -> str:
    """That the policy writes one text for each context, or ""; greedy sampling always does."""
    valid = [
        [one.edit.text for one in group.candidates if one.status not in ("invalid", "failed")]
        for group in groups
    ]
    several = [texts for texts in valid if len(texts) > 1]
    if temperature == 0 or sum(map(len, several)) < _FEWEST or any(len(set(t)) > 1 for t in several):
        return ""
    where = "all contexts" if len({texts[0] for texts in several}) == 1 else "each context"
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
