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

# At one place: bool [V] on the CPU, True where a token is excluded; None: none is. Equal ones are one.
Excluded = Tensor | None


@dataclass(frozen=True)
class Mask:
    """At M places of a batch. sets_UV: bool; set_M: int64, the row of each place."""

    sets_UV: Tensor
    set_M: Tensor

    @classmethod
    def of(cls, places: Sequence[Excluded]) -> Mask | None:
        """None: nothing is excluded anywhere."""
        sets = list({id(own): own for own in places if own is not None}.values())
        if not sets:
            return None
        row = {id(own): n + 1 for n, own in enumerate(sets)} | {id(None): 0}
        set_M = torch.tensor([row[id(own)] for own in places])
        return cls(torch.stack([torch.zeros_like(sets[0]), *sets]), set_M)

    def part(self, start: int, end: int) -> Mask:
        return Mask(self.sets_UV, self.set_M[start:end])

    def to(self, device: torch.device) -> Mask:
        return Mask(send(self.sets_UV, device), send(self.set_M, device))

    def apply(self, logits_MV: Tensor) -> None:
        """Put -inf in place of the logits of excluded tokens."""
        logits_MV.masked_fill_(self.sets_UV[self.set_M], float("-inf"))
