"""Causal attention inside each of several sequences that stand end to end in one row.

Registered with transformers as an attention function, which `attending` turns on while it is open. On a
CPU each sequence is attended to by itself; elsewhere they are unpacked to a grid [N, heads, S,
head_dim] for one call of PyTorch's causal attention, and packed again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

_PACKED = "selfedit_packed"
SHORT = 256  # tokens up to which attention on a CPU is written out (docs/performance.md)
_lengths: ContextVar[tuple[int, ...]] = ContextVar("packed_lengths")


@contextmanager
def attending(model: PreTrainedModel, lengths: Sequence[int]) -> Iterator[None]:
    """While open, the model takes rows of packed sequences of these lengths."""
    before = model.config._attn_implementation
    token = _lengths.set(tuple(lengths))
    model.config._attn_implementation = _PACKED
    try:
        yield
    finally:
        model.config._attn_implementation = before
        _lengths.reset(token)


def _packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """query [1, H, T, d] -> [1, T, H, d], as transformers calls it."""
    if kwargs.get("softcap") is not None or kwargs.get("sliding_window") is not None or dropout:
        raise NotImplementedError("packed attention has no soft cap, sliding window or dropout")
    attend = one_by_one if query.device.type == "cpu" else over_grid
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return attend(query, key, value, _lengths.get(), scale), None


AttentionInterface.register(_PACKED, _packed_attention)
AttentionMaskInterface.register(_PACKED, lambda *args, **kwargs: None)


def over_grid(
    query: Tensor, key: Tensor, value: Tensor, lengths: Sequence[int], scale: float
) -> Tensor:
    """Causal attention inside each sequence, all in one call. query [1, H, T, d] -> [1, T, H, d]."""
    position, width = _grid_positions(lengths, query.device)

    def unpack(x: Tensor) -> Tensor:
        x_THd = x[0].transpose(0, 1)
        if position is not None:
            grid = x.new_zeros(len(lengths) * width, *x_THd.shape[1:])
            x_THd = grid.index_copy(0, position, x_THd)
        return x_THd.reshape(len(lengths), width, *x_THd.shape[1:]).transpose(1, 2)

    out_NHSd = nn.functional.scaled_dot_product_attention(
        unpack(query),
        unpack(key),
        unpack(value),
        is_causal=True,
        scale=scale,
        enable_gqa=query.shape[1] > key.shape[1],
    )
    out_THd = out_NHSd.transpose(1, 2).reshape(-1, *out_NHSd.shape[1::2])
    if position is not None:
        out_THd = out_THd.index_select(0, position)
    return out_THd[None]


def _grid_positions(lengths: Sequence[int], device: torch.device) -> tuple[Tensor | None, int]:
    """Place of each packed token in [N, S], flattened (None if all lengths are equal), and S."""
    width = max(lengths)
    if min(lengths) == width:
        return None, width
    runs = [torch.arange(n * width, n * width + length) for n, length in enumerate(lengths)]
    return torch.cat(runs).to(device), width


def one_by_one(
    query: Tensor, key: Tensor, value: Tensor, lengths: Sequence[int], scale: float
) -> Tensor:
    """The same, sequence by sequence: on a CPU the gaps of a grid cost more than the calls."""
    split = [x.split(list(lengths), dim=2) for x in (query, key, value)]
    out_1HTd = torch.cat([_causal(q, k, v, scale) for q, k, v in zip(*split, strict=True)], dim=2)
    return out_1HTd.transpose(1, 2)


def _causal(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Causal attention [1, H, S, d]; short ones written out, which is faster on a CPU.

    Not in half precision, whose scores would be too coarse.
    """
    _, heads, length, width = query.shape
    kv_heads = key.shape[1]
    if length > SHORT or query.dtype in (torch.bfloat16, torch.float16):
        return nn.functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=scale, enable_gqa=heads > kv_heads
        )
    # The heads that share a key are one block of rows.
    q_GRd = query.reshape(kv_heads, -1, width)
    later = torch.full((length, length), -torch.inf, dtype=query.dtype).triu_(1)
    bias_RS = later.repeat(heads // kv_heads, 1)
    scores_GRS = torch.baddbmm(bias_RS, q_GRd, key[0].transpose(1, 2), alpha=scale)
    return torch.bmm(scores_GRS.softmax(-1), value[0]).view(1, heads, length, width)
