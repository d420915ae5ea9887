"""oneDNN's products against torch's own: float32 rounding apart, they are the same."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from selfedit.forward.linear import (
    FrozenLinear,
    MixedLinear,
    back_through,
    has_mixed,
    layout_bytes,
    logits_of,
    plain_linears,
    same_weights,
    use_onednn,
)

# Sums of 96 products of standard normals, in another order: float32 has 7 digits.
TOLERANCE = {"rtol": 1e-5, "atol": 1e-4}

needs_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN"
)
needs_mixed = pytest.mark.skipif(
    not has_mixed(), reason="this processor has no products of bfloat16 numbers"
)


def model(bias: bool = True, mixed: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(96, 64, bias=bias)).requires_grad_(False)
    use_onednn(made, mixed=mixed)
    return made


@needs_onednn
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(96,), (1, 96), (37, 96), (2, 5, 96), (0, 96)])
def test_forward_and_backward_equal_torchs(bias, shape):
    made = model(bias)
    assert type(made[0]) is FrozenLinear
    x = torch.randn(shape, requires_grad=True)
    out = made(x)
    weight = torch.randn_like(out)
    (out * weight).sum().backward()
    given = x.grad.clone()
    x.grad = None
    expected = nn.functional.linear(x, made[0].weight, made[0].bias)
    (expected * weight).sum().backward()
    torch.testing.assert_close(out, expected, **TOLERANCE)
    torch.testing.assert_close(given, x.grad, **TOLERANCE)


@needs_onednn
def test_head_products_equal_torchs():
    head = model()[0]
    hidden, gradient = torch.randn(7, 96), torch.randn(7, 64)
    torch.testing.assert_close(logits_of(head, hidden), hidden @ head.weight.T, **TOLERANCE)
    torch.testing.assert_close(back_through(head, gradient), gradient @ head.weight, **TOLERANCE)
    exact, hidden, gradient = head.double(), hidden.double(), gradient.double()
    torch.testing.assert_close(logits_of(exact, hidden), hidden @ exact.weight.T)
    torch.testing.assert_close(back_through(exact, gradient), gradient @ exact.weight)


@needs_onednn
def test_weights_that_change_are_laid_out_again():
    made, x, gradient = model(bias=False), torch.randn(3, 96), torch.randn(3, 64)
    made(x), back_through(made[0], gradient)
    with torch.no_grad():
        made[0].weight.mul_(2)
    torch.testing.assert_close(made(x), x @ made[0].weight.T, **TOLERANCE)
    torch.testing.assert_close(back_through(made[0], gradient), gradient @ made[0].weight, **TOLERANCE)


@needs_onednn
def test_the_transpose_is_laid_out_when_a_gradient_passes_and_once_for_all_threads():
    made = model()
    other = same_weights(made)
    assert set(made[0]._layouts) == {False}
    back_through(other[0], torch.randn(3, 64))
    assert set(made[0]._layouts) == {False, True}
    assert made[0]._layouts is other[0]._layouts
    assert layout_bytes(made) == 2 * 96 * 64 * 4


@needs_onednn
def test_a_copy_multiplies_by_its_own_weights():
    made, x = model(bias=False), torch.randn(3, 96)
    copied = copy.deepcopy(made)
    with torch.no_grad():
        copied[0].weight.zero_()
    assert not copied(x).any()
    assert made(x).any()


def test_a_weight_that_learns_gets_its_gradient():
    made = model()
    made.requires_grad_(True)
    made(torch.randn(3, 96)).sum().backward()
    assert made[0].weight.grad is not None


def test_other_precisions_are_left_alone():
    made = nn.Sequential(nn.Linear(4, 4, dtype=torch.float64), nn.Linear(4, 4, dtype=torch.bfloat16))
    use_onednn(made)
    assert [type(module) for module in made] == [nn.Linear, nn.Linear]


@needs_onednn
def test_plain_for_a_while():
    made = model()
    with plain_linears(made):
        assert type(made[0]) is nn.Linear
    assert type(made[0]) is FrozenLinear


# A product is rounded to bfloat16's 8 bits, one bit up or down.
HALF = {"rtol": 2**-8, "atol": 1e-4}


def rounded(values: torch.Tensor) -> torch.Tensor:
    return values.bfloat16().double()


@needs_mixed
@pytest.mark.parametrize("shape", [(96,), (37, 96), (2, 5, 96), (0, 96)])
def test_mixed_products_are_of_rounded_numbers_with_exact_sums(shape):
    made = model(mixed=True)
    assert type(made[0]) is MixedLinear
    x = torch.randn(shape, requires_grad=True)
    out = made(x)
    gradient = torch.randn_like(out)
    out.backward(gradient)
    weight = rounded(made[0].weight)
    product = out.double() - made[0].bias.double()
    torch.testing.assert_close(product, rounded(x) @ weight.T, **HALF)
    torch.testing.assert_close(x.grad.double(), rounded(gradient) @ weight, **HALF)


@needs_mixed
def test_a_mixed_head_that_changes_or_learns():
    made = model(bias=False, mixed=True)
    head, hidden, gradient = made[0], torch.randn(7, 96), torch.randn(7, 64)
    with torch.no_grad():
        head.weight.mul_(3)
    weight = rounded(head.weight)
    found = (logits_of(head, hidden).double(), back_through(head, gradient).double())
    torch.testing.assert_close(found[0], rounded(hidden) @ weight.T, **HALF)
    torch.testing.assert_close(found[1], rounded(gradient) @ weight, **HALF)
    with plain_linears(made):
        assert type(head) is nn.Linear
    assert type(head) is MixedLinear
    made.requires_grad_(True)
    torch.testing.assert_close(made(hidden), hidden @ head.weight.T, **TOLERANCE)
