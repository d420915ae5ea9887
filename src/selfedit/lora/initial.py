"""Initial weights of many adapters, drawn side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from threading import Event

import torch
from torch import Tensor

from selfedit.forward.threads import side_by_side


def draw_adapters(
    weights_KP: Tensor, seeds: Sequence[int], parts: Sequence[tuple[int, int, int]]
) -> None:
    """Kaiming-uniform A (bound 1/sqrt(in)), as in PEFT, for each row of zeros; B stays zero.

    parts: of each A in a row, in the order in which they are drawn: offset, in, rank. Each row is drawn
    in float64 on the CPU from its own seed, so that it is the same everywhere, and brought to a device
    as one piece.
    """
    count = max(1, min(len(seeds), torch.get_num_threads()))
    shares = [range(n, len(seeds), count) for n in range(count)]
    side_by_side([partial(_draw_rows, weights_KP, seeds, share, parts) for share in shares])


def _draw_rows(
    weights_KP: Tensor,
    seeds: Sequence[int],
    share: Sequence[int],
    parts: Sequence[tuple[int, int, int]],
    stop: Event,
) -> None:
    device = weights_KP.device.type
    draws = torch.empty(max(fan_in * rank for _, fan_in, rank in parts), dtype=torch.float64)
    away_P = torch.zeros(
        weights_KP.shape[1] if device != "cpu" else 0,
        dtype=weights_KP.dtype,
        pin_memory=device == "cuda",
    )
    for k in share:
        generator = torch.Generator().manual_seed(seeds[k])
        row_P = weights_KP[k] if device == "cpu" else away_P
        for offset, fan_in, rank in parts:
            size = fan_in * rank
            own = torch.rand(size, generator=generator, dtype=torch.float64, out=draws[:size])
            row_P[offset : offset + size] = own.mul_(2).sub_(1).mul_(1 / math.sqrt(fan_in))
        if device != "cpu":
            weights_KP[k] = row_P
        if stop.is_set():
            return
