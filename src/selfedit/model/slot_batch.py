"""The rows of a continuous batch: each with its tokens so far, its adapter and its slot of the cache.

Rows that are fed one token at a time (they write) stand before those whose prompt is still being read,
so that both are stretches of the cache. A row moves only to fill a gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass

from torch import Tensor

from selfedit.forward.linear import frozen_linears, plain
from selfedit.forward.packed import Decoder
from selfedit.forward.slots import SlotLayer, feed, fit, slot_cache
from selfedit.lora.bank import AdapterBank
from selfedit.lora.routing import Routing

_FEW = 2  # tokens in a pass for which torch's own products are faster (`forward.linear.plain`)


@dataclass(frozen=True)
class Kept:
    """Keys and values of a beginning, [heads, len(ids), head_dim] for each layer."""

    ids: tuple[int, ...]
    layers: tuple[tuple[Tensor, Tensor], ...]


class SlotBatch:
    """length: tokens that each row's slot holds. owner: each row's adapter of the bank; None: the bare
    model."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self._cache = slot_cache(decoder)
        self._frozen = frozen_linears(decoder.model)
        self.length: list[int] = []
        self._bank: AdapterBank | None = None
        self._attached, self._is_attached = ExitStack(), False

    def use(self, bank: AdapterBank | None) -> None:
        """The bank whose adapters the rows name from now on."""
        if bank is not self._bank:
            self._detach()
            self._bank = bank

    def _route(self, owners: Sequence[int | None], width: int) -> None:
        """The model adds the rows' adapters, for which it needs hooks only while there are any."""
        if all(owner is None for owner in owners):
            self._detach()
            return
        assert self._bank is not None, "rows name adapters of a bank"
        if not self._is_attached:
            self._attached.enter_context(self._bank.attached())
            self._is_attached = True
        device = self._bank.weights_KP.device
        self._bank.routing = Routing.of_rows(owners, width, self._bank.num_adapters, device)

    def _detach(self) -> None:
        self._attached.close()
        self._is_attached = False

    def add(self, kept: Kept | None = None, length: int = 0) -> int:
        """A new row behind the others; its slot holds the first `length` tokens of what was kept."""
        row = len(self.length)
        self.length.append(length)
        if kept is not None:
            self._fit(length)
            for layer, own in zip(self._layers, kept.layers, strict=True):
                layer.put(row, own, length)
        return row

    def _fit(self, columns: int) -> None:
        """Room for all rows, and for one of so many columns."""
        fit(self._cache, len(self.length), max(columns, *self.length))

    def swap(self, one: int, other: int) -> None:
        if one != other:
            held = max(self.length[one], self.length[other])
            for layer in self._layers:
                layer.swap(one, other, held)
            self.length[one], self.length[other] = self.length[other], self.length[one]

    def move(self, source: int, target: int) -> None:
        """A row to the place of one that has ended."""
        if source != target:
            for layer in self._layers:
                layer.move(source, target, self.length[source])
            self.length[target] = self.length[source]

    def drop_last(self) -> None:
        self.length.pop()
        if not self.length:
            self._detach()
            self._cache = slot_cache(self.decoder)  # frees what a long row has taken

    def clear(self, row: int) -> None:
        """Forget numbers that are not finite, which a zero does not silence."""
        for layer in self._layers:
            layer.clear(row)

    def keep(self, row: int, ids: Sequence[int]) -> Kept:
        """A copy of what the row's slot holds of its first len(ids) tokens."""
        layers = tuple(layer.out(row, len(ids)) for layer in self._layers)
        return Kept(tuple(ids), layers)

    def feed(self, first: int, tokens: Sequence[Sequence[int]], owners: Sequence[int | None]) -> Tensor:
        """Logits [N, V] after each row's last new token, of the rows first, first + 1, ..."""
        count, new = len(tokens), max(map(len, tokens))
        starts = self.length[first : first + count]
        self._route(owners, new)
        self._fit(max(starts) + new)
        with plain(self._frozen) if count * new <= _FEW else nullcontext():
            hidden_ND = feed(self.decoder, self._cache, first, starts, tokens)
            logits_NV = self.decoder.head.logits(hidden_ND)
        for n, own in enumerate(tokens):
            self.length[first + n] += len(own)
        return logits_NV

    @property
    def _layers(self) -> list[SlotLayer]:
        return self._cache.layers  # type: ignore[return-value]
