"""x A B * scaling for the tokens of several adapters, with gradients written where the optimizer
reads."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class LowRank(torch.autograd.Function):
    """x A B * scaling, with gradients of A and B written where the optimizer reads them.

    Each factor is used once per step, so nothing has to be cleared and accumulated: on a CPU that
    traffic (four passes over the gradients) costs as much as a tenth of the step. down_LIR, up_LRO: A
    and B in the activations' precision; the leaves that they were made of tell autograd that the output
    has a gradient, where x has none.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x_KSI: Tensor,
        down_leaf: Tensor,
        up_leaf: Tensor,
        down_LIR: Tensor,
        up_LRO: Tensor,
        scaling: float,
        slots: Tensor | None,
        places: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        down_KIR, up_KRO = _rows(down_LIR, slots), _rows(up_LRO, slots)
        h_KSR = torch.bmm(x_KSI, down_KIR).mul_(scaling)
        if places is not None:
            ctx.save_for_backward(x_KSI, down_KIR, up_KRO, h_KSR)
            ctx.scaling, ctx.slots, ctx.places = scaling, slots, places
        return torch.bmm(h_KSR, up_KRO)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (dy_KSO,) = gradients
        x_KSI, down_KIR, up_KRO, h_KSR = ctx.saved_tensors
        place_down, place_up = ctx.places
        dh_KSR = torch.bmm(dy_KSO, up_KRO.transpose(1, 2)).mul_(ctx.scaling)
        _put(place_up, ctx.slots, h_KSR.transpose(1, 2), dy_KSO)
        _put(place_down, ctx.slots, x_KSI.transpose(1, 2), dh_KSR)
        dx = torch.bmm(dh_KSR, down_KIR.transpose(1, 2)) if ctx.needs_input_grad[0] else None
        return dx, None, None, None, None, None, None, None


class LowRankRuns(torch.autograd.Function):
    """The same, adapter by adapter over stretches of the batch: no gathering, no gaps.

    Gradients of an adapter's several stretches are added.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x_TI: Tensor,
        down_LIR: Tensor,
        up_LRO: Tensor,
        scaling: float,
        runs: tuple[tuple[int, int, int], ...],
        places: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        factors = {k: (down_LIR[k].to(x_TI.dtype), up_LRO[k].to(x_TI.dtype)) for k, _, _ in runs}
        h_TR = x_TI.new_empty(x_TI.shape[0], down_LIR.shape[2])
        y_TO = x_TI.new_empty(x_TI.shape[0], up_LRO.shape[2])
        for k, start, end in runs:
            torch.mm(x_TI[start:end], factors[k][0], out=h_TR[start:end])
        h_TR *= scaling
        for k, start, end in runs:
            torch.mm(h_TR[start:end], factors[k][1], out=y_TO[start:end])
        if places is not None:
            ctx.save_for_backward(x_TI, h_TR)
            ctx.scaling, ctx.runs, ctx.places, ctx.factors = scaling, runs, places, factors
        return y_TO

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (dy_TO,) = gradients
        x_TI, h_TR = ctx.saved_tensors
        place_down, place_up = ctx.places
        dh_TR = torch.empty_like(h_TR)
        for k, start, end in ctx.runs:
            torch.mm(dy_TO[start:end], ctx.factors[k][1].T, out=dh_TR[start:end])
        dh_TR *= ctx.scaling
        written: set[int] = set()
        for k, start, end in ctx.runs:
            _product(place_up[k], h_TR[start:end].T, dy_TO[start:end], add=k in written)
            _product(place_down[k], x_TI[start:end].T, dh_TR[start:end], add=k in written)
            written.add(k)
        if not ctx.needs_input_grad[0]:
            return None, None, None, None, None, None
        dx_TI = torch.empty_like(x_TI)
        for k, start, end in ctx.runs:
            torch.mm(dh_TR[start:end], ctx.factors[k][0].T, out=dx_TI[start:end])
        return dx_TI, None, None, None, None, None


def _product(place: Tensor, a: Tensor, b: Tensor, *, add: bool) -> None:
    """place = a @ b, or place += a @ b."""
    if place.dtype == a.dtype:
        torch.addmm(place, a, b, beta=int(add), out=place)
    elif add:
        place.add_(a @ b)
    else:
        place.copy_(a @ b)


def _rows(factor: Tensor, slots: Tensor | None) -> Tensor:
    """The participating adapters' factors."""
    return factor if slots is None else factor.index_select(0, slots)


def _put(place: Tensor, slots: Tensor | None, a: Tensor, b: Tensor) -> None:
    """place[slots] = a @ b."""
    if slots is None and place.dtype == a.dtype:
        torch.bmm(a, b, out=place)
    elif slots is None:
        place.copy_(_wide_bmm(a, b, place.dtype))
    else:
        place.index_copy_(0, slots, _wide_bmm(a, b, place.dtype))


def _wide_bmm(a: Tensor, b: Tensor, dtype: torch.dtype) -> Tensor:
    """a @ b in this dtype. CUDA adds half-precision products up in float32, and can give that as it is;
    elsewhere it is rounded before."""
    if a.dtype != dtype and a.device.type == "cuda":
        return torch.bmm(a, b, out_dtype=dtype)
    return torch.bmm(a, b).to(dtype)
