"""Sizes of a model and its adapters, on which the memory of training depends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from transformers.pytorch_utils import Conv1D

from selfedit.config import ALL_LINEAR, LoraSettings
from selfedit.forward.attention import Way, way_of
from selfedit.forward.packed import Decoder
from selfedit.lora.groups import takes_groups
from selfedit.lora.loss import chunk_on
from selfedit.lora.measured import kept_by_layers, size_of
from selfedit.lora.targets import Target, find_targets, first_layer, last, layer_index, stacked

# Modules that read the same tensor, which the bank gathers once.
_READS = {
    "q_proj": "qkv",
    "k_proj": "qkv",
    "v_proj": "qkv",
    "gate_proj": "gate_up",
    "up_proj": "gate_up",
}
# Linear modules of the layers that `memory.py` has formulas for.
_KNOWN = {*ALL_LINEAR, "gate_up_proj"}


@dataclass(frozen=True)
class Sizes:
    """Sizes of a model with an adapter shape, as far as memory depends on them.

    element: bytes of an activation; wide: bytes in norms and losses (float32 at least); adapter: bytes
    of a number of the bank. Widths are in numbers. normed: numbers that a layer's norms keep per token;
    inputs: widths that a layer's adapted modules read; fan_in, fan_out: sums over all of them.
    window: longest sequence that is packed, None: any. attention: the way of packed sequences
    (`forward.attention.way_of`). stretches: the bank's products follow the packed tokens, without a
    grid; grouped: by PyTorch's grouped products (`lora.groups`).
    other: what a layer of another kind than Llama's keeps (`kept_by_layers`). capped: whether the
    logits are soft-capped; chunk: rows of them that are computed together.
    """

    num_layers: int
    num_adapted: int
    width: int
    query: int
    key: int
    heads: int
    head_width: int
    middle: int
    normed: int
    gated: bool
    vocabulary: int
    element: int
    wide: int
    adapter: int
    parameters: int
    rank: int
    inputs: tuple[int, ...]
    num_targets: int
    fan_in: int
    fan_out: int
    reads_attention: bool
    drops: bool
    packs: bool
    window: int | None
    attention: Way
    stretches: bool
    grouped: bool
    trunk: bool
    other: tuple[float, float] | None
    capped: bool
    chunk: int

    @classmethod
    def of(cls, decoder: Decoder, lora: LoraSettings | None, *, use_trunk: bool = True) -> Self:
        """lora: None for a model that only answers, without adapters.

        Raises InputError for layers or modules that the model does not have.
        """
        num_layers = len(decoder.layers)
        targets = find_targets(decoder.model, lora, num_layers) if lora is not None else []
        first = first_layer(targets) if targets else num_layers - 1
        trunk = bool(targets) and use_trunk and decoder.has_trunk(first)
        top = [t for t in targets if layer_index(t.name) == layer_index(targets[-1].name)]
        inputs = {_READS.get(last(t.name), t.name): t.fan_in for t in top}
        layer = decoder.layers[first]
        linears = {
            last(name): Target(name, module, 0)
            for name, module in layer.named_modules()
            if isinstance(module, torch.nn.Linear | Conv1D)
        }
        modules = dict(decoder.layers.named_modules())
        is_known = linears.keys() <= _KNOWN and not any(stacked(modules))
        config = decoder.model.config.get_text_config()
        width, heads = size_of(config, "hidden_size", 0), size_of(config, "num_attention_heads", 1)
        head_width = size_of(config, "head_dim", width // heads)
        query = heads * head_width
        key = size_of(config, "num_key_value_heads", heads) * head_width
        dtype = decoder.model.dtype
        wide = 8 if dtype == torch.float64 else 4
        grouped = lora is not None and takes_groups(decoder.device, dtype, lora, targets)
        return cls(
            num_layers=num_layers,
            num_adapted=num_layers - first,
            width=width,
            query=query,
            key=key,
            heads=heads,
            head_width=head_width,
            middle=max(
                (t.fan_out for n, t in linears.items() if n not in ("q_proj", "k_proj")), default=width
            ),
            normed=sum(_kept_by_norm(n, m, width, query, key) for n, m in layer.named_modules()),
            gated="gate_proj" in linears or "gate_up_proj" in linears,
            vocabulary=decoder.head.vocabulary,
            element=dtype.itemsize,
            wide=wide,
            adapter=wide,
            parameters=sum(target.size(lora.rank) for target in targets) if lora is not None else 0,
            rank=lora.rank if lora is not None else 0,
            inputs=tuple(inputs.values()),
            num_targets=len(top),
            fan_in=sum(target.fan_in for target in top),
            fan_out=sum(target.fan_out for target in top),
            reads_attention=any(last(target.name) == "o_proj" for target in top),
            drops=lora is not None and lora.dropout > 0,
            packs=decoder.packs(),
            window=decoder.window,
            attention=way_of(decoder.device, dtype, head_width) if decoder.packs() else "grid",
            stretches=decoder.packs() and (decoder.device.type == "cpu" or grouped),
            grouped=decoder.packs() and grouped,
            trunk=trunk,
            other=kept_by_layers(decoder) if targets and not is_known else None,
            capped=decoder.head.cap is not None,
            chunk=chunk_on(decoder.device),
        )


def _kept_by_norm(name: str, module: torch.nn.Module, width: int, query: int, key: int) -> int:
    """Numbers that a norm keeps per token: its input and each root mean square.

    Norms of queries and keys have one weight for all heads.
    """
    if not type(module).__name__.endswith("Norm"):
        return 0
    total = {"q_norm": query, "k_norm": key}.get(last(name), width)
    weight = getattr(module, "weight", None)
    return total + total // (total if weight is None else weight.numel())
