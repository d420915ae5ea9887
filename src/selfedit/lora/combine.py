"""Adapters of several banks in one: side by side for many questions, or summed with weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from selfedit.config import ALL_LINEAR, LoraSettings
from selfedit.lora.bank import AdapterBank, layer_index

# Of each new adapter: which ones it is the sum of, and each one's weight.
Mixes = Sequence[Mapping[int, float]]


def combined(banks: Sequence[AdapterBank], mixes: Mixes, *, num_layers: int) -> AdapterBank:
    """A bank with an adapter for each mix, the sum of the first adapters of the banks it names.

    Adapters of one shape that are not summed are copied, bit for bit. A sum is exact, too: its factors
    are those of its parts side by side, so that its rank is the sum of theirs. The banks may differ in
    rank, layers and modules. They belong to one model.
    """
    model = banks[0].model
    alone = all(list(mix.values()) == [1.0] for mix in mixes)
    if alone and len({bank.settings.digest() for bank in banks}) == 1:
        copy = banks[0].like(len(mixes), model)
        for k, mix in enumerate(mixes):
            copy.weights_KP[k] = banks[next(iter(mix))].weights_KP[0]
        return copy
    whole = AdapterBank(
        model, _covering(banks, mixes), [0], num_layers=num_layers, dtype=banks[0].weights_KP.dtype
    ).like(len(mixes), model)
    for name, (down_KIR, up_KRO) in whole.factors.items():
        for k, mix in enumerate(mixes):
            _fill(down_KIR[k], up_KRO[k], name, [(banks[i], weight) for i, weight in mix.items()])
    return whole


def _fill(
    down_IR: Tensor, up_RO: Tensor, name: str, parts: Sequence[tuple[AdapterBank, float]]
) -> None:
    """A module's factors of a sum: those of its parts, one behind the other."""
    at = 0
    for bank, weight in parts:
        if name in bank.factors:
            down, up = bank.factors[name]
            end = at + bank.settings.rank
            down_IR[:, at:end] = down[0]
            up_RO[at:end] = weight * bank.scaling * up[0]
            at = end


def _covering(banks: Sequence[AdapterBank], mixes: Mixes) -> LoraSettings:
    """The smallest shape that holds every mix; its scaling is 1."""
    rank = max(sum(banks[i].settings.rank for i in mix) for mix in mixes)
    names = [target.name for bank in banks for target in bank.targets]
    layers = [layer_index(name) or 0 for name in names]
    modules = {name.rsplit(".", 1)[-1] for name in names}
    order = {module: place for place, module in enumerate(ALL_LINEAR)}
    return LoraSettings(
        rank=rank,
        alpha=float(rank),
        target_modules=tuple(sorted(modules, key=lambda m: (order.get(m, len(order)), m))),
        layers=f"{min(layers)}-{max(layers)}",
    )


@torch.no_grad()
def add_to_weights(bank: AdapterBank, k: int) -> None:
    """Adds adapter k's update to the weights of the bank's model, for good."""
    for target in bank.targets:
        down, up = bank.factors[target.name]
        update_OI = (down[k] @ up[k]).T * bank.scaling
        target.linear.weight += update_OI.to(target.linear.weight.dtype)
