"""The least time that a self-edit can take on a device: operations, bytes, and measured ceilings.

docs/performance.md derives the counts. A floor leaves out attention, norms and everything else that
is not a matrix product with weights, so that nothing can be below it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from selfedit.config import LoraSettings
from selfedit.lora.targets import find_targets, first_layer, layer_index
from selfedit.model.language_model import LanguageModel

# Passes over an adapter's numbers in a step: weights read forward and backward, gradient written, read
# by the norm and by AdamW; weight and both moments read and written by AdamW.
_ADAPTER_PASSES = 11


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What the device reaches at best: operations per second in a large product, bytes per second in a
    large copy (reads and writes counted)."""

    matmul: float
    copy: float


@dataclass(frozen=True, slots=True)
class Counts:
    """Weights in matrix products: below the first adapted layer, from there on, the head; of one
    adapter; bytes of one of the model's numbers."""

    lower: int
    upper: int
    head: int
    adapter: int
    item: int

    @classmethod
    def of(cls, model: LanguageModel, lora: LoraSettings) -> Counts:
        targets = find_targets(model.hf, lora, model.num_layers)
        first = first_layer(targets)
        sizes = [0, 0]
        for name, module in model.hf.named_modules():
            index = layer_index(name)
            if isinstance(module, nn.Linear) and index is not None:
                sizes[index >= first] += module.weight.numel()
        return cls(
            lower=sizes[0],
            upper=sizes[1],
            head=model.hf.get_output_embeddings().weight.numel(),
            adapter=sum(target.size(lora.rank) for target in targets),
            item=model.hf.dtype.itemsize,
        )

    def operations(self, tokens: int, epochs: int, trunk: bool) -> float:
        """Operations of training one self-edit on `tokens` tokens in each epoch: per weight and token 2
        forward, 2 backward (activations only: the base is frozen), 6 in the adapter."""
        lower = 2 * self.lower * tokens * (1 if trunk else epochs)
        return lower + (4 * (self.upper + self.head) + 6 * self.adapter) * tokens * epochs

    def bytes_a_step(self, trunk: bool) -> float:
        """Bytes of the model's weights, which all adapters of a step share; those above f are read
        twice."""
        return self.item * ((0 if trunk else self.lower) + 2 * (self.upper + self.head))

    def seconds(
        self, ceiling: Ceiling, *, tokens: int, steps: int, epochs: int, together: int, trunk: bool
    ) -> float:
        """The floor of one self-edit when `together` of them share each step."""
        products = self.operations(tokens, epochs, trunk) / ceiling.matmul
        weights = steps * self.bytes_a_step(trunk) / together / ceiling.copy
        adapter = steps * _ADAPTER_PASSES * 4 * self.adapter / ceiling.copy
        return max(products, weights) + adapter


def measure_ceiling(device: torch.device, dtype: torch.dtype, repeats: int = 5) -> Ceiling:
    """The best of several large products [n, n] @ [n, n] and copies on this device.

    In float32 on a CPU the better of torch's two libraries counts: on AMD's, oneDNN takes half of MKL's
    time for the same product.
    """
    size, numbers = (8192, 2**30) if device.type == "cuda" else (1536, 2**26)
    a = torch.randn(size, size, device=device, dtype=torch.float32).to(dtype)
    b, product = a.clone(), torch.empty_like(a)
    spent = _best(lambda: torch.mm(a, b, out=product), device, repeats)
    if device.type == "cpu" and dtype == torch.float32 and torch.backends.mkldnn.is_available():
        linear = torch.ops.mkldnn._linear_pointwise
        spent = min(spent, _best(lambda: linear(a, b, None, "none", [], ""), device, repeats))
    source = torch.zeros(numbers, device=device, dtype=torch.uint8)
    target = torch.empty_like(source)
    copied = _best(lambda: target.copy_(source), device, repeats)
    return Ceiling(matmul=2 * size**3 / spent, copy=2 * numbers / copied)


def _best(work: Callable[[], Any], device: torch.device, repeats: int) -> float:
    spent = []
    work()
    for _ in range(repeats):
        synchronise(device)
        start = time.perf_counter()
        work()
        synchronise(device)
        spent.append(time.perf_counter() - start)
    return min(spent)


def synchronise(device: torch.device) -> None:
    """Wait until the device has finished: CUDA calls return before the work is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def describe(ceiling: Ceiling, counts: Counts) -> dict[str, Any]:
    """Both as JSON: matmul (operations/s), copy (bytes/s), and the counts of weights."""
    return {"ceiling": asdict(ceiling), "weights": asdict(counts)}
