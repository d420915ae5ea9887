"""A key-value cache that grows in place, and one of fixed shape.

transformers' `DynamicCache` copies all keys and values of every layer for each new token; with many
rows that costs as much traffic as reading the weights. Here a layer has room for tokens to come, and
what attention gets is a view (`GrowingLayer`), or, where shapes and addresses have to stay, the whole
room (`FixedLayer`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, LinearAttentionCacheLayerMixin, StaticLayer

# Tokens of room added when a layer is full.
ROOM = 64


class GrowingLayer(DynamicLayer):
    """Keys and values [N, heads, S, head_dim], views of buffers with room for more."""

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys = key_states[:, :, :0]
        self.values = value_states[:, :, :0]
        self._buffers = (self.keys, self.values)
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Append [N, heads, new, head_dim]; returns all keys and values."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys, self.values = self._append(key_states, value_states)
        return self.keys, self.values

    def _append(self, key_states: Tensor, value_states: Tensor) -> tuple[Tensor, Tensor]:
        assert self.keys is not None
        assert self.values is not None
        before, after = self.keys.shape[2], self.keys.shape[2] + key_states.shape[2]
        if after > self._buffers[0].shape[2]:
            room = after + ROOM
            self._buffers = (_roomy(self.keys, room), _roomy(self.values, room))
        for buffer, new in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:, :, before:after] = new
        keys, values = self._buffers
        return keys[:, :, :after], values[:, :, :after]

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows, or repeat them."""
        if not self.is_initialized:
            return
        self._buffers = (
            self._buffers[0].index_select(0, indices),
            self._buffers[1].index_select(0, indices),
        )
        assert self.keys is not None
        length = self.keys.shape[2]
        self.keys, self.values = (buffer[:, :, :length] for buffer in self._buffers)


class FixedLayer(StaticLayer):
    """Keys and values [N, heads, room, head_dim] of fixed shape and address, zeros where none are yet.

    It continues a `GrowingLayer`. transformers' own layer counts the tokens that it was given. This
    one writes each token where `place` (int64 [1], the same tensor for all layers) says: a step may
    then be run twice, as comparing a graph with it needs, and a layer takes two kernels, not five.
    """

    def __init__(self, layer: GrowingLayer, room: int, place: Tensor) -> None:
        super().__init__(max_cache_len=room)
        assert layer.keys is not None
        assert layer.values is not None
        self.dtype, self.device = layer.dtype, layer.device
        self.keys, self.values = _roomy(layer.keys, room), _roomy(layer.values, room)
        self.place, self.cumulative_length = place, place[0]
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write [N, heads, 1, head_dim]; returns the whole room."""
        assert self.keys is not None
        assert self.values is not None
        self.keys.index_copy_(2, self.place, key_states)
        self.values.index_copy_(2, self.place, value_states)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows; the addresses are new."""
        assert self.keys is not None
        assert self.values is not None
        self.keys = self.keys.index_select(0, indices)
        self.values = self.values.index_select(0, indices)


def _roomy(full: Tensor, room: int) -> Tensor:
    """A buffer for `room` tokens that holds what is there already."""
    rows, heads, length, width = full.shape
    buffer = full.new_zeros(rows, heads, room, width)
    buffer[:, :, :length] = full
    return buffer


def growing_cache(config: Any) -> DynamicCache:
    """A cache for the model of this config: plain layers grow in place, others stay transformers'."""
    cache = DynamicCache(config=config)
    cache.layers = [GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def select_rows(layers: Sequence[Any], rows: Tensor) -> None:
    """Keep these rows of a cache's layers, or repeat them; rows: int64 [N']."""
    for layer in layers:
        if isinstance(layer, LinearAttentionCacheLayerMixin):  # states of convolutions and recurrences
            layer.reorder_cache(rows)  # type: ignore[arg-type]
        else:
            layer.batch_select_indices(rows)
