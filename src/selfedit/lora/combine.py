"""Adapters of several banks in one: side by side for many questions, or summed with weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from selfedit.config import ALL_LINEAR
from selfedit.lora.bank import AdapterBank
from selfedit.lora.targets import layer_index, placed, takes_all

# Of each new adapter: which ones it is the sum of, and each one's weight.
Mixes = Sequence[Mapping[int, float]]


class _Part(NamedTuple):
    """Adapter k of a bank, as a part of a sum."""

    bank: AdapterBank
    k: int
    weight: float


def combined(banks: Sequence[AdapterBank], mixes: Mixes, *, num_layers: int) -> AdapterBank:
    """A bank with an adapter for each mix, the sum of the first adapters of the banks it names.

    Adapters of one shape that are not summed are copied, bit for bit. A sum is exact, too: its factors
    are those of its parts side by side, so that its rank is the sum of theirs. The banks may differ in
    rank, layers and modules. They belong to one model.
    """
    alone = all(list(mix.values()) == [1.0] for mix in mixes)
    shapes = {(bank.settings.digest(), *(target.name for target in bank.targets)) for bank in banks}
    if alone and len(shapes) == 1:
        copy = banks[0].like(len(mixes), banks[0].model)
        for k, mix in enumerate(mixes):
            copy.weights_KP[k] = banks[next(iter(mix))].weights_KP[0]
        return copy
    parts = [[_Part(banks[i], 0, weight) for i, weight in mix.items()] for mix in mixes]
    return _summed(banks, parts, num_layers)


def over_each(bank: AdapterBank, other: AdapterBank, *, num_layers: int) -> AdapterBank:
    """A bank of the sums of each of the bank's adapters and the first of another one, exact as those of
    `combined`. Both belong to one model."""
    parts = [[_Part(bank, k, 1.0), _Part(other, 0, 1.0)] for k in range(bank.num_adapters)]
    return _summed([bank, other], parts, num_layers)


def _summed(
    banks: Sequence[AdapterBank], sums: Sequence[Sequence[_Part]], num_layers: int
) -> AdapterBank:
    """A bank with an adapter for each sum, of the modules of all these banks."""
    model = banks[0].model
    rank = max(sum(part.bank.settings.rank for part in parts) for parts in sums)
    modules = {target.name: target.linear for bank in banks for target in bank.targets}
    order = {name: place for place, name in enumerate(dict(model.named_modules()))}
    targets = placed(sorted(modules.items(), key=lambda own: order[own[0]]), rank)
    shape = _covering(banks) | {"rank": rank, "alpha": float(rank)}
    settings = banks[0].settings.model_copy(update=shape)
    whole = AdapterBank(
        model,
        settings,
        [0],
        num_layers=num_layers,
        dtype=banks[0].weights_KP.dtype,
        targets=targets,
    ).like(len(sums), model)
    for name, (down_KIR, up_KRO) in whole.factors.items():
        for k, parts in enumerate(sums):
            _fill(down_KIR[k], up_KRO[k], name, parts)
    return whole


def _covering(banks: Sequence[AdapterBank]) -> dict[str, Any]:
    """Settings that name the modules of all the banks, as a file of their sum has to."""
    layers = {bank.settings.layers for bank in banks}
    if len(layers) > 1:
        places = [layer_index(target.name) or 0 for bank in banks for target in bank.targets]
        layers = {f"{min(places)}-{max(places)}"}
    modules: tuple[str, ...] = ALL_LINEAR
    if not any(takes_all(bank.settings) for bank in banks):
        modules = tuple(dict.fromkeys(m for bank in banks for m in bank.settings.target_modules))
    return {"layers": layers.pop(), "target_modules": modules}


def _fill(down_IR: Tensor, up_RO: Tensor, name: str, parts: Sequence[_Part]) -> None:
    """A module's factors of a sum: those of its parts, one behind the other."""
    at = 0
    for bank, k, weight in parts:
        if name in bank.factors:
            down, up = bank.factors[name]
            end = at + bank.settings.rank
            down_IR[:, at:end] = down[k]
            up_RO[at:end] = weight * bank.scaling * up[k]
            at = end


@torch.no_grad()
def add_to_weights(bank: AdapterBank, k: int) -> None:
    """Adds adapter k's update to the weights of the bank's model, for good."""
    for target in bank.targets:
        down, up = bank.factors[target.name]
        update_IO = (down[k] @ up[k]) * bank.scaling
        turned = isinstance(target.linear, Conv1D)  # its weight is [in, out]
        target.weight.add_((update_IO if turned else update_IO.T).to(target.weight.dtype))
