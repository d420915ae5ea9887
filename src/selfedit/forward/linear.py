"""Frozen linear modules that use oneDNN for their products on a CPU.

torch's float32 products on a CPU are MKL's, which uses half of the vector unit on other makers'
processors: on an AMD EPYC (Zen 5) 110 GFLOP/s a core, where oneDNN has 250 (docs/performance.md). For a
few rows, as in decoding, oneDNN is faster because it reads weights that it laid out once.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psutil
import torch
from torch import Tensor, nn

# oneDNN's layout keeps the weights in memory twice; it is used up to this share of the memory.
_LAYOUT_SHARE = 0.1


def multiply(x: Tensor, weight: Tensor) -> Tensor:
    """x @ weight.T by oneDNN. x: [..., in], float32; weight: [out, in], or its oneDNN layout."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")


class _Product(torch.autograd.Function):
    """x @ weight.T of a frozen weight."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, layout: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        return multiply(x, layout)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        return multiply(gradients[0], weight.T), None, None


class FrozenLinear(nn.Linear):
    """An nn.Linear that uses oneDNN for a frozen float32 weight, and otherwise behaves as usual."""

    _layout: tuple[int, Tensor] | None = None

    def forward(self, input: Tensor) -> Tensor:
        if self.weight.requires_grad or input.dtype != torch.float32 or input.numel() == 0:
            return super().forward(input)
        # As a matrix: of more dimensions oneDNN returns a view, which no model could change in place.
        rows = _Product.apply(input.reshape(-1, self.in_features), self.weight, self._laid_out())
        output = rows.view(*input.shape[:-1], self.out_features)
        return output if self.bias is None else output + self.bias

    def _laid_out(self) -> Tensor:
        """The weight in oneDNN's own layout, if `use_onednn` found room for it."""
        if self._layout is None:
            return self.weight
        version, layout = self._layout
        if version != self.weight._version:  # it was written to
            layout = self._lay_out()
        return layout

    def _lay_out(self) -> Tensor:
        with torch.inference_mode(False), torch.no_grad():
            layout = torch.ops.mkldnn._reorder_linear_weight(self.weight.detach())
        self._layout = (self.weight._version, layout)
        return layout

    def __getstate__(self) -> dict[str, Any]:
        """A copy starts without the layout: its weight may be another tensor."""
        return {name: value for name, value in self.__dict__.items() if name != "_layout"}


def use_onednn(model: nn.Module) -> None:
    """Turn a CPU model's plain float32 linear modules into `FrozenLinear`, if torch has oneDNN."""
    kinds = (nn.Linear, FrozenLinear)  # a copy's are of the second kind already, without a layout
    linears = [m for m in model.modules() if isinstance(m, nn.Linear) and type(m) in kinds]
    linears = [module for module in linears if _can(module.weight)]
    size = sum(module.weight.numel() * module.weight.element_size() for module in linears)
    roomy = size <= _LAYOUT_SHARE * psutil.virtual_memory().total
    for module in linears:
        module.__class__ = FrozenLinear
        if roomy:
            assert isinstance(module, FrozenLinear)
            if module._layout is None:
                module._lay_out()


def layout_bytes(model: nn.Module) -> int:
    """Bytes of the weights in oneDNN's layout, in addition to the model's own."""
    laid_out = [m for m in model.modules() if isinstance(m, FrozenLinear) and m._layout is not None]
    return sum(module.weight.numel() * module.weight.element_size() for module in laid_out)


def same_weights(model: nn.Module) -> nn.Module:
    """A copy of the model's modules over the same weights, so that another thread has its own hooks."""
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    copied = copy.deepcopy(model, shared)
    for own, other in zip(model.modules(), copied.modules(), strict=True):
        if isinstance(own, FrozenLinear) and isinstance(other, FrozenLinear):
            other._layout = own._layout
    return copied


@contextmanager
def plain_linears(model: nn.Module) -> Iterator[None]:
    """While open, the model is as transformers made it: other methods are timed on that."""
    with plain(frozen_linears(model)):
        yield


def frozen_linears(model: nn.Module) -> list[nn.Module]:
    """The model's linear modules that use oneDNN."""
    return [module for module in model.modules() if type(module) is FrozenLinear]


@contextmanager
def plain(frozen: Sequence[nn.Module]) -> Iterator[None]:
    """While open, these modules use torch's own products: MKL's, which are faster for one or two rows
    (all products of the embedded model: 40 ms against 55; for four rows 71 against 56)."""
    for module in frozen:
        module.__class__ = nn.Linear
    try:
        yield
    finally:
        for module in frozen:
            module.__class__ = FrozenLinear


def logits_of(head: nn.Linear, hidden_MD: Tensor) -> Tensor:
    """Logits [M, V] without the bias and without an autograd graph, by the head's own product."""
    if isinstance(head, FrozenLinear) and hidden_MD.dtype == torch.float32:
        return multiply(hidden_MD, head._laid_out())
    return hidden_MD @ head.weight.T


def back_through(head: nn.Linear, gradient_MV: Tensor) -> Tensor:
    """Gradient [M, D] with respect to the hidden states, from the one with respect to the logits."""
    if isinstance(head, FrozenLinear) and gradient_MV.dtype == torch.float32:
        return multiply(gradient_MV, head.weight.T)
    return gradient_MV @ head.weight


def _can(weight: Tensor) -> bool:
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )
