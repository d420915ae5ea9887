"""Causal attention inside each of several sequences that stand end to end in one row.

Registered with transformers as an attention function, which `attending` turns on while it is open. On a
CPU each sequence is attended to by itself. On a GPU in half precision PyTorch's variable-length kernel
takes the row as it is; elsewhere the sequences are unpacked to a grid [N, heads, S, head_dim] for one
call of PyTorch's causal attention, and packed again.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from selfedit.forward.transfer import send

_PACKED, _PADDED = "selfedit_packed", "selfedit_padded"
SHORT = 256  # tokens up to which attention on a CPU is written out (docs/performance.md)
_HALF = (torch.bfloat16, torch.float16)
# What the variable-length kernel (FlashAttention 2) takes: compute capability, and widths of a head.
_FLASH_MAJOR, _FLASH_WIDTH, _FLASH_STEP = 8, 256, 8

Way = Literal["by_sequence", "varlen", "grid"]


@dataclass(frozen=True)
class Packing:
    """Where the sequences of one row stand, made once for all layers of a forward pass.

    place: on the device; bounds of the sequences, int32 [N + 1], for the variable-length kernel; for a
    grid the place of each token in [N, S], flattened, int64 [T] (None if all lengths are equal).
    """

    lengths: tuple[int, ...]
    way: Way
    place: Tensor | None = None

    @classmethod
    def of(cls, lengths: Sequence[int], model: PreTrainedModel) -> Packing:
        way = way_of(model.device, model.dtype, head_width(model.config))
        lengths = tuple(lengths)
        place = None
        if way == "varlen":
            place = torch.tensor([0, *lengths], dtype=torch.int32).cumsum(0, dtype=torch.int32)
        elif way == "grid" and min(lengths) < max(lengths):
            width = max(lengths)
            runs = [torch.arange(n * width, n * width + own) for n, own in enumerate(lengths)]
            place = torch.cat(runs)
        return cls(lengths, way, None if place is None else send(place, model.device))


_packing: ContextVar[Packing] = ContextVar("packing")


@contextmanager
def attending(model: PreTrainedModel, packing: Packing) -> Iterator[None]:
    """While open, the model takes rows of sequences that are packed like this."""
    token = _packing.set(packing)
    try:
        with attention_by(model, _PACKED):
            yield
    finally:
        _packing.reset(token)


@contextmanager
def padded_left(model: PreTrainedModel) -> Iterator[None]:
    """While open, pads of rows that are padded on the left see themselves.

    By transformers' own mask they see nothing. What a kernel gives for such a row is its own affair; if
    it is NaN, the next layer carries it into every row that multiplies it by zero.
    """
    if model.config._attn_implementation != "sdpa":
        yield
        return
    with attention_by(model, _PADDED):
        yield


@contextmanager
def attention_by(model: PreTrainedModel, name: str) -> Iterator[None]:
    before = model.config._attn_implementation
    model.config._attn_implementation = name
    try:
        yield
    finally:
        model.config._attn_implementation = before


def _mask_with_itself(**given: Any) -> Tensor | None:
    """transformers' mask [N, 1, Q, S] of booleans; each token sees itself."""
    mask = sdpa_mask(**given)
    if mask is None:
        return None
    places = [
        torch.arange(given[f"{own}_length"], device=mask.device) + given.get(f"{own}_offset", 0)
        for own in ("q", "kv")
    ]
    return mask | (places[0][:, None] == places[1][None])


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
    packing, window = _packing.get(), kwargs.get("sliding_window")
    if kwargs.get("softcap") is not None or dropout:
        raise NotImplementedError("packed attention has no soft cap or dropout")
    if window is not None and max(packing.lengths) > window:
        raise NotImplementedError("packed sequences are longer than the model's sliding window")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return _WAYS[packing.way](query, key, value, packing, scale), None


# The packed attention has no mask function: with one, transformers would look for packed sequences in
# the positions, which makes the CPU wait for the device in every forward pass.
AttentionInterface.register(_PACKED, _packed_attention)
AttentionInterface.register(_PADDED, sdpa_attention_forward)
AttentionMaskInterface.register(_PADDED, _mask_with_itself)


def head_width(config: Any) -> int:
    """Numbers in a head of attention."""
    own = config.get_text_config()
    return int(getattr(own, "head_dim", None) or own.hidden_size // own.num_attention_heads)


def way_of(device: torch.device, dtype: torch.dtype, width: int) -> Way:
    """How sequences are attended to on this device, with heads of this width."""
    if device.type == "cpu":
        return "by_sequence"
    if device.type != "cuda" or dtype not in _HALF or _varlen_kernel() is None:
        return "grid"
    fits = width <= _FLASH_WIDTH and width % _FLASH_STEP == 0
    return "varlen" if fits and torch.cuda.get_device_capability(device)[0] >= _FLASH_MAJOR else "grid"


@cache
def _varlen_kernel() -> Callable[..., Any] | None:
    """PyTorch's variable-length attention, if this build has it in the form that is called below."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    takes = inspect.signature(varlen_attn).parameters
    known = {"window_size", "enable_gqa", "scale"} <= set(takes)
    return varlen_attn if known and torch.backends.cuda.is_flash_attention_available() else None


def over_row(query: Tensor, key: Tensor, value: Tensor, packing: Packing, scale: float) -> Tensor:
    """Causal attention inside each sequence by the variable-length kernel: no grid, no mask."""
    kernel = _varlen_kernel()
    assert kernel is not None
    longest = max(packing.lengths)
    out_THd: Tensor = kernel(
        *(x.squeeze(0).transpose(0, 1) for x in (query, key, value)),
        packing.place,
        packing.place,
        longest,
        longest,
        scale=scale,
        window_size=(-1, 0),  # a token sees all before it, and none behind
        enable_gqa=query.shape[1] > key.shape[1],
    )
    return out_THd[None]


def over_grid(query: Tensor, key: Tensor, value: Tensor, packing: Packing, scale: float) -> Tensor:
    """Causal attention inside each sequence, all in one call. query [1, H, T, d] -> [1, T, H, d]."""
    count, width, position = len(packing.lengths), max(packing.lengths), packing.place
    groups = query.shape[1] // key.shape[1]
    if query.dtype not in _HALF and groups > 1:
        # The fused kernels share keys among queries in half precision only; in float32 PyTorch would
        # fall back to writing all scores out.
        key, value = (x.repeat_interleave(groups, dim=1) for x in (key, value))
        groups = 1

    def unpack(x: Tensor) -> Tensor:
        x_THd = x.squeeze(0).transpose(0, 1)  # backward a view, which x[0] is not
        if position is not None:
            grid = x.new_zeros(count * width, *x_THd.shape[1:])
            x_THd = grid.index_copy(0, position, x_THd)
        return x_THd.reshape(count, width, *x_THd.shape[1:]).transpose(1, 2)

    out_NHSd = nn.functional.scaled_dot_product_attention(
        unpack(query),
        unpack(key),
        unpack(value),
        is_causal=True,
        scale=scale,
        enable_gqa=groups > 1,
    )
    out_THd = out_NHSd.transpose(1, 2).reshape(-1, *out_NHSd.shape[1::2])
    if position is not None:
        out_THd = out_THd.index_select(0, position)
    return out_THd[None]


def one_by_one(query: Tensor, key: Tensor, value: Tensor, packing: Packing, scale: float) -> Tensor:
    """The same, sequence by sequence: on a CPU the gaps of a grid cost more than the calls."""
    split = [x.split(list(packing.lengths), dim=2) for x in (query, key, value)]
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


_WAYS = {"by_sequence": one_by_one, "varlen": over_row, "grid": over_grid}
