"""Bringing what the CPU knows to the device, and results back, without waiting for it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """The CPU tensor on the device. To a GPU it goes through pinned memory, in the order of the stream:
    a copy from pageable memory would make the CPU wait until the GPU has done all work before it."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def fetch(tensor: Tensor) -> Callable[[], Tensor]:
    """Begin to bring a tensor to the CPU. The result is called for it, and waits for what the GPU was
    given before this call, not for what it was given since. Other devices bring it at once."""
    if tensor.device.type != "cuda":
        there = tensor.cpu()
        return lambda: there
    pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    pinned.copy_(tensor, non_blocking=True)
    arrived = torch.cuda.Event()
    arrived.record(torch.cuda.current_stream(tensor.device))

    def wait() -> Tensor:
        arrived.synchronize()
        return pinned

    return wait
