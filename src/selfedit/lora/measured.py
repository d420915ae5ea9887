"""Sizes of decoder layers of any kind, for computing memory beforehand (`lora.memory`)."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import torch

from selfedit.forward.packed import Decoder

_kept: WeakKeyDictionary[Decoder, tuple[float, float]] = WeakKeyDictionary()


def size_of(config: Any, name: str, default: int) -> int:
    """A size of the configuration, the largest where layers differ; the default where it has none."""
    try:
        value = getattr(config, name, None) or default
    except RuntimeError:  # a configuration whose layers differ refuses to give one number
        return default
    return int(max(value)) if isinstance(value, list | tuple) else int(value)


def kept_by_layers(decoder: Decoder, length: int = 32) -> tuple[float, float]:
    """Numbers that autograd keeps of one layer, on average: for each token, and for each pair of tokens
    of a text. Measured on texts of `length` and half as many tokens."""
    if decoder in _kept:
        return _kept[decoder]
    weights = {p.untyped_storage().data_ptr() for p in decoder.model.parameters()}
    found: list[int] = []

    def graded(module: torch.nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor:
        return output.detach().requires_grad_().clone()  # some models scale it in place

    for count in (length // 2, length):
        sizes: dict[int, int] = {}
        held: list[torch.Tensor] = []

        def keep(
            x: torch.Tensor, sizes: dict[int, int] = sizes, held: list[torch.Tensor] = held
        ) -> torch.Tensor:
            storage = x.untyped_storage()
            if storage.data_ptr() not in weights:
                sizes[storage.data_ptr()] = storage.nbytes() // x.element_size()
                held.append(x)  # so that no other storage gets its address
            return x

        handle = decoder.model.get_input_embeddings().register_forward_hook(graded)
        try:
            with (
                torch.inference_mode(False),
                torch.enable_grad(),
                torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x),
            ):
                decoder.hidden([[1] * count])
        finally:
            handle.remove()
        found.append(sum(sizes.values()))
    half, whole = (number / len(decoder.layers) for number in found)
    a_pair = max(0.0, 2 * (whole - 2 * half) / length**2)
    _kept[decoder] = (whole - a_pair * length**2) / length, a_pair
    return _kept[decoder]
