"""A key-value cache in slots: rows that begin, grow and end at different times share one batch.

Each slot's tokens begin at its first column, whatever the others hold, so that a row may join or leave
without any other being moved, and rows may be fed several tokens (a prompt) or one (decoding).
Attention reads the slots where they lie, and the heads of a group share keys that are not repeated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, DynamicCache
from transformers.cache_utils import DynamicLayer

from selfedit.forward.attention import attention_by
from selfedit.forward.cache import GrowingLayer, growing_cache
from selfedit.forward.memory import is_out_of_memory
from selfedit.forward.packed import Decoder, close
from selfedit.forward.transfer import send

_SLOTS = "selfedit_slots"
SPARE = 4  # slots that are made before they are needed
_MOST_WASTE = 4  # times the room that is needed
_ROOM = 64  # room is a multiple of this
_HALF = (torch.bfloat16, torch.float16)


@dataclass
class Fed:
    """Which slots are fed in a forward pass, and where; made once for all layers.

    place_NC: int64, column of each new token in its slot. width: columns that are read.
    """

    first: int
    place_NC: Tensor
    width: int
    _bias: dict[tuple[int, int, torch.dtype], Tensor] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return int(self.place_NC.shape[0])

    def seen(self) -> Tensor:
        """bool [N, C, W]: what each new token sees, itself and all before it."""
        columns = torch.arange(self.width, device=self.place_NC.device)
        return columns <= self.place_NC[:, :, None]

    def bias(self, heads: int, groups: int, dtype: torch.dtype) -> Tensor:
        """Added to scores [N * heads, groups * C, W]: -inf at what is not seen."""
        key = (heads, groups, dtype)
        if key not in self._bias:
            seen = self.seen()
            hidden = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
            hidden.masked_fill_(~seen, -torch.inf)
            n, c, w = seen.shape
            wide = hidden[:, None, None].expand(n, heads, groups, c, w)
            self._bias[key] = wide.reshape(n * heads, groups * c, w)
        return self._bias[key]


_fed: ContextVar[Fed] = ContextVar("fed")


class SlotLayer(DynamicLayer):
    """Keys and values [slots, heads, room, head_dim]; what is not written yet is finite."""

    def __init__(self) -> None:
        super().__init__()
        self.slots = self.room = 0

    def fit(self, rows: int, columns: int) -> None:
        """Room for so many rows of so many columns. What these hold stays; where most of the room would
        be empty, because a long row has left or many have, it is given back."""
        room = -(-columns // _ROOM) * _ROOM
        wasted = self.slots * self.room > _MOST_WASTE * (rows + SPARE) * room
        if rows <= self.slots and columns <= self.room and not wasted:
            return
        self.slots, self.room = rows + SPARE, room
        if self.is_initialized:
            self.keys, self.values = self._fitted(self.keys), self._fitted(self.values)

    def _fitted(self, full: Tensor | None) -> Tensor:
        assert full is not None
        buffer = full.new_zeros(self.slots, full.shape[1], self.room, full.shape[3])
        slots, room = min(full.shape[0], self.slots), min(full.shape[2], self.room)
        buffer[:slots, :, :room] = full[:slots, :, :room]
        return buffer

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        shape = (self.slots, key_states.shape[1], self.room)
        self.keys = key_states.new_zeros(*shape, key_states.shape[3])
        self.values = value_states.new_zeros(*shape, value_states.shape[3])
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write [N, heads, C, head_dim] where `Fed` says; returns what is read of these slots."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        fed = _fed.get()
        rows = slice(fed.first, fed.first + fed.count)
        slot = torch.arange(fed.count, device=self.device)[:, None]
        for buffer, new in zip(self._both, (key_states, value_states), strict=True):
            buffer[rows][slot, :, fed.place_NC] = new.transpose(1, 2)
        keys, values = self._both
        return keys[rows, :, : fed.width], values[rows, :, : fed.width]

    @property
    def _both(self) -> tuple[Tensor, Tensor]:
        assert self.keys is not None
        assert self.values is not None
        return self.keys, self.values

    def get_seq_length(self) -> int:
        return 0

    def move(self, source: int, target: int, length: int) -> None:
        """The first `length` columns of a slot to another one."""
        for buffer in self._both:
            buffer[target, :, :length] = buffer[source, :, :length]

    def swap(self, one: int, other: int, length: int) -> None:
        for buffer in self._both:
            held = buffer[one, :, :length].clone()
            buffer[one, :, :length] = buffer[other, :, :length]
            buffer[other, :, :length] = held

    def out(self, slot: int, length: int) -> tuple[Tensor, Tensor]:
        """A copy of the first `length` columns, [heads, length, head_dim] each."""
        keys, values = self._both
        return keys[slot, :, :length].clone(), values[slot, :, :length].clone()

    def put(self, slot: int, kept: tuple[Tensor, Tensor], length: int) -> None:
        """The first `length` columns as they were copied out."""
        if not self.is_initialized:
            self.lazy_initialization(*(tensor[None] for tensor in kept))
        for buffer, own in zip(self._both, kept, strict=True):
            buffer[slot, :, :length] = own[:, :length]

    def clear(self, slot: int) -> None:
        """Zeros, where a row has left numbers that are not finite."""
        for buffer in self._both:
            buffer[slot] = 0


def _slot_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """query [N, H, C, d], key and value [N, G, W, d] -> [N, C, H, d]."""
    window = kwargs.get("sliding_window")
    if kwargs.get("softcap") is not None or kwargs.get("s_aux") is not None or dropout:
        raise NotImplementedError("slots have no soft cap, sinks or dropout")
    fed = _fed.get()
    if window is not None and fed.width > window:
        raise NotImplementedError("slots are longer than the model's sliding window")
    count, heads, new, width = query.shape
    groups = heads // key.shape[1]
    scale = width**-0.5 if scaling is None else scaling
    if query.dtype in _HALF:  # whose scores would be too coarse
        seen = fed.seen()[:, None]
        out = nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=seen, scale=scale, enable_gqa=groups > 1
        )
        return out.transpose(1, 2), None
    # The heads that share a key are one block of rows.
    q_ARd = query.reshape(count * key.shape[1], groups * new, width)
    bias = fed.bias(key.shape[1], groups, query.dtype)
    scores_ARW = torch.baddbmm(bias, q_ARd, key.flatten(0, 1).transpose(1, 2), alpha=scale)
    out_ARd = torch.bmm(scores_ARW.softmax(-1), value.flatten(0, 1))
    return out_ARd.view(count, heads, new, -1).transpose(1, 2), None


# No mask function: `Fed` says what is seen.
AttentionInterface.register(_SLOTS, _slot_attention)


@contextmanager
def feeding(decoder: Decoder, fed: Fed) -> Iterator[None]:
    """While open, the model's new tokens go to these slots."""
    token = _fed.set(fed)
    try:
        with attention_by(decoder.model, _SLOTS):
            yield
    finally:
        _fed.reset(token)


def slot_cache(decoder: Decoder) -> DynamicCache:
    """A cache of slots, empty, for a model that takes it (`takes_slots`)."""
    cache = DynamicCache(config=decoder.model.config)
    cache.layers = [SlotLayer() for _ in cache.layers]
    return cache


def fit(cache: DynamicCache, rows: int, columns: int) -> None:
    """Room in every layer for so many rows of so many columns (`SlotLayer.fit`)."""
    for layer in cache.layers:
        assert isinstance(layer, SlotLayer)
        layer.fit(rows, columns)


def feed(
    decoder: Decoder,
    cache: DynamicCache,
    first: int,
    starts: Sequence[int],
    tokens: Sequence[Sequence[int]],
) -> Tensor:
    """Final states [N, D] after the last token of each row, in the slots first, first + 1, ...

    starts: tokens that each slot holds already. Rows are padded on the right; what a pad leaves behind
    is never seen, and is written over. The cache has room for them (`fit`).
    """
    count, new = len(tokens), max(map(len, tokens))
    ids = torch.zeros(count, new, dtype=torch.int64)
    for n, own in enumerate(tokens):
        ids[n, : len(own)] = torch.tensor(own)
    place = torch.tensor(starts)[:, None] + torch.arange(new)
    width = max(start + new for start in starts)
    fed = Fed(first, send(place, decoder.device), width)
    with feeding(decoder, fed):
        hidden_NCD = decoder.stack(
            input_ids=send(ids, decoder.device),
            position_ids=fed.place_NC,
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
    if new == 1:
        return hidden_NCD[:, 0]
    last = send(torch.tensor([len(own) - 1 for own in tokens]), decoder.device)
    return hidden_NCD[torch.arange(count, device=decoder.device), last]


# What was found out about each model; its weights do not change.
_takes_slots: WeakKeyDictionary[Decoder, bool] = WeakKeyDictionary()


def takes_slots(decoder: Decoder) -> bool:
    """Whether rows in slots give what each gives by itself: probed once, while no adapter is attached.
    False for caches with sliding windows and the like."""
    if decoder not in _takes_slots:
        plain = all(type(x) is GrowingLayer for x in growing_cache(decoder.model.config).layers)
        _takes_slots[decoder] = plain and decoder.window is None and _try(decoder)
    return _takes_slots[decoder]


def _try(decoder: Decoder) -> bool:
    ids = [[0, 3, 5, 7, 9], [2, 4], [1, 6, 8]]
    try:
        with decoder.probing():
            cache = slot_cache(decoder)
            fit(cache, 3, 5)
            feed(decoder, cache, 0, [0, 0], [ids[0][:3], ids[1][:1]])
            feed(decoder, cache, 2, [0], [ids[2][:2]])
            last = feed(decoder, cache, 0, [3, 1, 2], [ids[0][3:], ids[1][1:], ids[2][2:]])
            alone = [decoder.hidden([own])[-1] for own in ids]
        return close(last, torch.stack(alone))
    except Exception as error:
        if is_out_of_memory(error):
            raise
        # An architecture may refuse in any way it likes; one text at a time is always right.
        return False
