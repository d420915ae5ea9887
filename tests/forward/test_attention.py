"""Packed attention against a plain one with a mask, in float64."""

from __future__ import annotations

import pytest
import torch

from selfedit.forward import attention

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


@pytest.mark.parametrize("short", [0, 256])
@pytest.mark.parametrize("lengths", [LENGTHS, (4, 4), (7,)])
@pytest.mark.parametrize("way", [attention.one_by_one, attention.over_grid])
def test_equals_a_plain_masked_softmax(monkeypatch, way, lengths, short):
    monkeypatch.setattr(attention, "SHORT", short)
    torch.manual_seed(0)
    tokens = sum(lengths)
    shapes = [(1, 6, tokens, 8), (1, 2, tokens, 8), (1, 2, tokens, 8)]
    inputs = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    wanted = plain(*inputs, lengths, 0.3)
    weight = torch.randn_like(wanted)
    expected = torch.autograd.grad((wanted * weight).sum(), inputs)
    out = way(*inputs, lengths, 0.3)
    torch.testing.assert_close(out, wanted, rtol=0, atol=1e-9)
    for a, b in zip(torch.autograd.grad((out * weight).sum(), inputs), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-9)
