"""Tokens that could not be drawn, since a pattern excluded them.

What a policy chooses from is what the pattern allows, so its log-probabilities are of that
distribution: p(token) / p(all allowed tokens). Where the pattern leaves one token, nothing was chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from selfedit.forward.transfer import send


@dataclass(frozen=True, eq=False)
class Excluded:
    """Of one sequence. sets: bool [V] each, True where a token is excluded, on the CPU; sequences share
    them. set_M: for each supervised token the number of its set, -1: nothing is excluded."""

    sets: tuple[Tensor, ...]
    set_M: tuple[int, ...]


@dataclass(frozen=True)
class Mask:
    """Of M places in a batch. sets_UV: bool; set_M: int64, the row of each place."""

    sets_UV: Tensor
    set_M: Tensor

    @classmethod
    def of(cls, sequences: Sequence[Excluded | None], counts: Sequence[int]) -> Mask | None:
        """The sequences' end to end. counts: supervised tokens of each. None: nothing is excluded."""
        different = {id(own): own for one in sequences if one is not None for own in one.sets}
        if not different:
            return None
        row = {known: n + 1 for n, known in enumerate(different)}
        sets = list(different.values())
        places: list[int] = []
        for one, count in zip(sequences, counts, strict=True):
            own = (-1,) * count if one is None else one.set_M
            assert len(own) == count, "a set for each supervised token"
            places += [0 if n < 0 or one is None else row[id(one.sets[n])] for n in own]
        return cls(torch.stack([torch.zeros_like(sets[0]), *sets]), torch.tensor(places))

    def part(self, start: int, end: int) -> Mask:
        return Mask(self.sets_UV, self.set_M[start:end])

    def to(self, device: torch.device) -> Mask:
        return Mask(send(self.sets_UV, device), send(self.set_M, device))

    def apply(self, logits_MV: Tensor) -> None:
        """Put -inf in place of the logits of excluded tokens."""
        logits_MV.masked_fill_(self.sets_UV[self.set_M], float("-inf"))
