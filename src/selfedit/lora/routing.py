"""Which adapter each token of a batch belongs to, and the way there and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from selfedit.forward.transfer import send


@dataclass(frozen=True)
class Routing:
    """Maps the real tokens of a flattened batch onto a grid [slots, width], one slot per adapter.

    slots: indices of the K' adapters that take part, ascending (None: all, in order).
    position_M: int64, place of each real token in the flattened grid; None where the batch and the
        grid are the same without gaps, so that both directions are views.
    source_M: int64, place of each real token in the batch of T; None where all tokens are real.
    owners: the adapter of each slot. filled: real tokens in each slot.
    runs: (adapter, start, end) of the stretches of the batch that are one adapter's, end to end, on a
        CPU without pads: there a product for each adapter beats one batched product over a grid with
        gaps. None elsewhere.
    ends_K: int32, where each adapter's tokens end in the batch, for grouped products (`groups.py`):
        then there is no grid. None elsewhere.
    """

    slots: Tensor | None
    num_slots: int
    width: int
    position_M: Tensor | None
    source_M: Tensor | None = None
    runs: tuple[tuple[int, int, int], ...] | None = None
    ends_K: Tensor | None = None
    owners: tuple[int, ...] = ()
    filled: tuple[int, ...] = ()

    @classmethod
    def of_lengths(
        cls,
        owners: Sequence[int],
        lengths: Sequence[int],
        num_adapters: int,
        device: torch.device,
        row_width: int | None = None,
        *,
        groups: bool = False,
    ) -> Routing:
        """Routing for consecutive runs of tokens: run i has lengths[i] tokens of adapter owners[i].

        Runs of one adapter need not be side by side. row_width: width of the rows where runs are
        padded on the right (None: packed); pads belong to no adapter. groups: whether the bank takes
        grouped products, where the adapters' tokens stand in the order of the adapters.
        """
        padded = row_width is not None and min(lengths) < row_width
        if groups and not padded and list(owners) == sorted(owners):
            every = [0] * num_adapters
            for owner, length in zip(owners, lengths, strict=True):
                every[owner] += length
            if min(every) < max(every):  # a grid without gaps takes one kernel where groups take two
                return cls._grouped(every, device)
        # Picking out adapters copies their weights: better to leave a few slots empty.
        used = sorted(set(owners))
        if 2 * len(used) >= num_adapters:
            used = list(range(num_adapters))
        slot_of = {owner: slot for slot, owner in enumerate(used)}
        filled = [0] * len(used)
        starts = []
        for owner, length in zip(owners, lengths, strict=True):
            slot = slot_of[owner]
            starts.append((slot, filled[slot]))
            filled[slot] += length
        width = max(filled)
        position = _runs([slot * width + offset for slot, offset in starts], lengths)
        in_order = position.numel() == len(used) * width and bool(
            (position == torch.arange(position.numel())).all()
        )
        source = None
        if padded and row_width is not None:
            source = send(_runs([n * row_width for n in range(len(lengths))], lengths), device)
        return cls(
            slots=None if len(used) == num_adapters else send(torch.tensor(used), device),
            num_slots=len(used),
            width=width,
            position_M=None if in_order and not padded else send(position, device),
            source_M=source,
            runs=None if padded or device.type != "cpu" else _stretches(owners, lengths),
            owners=tuple(used),
            filled=tuple(filled),
        )

    @classmethod
    def of_rows(
        cls, owners: Sequence[int | None], width: int, num_adapters: int, device: torch.device
    ) -> Routing:
        """Routing for rows of `width` tokens each, of adapters in any order; None: of the bare model,
        whose tokens get nothing.

        No adapters are picked out: rows change at every step, and copying weights costs more than a few
        empty slots.
        """
        adapted = [n for n, owner in enumerate(owners) if owner is not None]
        kinds = {owner for owner in owners if owner is not None}
        if len(kinds) == 1 and len(adapted) == len(owners):
            return cls.of_lengths([kinds.pop()], [len(owners) * width], num_adapters, device)
        filled = [0] * num_adapters
        starts = []
        for n in adapted:
            owner = owners[n]
            assert owner is not None
            starts.append((owner, filled[owner]))
            filled[owner] += width
        widest = max(filled)
        lengths = [width] * len(adapted)
        position = _runs([owner * widest + offset for owner, offset in starts], lengths)
        source = _runs([n * width for n in adapted], lengths)
        return cls(
            slots=None,
            num_slots=num_adapters,
            width=widest,
            position_M=send(position, device),
            source_M=send(source, device),
            owners=tuple(range(num_adapters)),
            filled=tuple(filled),
        )

    @classmethod
    def _grouped(cls, filled: Sequence[int], device: torch.device) -> Routing:
        ends_K = torch.tensor(filled, dtype=torch.int32).cumsum(0, dtype=torch.int32)
        return cls(
            slots=None,
            num_slots=len(filled),
            width=0,
            position_M=None,
            ends_K=send(ends_K, device),
            owners=tuple(range(len(filled))),
            filled=tuple(filled),
        )

    def gather(self, x_TD: Tensor) -> Tensor:
        """[T, D] -> [slots, width, D]; gaps are zeros, so that a neighbour's NaN cannot leak."""
        shape = (self.num_slots, self.width, x_TD.shape[-1])
        if self.position_M is None:
            return x_TD.view(shape)
        if self.source_M is not None:
            x_TD = x_TD.index_select(0, self.source_M)
        grid = x_TD.new_zeros(self.num_slots * self.width, x_TD.shape[-1])
        return grid.index_copy(0, self.position_M, x_TD).view(shape)

    def scatter(self, y_KSD: Tensor, num_tokens: int) -> Tensor:
        """[slots, width, D] -> [T, D] with T = num_tokens; zeros for pads."""
        flat = y_KSD.reshape(self.num_slots * self.width, y_KSD.shape[-1])
        if self.position_M is None:
            return flat
        real = flat.index_select(0, self.position_M)
        if self.source_M is None:
            return real
        return real.new_zeros(num_tokens, real.shape[-1]).index_copy(0, self.source_M, real)


def _stretches(owners: Sequence[int], lengths: Sequence[int]) -> tuple[tuple[int, int, int], ...]:
    """(owner, start, end), neighbours of one owner joined."""
    joined: list[tuple[int, int, int]] = []
    at = 0
    for owner, length in zip(owners, lengths, strict=True):
        again = bool(joined) and joined[-1][0] == owner
        start = joined.pop()[1] if again else at
        at += length
        joined.append((owner, start, at))
    return tuple(joined)


def _runs(starts: Sequence[int], lengths: Sequence[int]) -> Tensor:
    """start, start + 1, ... for each run, end to end."""
    return torch.cat([torch.arange(s, s + length) for s, length in zip(starts, lengths, strict=True)])
