"""Which adapter each token of a batch belongs to, and the way there and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Routing:
    """Maps the T tokens of a flattened batch onto a grid [slots, width], one slot an adapter.

    slots: indices of the K' adapters that take part, ascending (None: all, in order).
    position_T: int64, where token t stands in the flattened grid; None where token order and grid
        order agree without gaps, so that both directions are views.
    """

    slots: Tensor | None
    num_slots: int
    width: int
    position_T: Tensor | None

    @classmethod
    def of_lengths(
        cls, owners: Sequence[int], lengths: Sequence[int], num_adapters: int, device: torch.device
    ) -> Routing:
        """Routing for consecutive runs of tokens: run i has lengths[i] tokens of adapter owners[i].

        Runs of one adapter need not stand side by side.
        """
        used = sorted(set(owners))
        slot_of = {owner: slot for slot, owner in enumerate(used)}
        filled = [0] * len(used)
        starts = []
        for owner, length in zip(owners, lengths, strict=True):
            slot = slot_of[owner]
            starts.append((slot, filled[slot]))
            filled[slot] += length
        width = max(filled)
        runs = [
            torch.arange(slot * width + offset, slot * width + offset + length)
            for (slot, offset), length in zip(starts, lengths, strict=True)
        ]
        position = torch.cat(runs)
        in_order = position.numel() == len(used) * width and bool(
            (position == torch.arange(position.numel())).all()
        )
        return cls(
            slots=None if len(used) == num_adapters else torch.tensor(used, device=device),
            num_slots=len(used),
            width=width,
            position_T=None if in_order else position.to(device),
        )

    def gather(self, x_TD: Tensor) -> Tensor:
        """[T, D] -> [slots, width, D]; gaps are zeros, so that a neighbour's NaN cannot leak."""
        shape = (self.num_slots, self.width, x_TD.shape[-1])
        if self.position_T is None:
            return x_TD.view(shape)
        grid = x_TD.new_zeros(self.num_slots * self.width, x_TD.shape[-1])
        return grid.index_copy(0, self.position_T, x_TD).view(shape)

    def scatter(self, y_KSD: Tensor) -> Tensor:
        """[slots, width, D] -> [T, D]."""
        flat = y_KSD.reshape(self.num_slots * self.width, y_KSD.shape[-1])
        return flat if self.position_T is None else flat.index_select(0, self.position_T)

    def select(self, weight_KXY: Tensor) -> Tensor:
        """The participating adapters' weights, [slots, X, Y]."""
        return weight_KXY if self.slots is None else weight_KXY.index_select(0, self.slots)
