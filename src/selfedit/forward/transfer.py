"""Bringing what the CPU knows to the device without waiting for it."""

from __future__ import annotations

import torch
from torch import Tensor


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """The CPU tensor on the device. To a GPU it goes through pinned memory, in the order of the stream:
    a copy from pageable memory would make the CPU wait until the GPU has done all work before it."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
