"""Beginnings that were read already: a prompt that begins like an earlier one goes on from there."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from selfedit.model.slot_batch import Kept

_FEWEST = 16  # tokens that are worth keeping


class Prefixes:
    """Kept beginnings, by the adapter that read them. most: tokens of all together."""

    def __init__(self, most: int) -> None:
        self.most, self.tokens = most, 0
        self.hits = 0
        self._kept: OrderedDict[tuple[str, tuple[int, ...]], Kept] = OrderedDict()

    def find(self, adapter: str, ids: Sequence[int]) -> tuple[Kept | None, int]:
        """What holds the longest beginning of the ids, and its length; the last token is never part of
        it, as what follows it is asked."""
        best, length = None, 0
        for (own, _), kept in self._kept.items():
            if own == adapter:
                common = _common(kept.ids, ids)
                if common > length:
                    best, length = kept, common
        length = min(length, len(ids) - 1)
        if best is None or length < _FEWEST:
            return None, 0
        self._kept.move_to_end((adapter, best.ids))
        self.hits += 1
        return best, length

    def wants(self, adapter: str, ids: Sequence[int]) -> bool:
        """Whether a beginning is new and neither too short nor too long to be kept."""
        if not _FEWEST <= len(ids) <= self.most:
            return False
        return not any(
            own == adapter and _common(kept.ids, ids) == len(ids)
            for (own, _), kept in self._kept.items()
        )

    def add(self, adapter: str, kept: Kept) -> None:
        """Keep a beginning; those that it continues, and those that were not met for longest, leave."""
        shorter = [
            key
            for key, own in self._kept.items()
            if key[0] == adapter and _common(own.ids, kept.ids) == len(own.ids)
        ]
        for key in shorter:
            self.tokens -= len(self._kept.pop(key).ids)
        self._kept[adapter, kept.ids] = kept
        self.tokens += len(kept.ids)
        while self.tokens > self.most:
            _, old = self._kept.popitem(last=False)
            self.tokens -= len(old.ids)


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    count = min(len(one), len(other))
    if tuple(one[:count]) == tuple(other[:count]):
        return count
    return next(i for i in range(count) if one[i] != other[i])
