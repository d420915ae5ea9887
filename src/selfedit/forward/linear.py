"""Frozen linear modules that use oneDNN for their products on a CPU.

torch's float32 products on a CPU are MKL's, which uses half of the vector unit on other makers'
processors: on an AMD EPYC (Zen 5) 110 GFLOP/s a core, where oneDNN has 250 (docs/performance.md). For a
few rows, as in decoding, oneDNN is faster because it reads weights that it laid out once.

In mixed precision the same products are of bfloat16 numbers, summed in float32 and rounded to bfloat16,
which processors with instructions for them (AMX, AVX-512 BF16) do three to five times as fast
(docs/performance.md).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psutil
import torch
from torch import Tensor, nn

# oneDNN's layouts are used where the weights take up to this share of the memory. They then stand three
# times in it: as they are, laid out for the forward pass and, once a gradient has passed, for that.
_LAYOUT_SHARE = 0.1


def multiply(x: Tensor, weight: Tensor) -> Tensor:
    """x @ weight.T by oneDNN. x: [..., in], float32; weight: [out, in], or its oneDNN layout."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")


class _Product(torch.autograd.Function):
    """x @ weight.T of a frozen weight, by its module's products."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, module: FrozenLinear) -> Tensor:
        ctx.save_for_backward(weight)  # one that was written to since is an error
        ctx.module = module
        return module.product(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        _ = ctx.saved_tensors
        return ctx.module.back_product(gradients[0]), None, None


class FrozenLinear(nn.Linear):
    """An nn.Linear that uses oneDNN for a frozen float32 weight, and otherwise behaves as usual."""

    # None: without. Else of the weight and, once it is used, of its transpose: which version of the
    # weight was laid out, and the layout.
    _layouts: dict[bool, tuple[int, Tensor]] | None = None

    def forward(self, input: Tensor) -> Tensor:
        if self.weight.requires_grad or input.dtype != torch.float32 or input.numel() == 0:
            return super().forward(input)
        # As a matrix: of more dimensions oneDNN returns a view, which no model could change in place.
        rows = _Product.apply(input.reshape(-1, self.in_features), self.weight, self)
        output = rows.view(*input.shape[:-1], self.out_features)
        return output if self.bias is None else output + self.bias

    def product(self, x: Tensor) -> Tensor:
        """x @ weight.T; x: [N, in], float32."""
        return multiply(x, self._laid_out())

    def back_product(self, gradient: Tensor) -> Tensor:
        """gradient @ weight; gradient: [N, out], float32."""
        return multiply(gradient, self._laid_out(transposed=True))

    def lay_out(self) -> None:
        """Use oneDNN's own layouts from now on; they take room (`use_onednn`)."""
        self._layouts = {}
        self._laid_out()

    def _laid_out(self, *, transposed: bool = False) -> Tensor:
        """The weight, or its transpose, as the products take it."""
        weight = self.weight.T if transposed else self.weight
        if self._layouts is None:
            return self._multiplied(weight)
        version, layout = self._layouts.get(transposed, (-1, weight))
        if version != weight._version:  # it was written to, or never laid out
            with torch.inference_mode(False), torch.no_grad():
                plain = self._multiplied(weight.detach()).contiguous()
                layout = torch.ops.mkldnn._reorder_linear_weight(plain)
            self._layouts[transposed] = weight._version, layout
        return layout

    def _multiplied(self, weight: Tensor) -> Tensor:
        """The weight in the precision of the products."""
        return weight

    def __getstate__(self) -> dict[str, Any]:
        """A copy starts without layouts: its weight may be another tensor."""
        return {name: value for name, value in self.__dict__.items() if name != "_layouts"}


class MixedLinear(FrozenLinear):
    """A FrozenLinear whose products are of bfloat16 numbers: what goes in and what comes out is rounded
    to them; only the sums inside are float32."""

    def product(self, x: Tensor) -> Tensor:
        return super().product(x.bfloat16()).float()

    def back_product(self, gradient: Tensor) -> Tensor:
        return super().back_product(gradient.bfloat16()).float()

    def _multiplied(self, weight: Tensor) -> Tensor:
        return weight.bfloat16()


def has_mixed() -> bool:
    """Whether this processor has instructions for products of bfloat16 numbers, and torch oneDNN."""
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # not in old ones
    return torch.backends.mkldnn.is_available() and any(
        known.get(name, False) for name in ("amx_bf16", "avx512_bf16")
    )


def use_onednn(model: nn.Module, *, mixed: bool = False) -> None:
    """Turn a CPU model's plain float32 linear modules into `FrozenLinear`, if torch has oneDNN; in
    mixed precision into `MixedLinear`."""
    kinds = (nn.Linear, FrozenLinear, MixedLinear)  # a copy's have no layout
    linears = [m for m in model.modules() if isinstance(m, nn.Linear) and type(m) in kinds]
    linears = [module for module in linears if _can(module.weight)]
    size = sum(module.weight.numel() * module.weight.element_size() for module in linears)
    roomy = mixed or size <= _LAYOUT_SHARE * psutil.virtual_memory().total
    for module in linears:
        module.__class__ = MixedLinear if mixed else FrozenLinear
        if roomy:
            assert isinstance(module, FrozenLinear)
            if module._layouts is None:
                module.lay_out()


def layout_bytes(model: nn.Module) -> int:
    """Bytes of the weights and their transposes in oneDNN's layout, in addition to the model's own."""
    laid_out = [m for m in model.modules() if isinstance(m, FrozenLinear) and m._layouts is not None]
    return sum(
        2 * module.weight.numel() * (2 if isinstance(module, MixedLinear) else 4) for module in laid_out
    )


def same_weights(model: nn.Module) -> nn.Module:
    """A copy of the model's modules over the same weights, so that another thread has its own hooks."""
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    copied = copy.deepcopy(model, shared)
    for own, other in zip(model.modules(), copied.modules(), strict=True):
        if isinstance(own, FrozenLinear) and isinstance(other, FrozenLinear):
            other._layouts = own._layouts
    return copied


@contextmanager
def plain_linears(model: nn.Module) -> Iterator[None]:
    """While open, the model is as transformers made it: other methods are timed on that."""
    with plain([module for module in model.modules() if isinstance(module, FrozenLinear)]):
        yield


def frozen_linears(model: nn.Module) -> list[nn.Module]:
    """The model's linear modules that use oneDNN for float32 products."""
    return [module for module in model.modules() if type(module) is FrozenLinear]


@contextmanager
def plain(frozen: Sequence[nn.Module]) -> Iterator[None]:
    """While open, these modules use torch's own products: MKL's, which are faster for one or two rows
    (all products of the embedded model: 40 ms against 55; for four rows 71 against 56)."""
    kinds = [type(module) for module in frozen]
    for module in frozen:
        module.__class__ = nn.Linear
    try:
        yield
    finally:
        for module, kind in zip(frozen, kinds, strict=True):
            module.__class__ = kind


def logits_of(head: nn.Linear, hidden_MD: Tensor) -> Tensor:
    """Logits [M, V] without the bias and without an autograd graph, by the head's own product."""
    if isinstance(head, FrozenLinear) and hidden_MD.dtype == torch.float32:
        return head.product(hidden_MD)
    return hidden_MD @ head.weight.T


def back_through(head: nn.Linear, gradient_MV: Tensor) -> Tensor:
    """Gradient [M, D] with respect to the hidden states, from the one with respect to the logits."""
    if isinstance(head, FrozenLinear) and gradient_MV.dtype == torch.float32:
        return head.back_product(gradient_MV)
    return gradient_MV @ head.weight


def _can(weight: Tensor) -> bool:
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )
