"""Packed attention against a plain one with a mask, in float64."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch.nn.attention.varlen import varlen_attn

from selfedit.forward import attention
from selfedit.model.tiny import tiny_model

LENGTHS = (5, 1, 9, 2)


def plain(query, key, value, lengths, scale):
    """One softmax over all tokens; a token sees those of its own sequence up to itself."""
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    owner = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    place = torch.arange(len(owner))
    seen = (owner[:, None] == owner[None]) & (place[:, None] >= place[None])
    scores = (query @ key.transpose(2, 3) * scale).masked_fill(~seen, -torch.inf)
    return (scores.softmax(-1) @ value).transpose(1, 2)


def by_bounds(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, scale, window_size, enable_gqa):
    """PyTorch's varlen_attn as its documentation has it, with its signature."""
    assert set(inspect.signature(varlen_attn).parameters) >= set(
        inspect.signature(by_bounds).parameters
    )
    assert cu_seq_q.dtype == torch.int32
    assert cu_seq_q is cu_seq_k
    assert (window_size, enable_gqa) == ((-1, 0), query.shape[1] > key.shape[1])
    lengths = cu_seq_q.diff().tolist()
    assert (cu_seq_q[0], cu_seq_q[-1], max_q, max_k) == (0, len(query), max(lengths), max(lengths))
    packed = (x.transpose(0, 1)[None] for x in (query, key, value))
    return plain(*packed, lengths, scale)[0]


@pytest.mark.parametrize("short", [0, 256])
@pytest.mark.parametrize("lengths", [LENGTHS, (4, 4), (7,)])
@pytest.mark.parametrize("way", ["by_sequence", "grid", "varlen"])
def test_equals_a_plain_masked_softmax(monkeypatch, way, lengths, short):
    monkeypatch.setattr(attention, "SHORT", short)
    monkeypatch.setattr(attention, "way_of", lambda *_: way)
    monkeypatch.setattr(attention, "_varlen_kernel", lambda: by_bounds)
    packing = attention.Packing.of(lengths, tiny_model().hf)
    torch.manual_seed(0)
    tokens = sum(lengths)
    shapes = [(1, 6, tokens, 8), (1, 2, tokens, 8), (1, 2, tokens, 8)]
    inputs = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    wanted = plain(*inputs, lengths, 0.3)
    weight = torch.randn_like(wanted)
    expected = torch.autograd.grad((wanted * weight).sum(), inputs)
    out = attention._WAYS[way](*inputs, packing, 0.3)
    torch.testing.assert_close(out, wanted, rtol=0, atol=1e-9)
    for a, b in zip(torch.autograd.grad((out * weight).sum(), inputs), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-9)


def test_grouped_queries_in_float32_share_no_keys_in_a_fused_kernel(monkeypatch):
    """It takes them in half precision only; in float32 all scores would be written out."""
    given, original = [], torch.nn.functional.scaled_dot_product_attention

    def watched(query, key, value, **kwargs):
        given.append((query.shape[1] == key.shape[1], kwargs["enable_gqa"]))
        return original(query, key, value, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    for dtype in (torch.float32, torch.bfloat16):
        shapes = [(1, 6, 9, 8), (1, 2, 9, 8), (1, 2, 9, 8)]
        inputs = [torch.randn(shape, dtype=dtype) for shape in shapes]
        attention.over_grid(*inputs, attention.Packing((9,), "grid"), 0.3)
    assert given == [(True, False), (False, True)]


@pytest.mark.parametrize(
    ("device", "dtype", "width", "major", "there", "way"),
    [
        ("cpu", torch.bfloat16, 64, 9, True, "by_sequence"),
        ("mps", torch.bfloat16, 64, 9, True, "grid"),
        ("cuda:1", torch.bfloat16, 128, 9, True, "varlen"),
        ("cuda", torch.float16, 256, 8, True, "varlen"),
        ("cuda", torch.float32, 64, 9, True, "grid"),
        ("cuda", torch.bfloat16, 64, 7, True, "grid"),
        ("cuda", torch.bfloat16, 512, 9, True, "grid"),
        ("cuda", torch.bfloat16, 68, 9, True, "grid"),
        ("cuda", torch.bfloat16, 64, 9, False, "grid"),
    ],
)
def test_the_way_follows_from_device_and_torch(monkeypatch, device, dtype, width, major, there, way):
    monkeypatch.setattr(attention, "_varlen_kernel", lambda: by_bounds if there else None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (major, 0))
    assert attention.way_of(torch.device(device), dtype, width) == way


def test_packed_rows_have_no_mask_function():
    """With one, transformers looks for packed sequences in the positions: a wait in every pass."""
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    assert "selfedit_packed" not in ALL_MASK_ATTENTION_FUNCTIONS._global_mapping
