"""x A B * scaling by grouped products: the tokens of each adapter end to end, without a grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from selfedit.config import LoraSettings
from selfedit.lora.targets import Target

# Compute capabilities with a kernel for it; elsewhere PyTorch multiplies group by group, and waits for
# the device to learn where each ends.
_MAJORS = (9, 10)
# Rows of every operand begin at a multiple of 16 bytes.
_STEP = 8


def takes_groups(
    device: torch.device, dtype: torch.dtype, settings: LoraSettings, targets: Sequence[Target] = ()
) -> bool:
    """Whether PyTorch has a kernel here for these modules: bfloat16, on Hopper and Blackwell."""
    return (
        device.type == "cuda"
        and dtype == torch.bfloat16
        and hasattr(torch.nn.functional, "grouped_mm")
        and settings.rank % _STEP == 0
        and all(t.fan_in % _STEP == t.fan_out % _STEP == 0 for t in targets)
        and settings.dropout == 0
        and torch.cuda.get_device_capability(device)[0] in _MAJORS
    )


def grouped_mm(a: Tensor, b: Tensor, ends_K: Tensor) -> Tensor:
    """Products of K groups. a [T, I], b [K, I, O] -> [T, O], where a's rows are in groups; or
    a [I, T], b [T, O] -> [K, I, O], where T is. ends_K: where each group ends, int32; a group may be
    empty."""
    return torch.nn.functional.grouped_mm(a, b, offs=ends_K)


class LowRankGroups(torch.autograd.Function):
    """x A B * scaling, with gradients of A and B written where the optimizer reads them.

    down_KIR, up_KRO: A and B in the activations' precision; the leaves that they were made of tell
    autograd that the output has a gradient, where x has none.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x_TI: Tensor,
        down_leaf: Tensor,
        up_leaf: Tensor,
        down_KIR: Tensor,
        up_KRO: Tensor,
        scaling: float,
        ends_K: Tensor,
        places: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        h_TR = grouped_mm(x_TI, down_KIR, ends_K).mul_(scaling)
        if places is not None:
            ctx.save_for_backward(x_TI, h_TR, down_KIR, up_KRO, ends_K)
            ctx.scaling, ctx.places = scaling, places
        return grouped_mm(h_TR, up_KRO, ends_K)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        dy_TO = gradients[0].contiguous()
        x_TI, h_TR, down_KIR, up_KRO, ends_K = ctx.saved_tensors
        place_down, place_up = ctx.places
        dh_TR = grouped_mm(dy_TO, up_KRO.transpose(1, 2), ends_K).mul_(ctx.scaling)
        place_up.copy_(grouped_mm(h_TR.T, dy_TO, ends_K))
        place_down.copy_(grouped_mm(x_TI.T, dh_TR, ends_K))
        dx_TI = None
        if ctx.needs_input_grad[0]:
            dx_TI = grouped_mm(dh_TR, down_KIR.transpose(1, 2), ends_K)
        return dx_TI, None, None, None, None, None, None, None
