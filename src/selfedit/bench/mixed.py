"""PEFT's own way to use several adapters in one batch, applied to training.

`adapter_names` sends each row of a batch through its own adapter. PEFT means it for inference and
refuses it in training mode; in eval mode, with gradients on, it trains as well (there is no dropout).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from selfedit.bench.reference import PlainResult, padded, peft_config
from selfedit.config import LoraSettings, TrainSettings
from selfedit.forward.linear import plain_linears
from selfedit.lora.bank import AdapterBank
from selfedit.lora.optimizer import rate_factor
from selfedit.lora.sequences import TokenSequence, batches, num_steps
from selfedit.model.language_model import LanguageModel


def mixed_peft(
    model: LanguageModel,
    lora: LoraSettings,
    data: Sequence[Sequence[TokenSequence]],
    settings: TrainSettings,
    seeds: Sequence[int],
) -> list[PlainResult]:
    """All adapters together: one padded forward pass per step, one fused AdamW with a group per
    adapter."""
    from peft import get_peft_model

    bank = AdapterBank(model.hf, lora, seeds, num_layers=model.num_layers)
    names = [f"k{k}" for k in range(len(data))]
    config = peft_config(bank)
    peft_model = get_peft_model(model.hf, config, adapter_name=names[0])
    try:
        for name in names[1:]:
            peft_model.add_adapter(name, config)
        peft_model.eval()
        layers = {
            target.name: peft_model.get_submodule(f"base_model.model.{target.name}")
            for target in bank.targets
        }
        groups = [_take_over(layers, bank, k, name) for k, name in enumerate(names)]
        with plain_linears(model.hf):
            losses = _train(peft_model, groups, names, data, settings, seeds)
        return [PlainResult(_weights(layers, name), losses[k]) for k, name in enumerate(names)]
    finally:
        peft_model.unload()
        model.hf.requires_grad_(False)


def _take_over(layers: dict[str, Any], bank: AdapterBank, k: int, name: str) -> list[Tensor]:
    """The adapter's parameters, with the bank's values, ready to be trained."""
    parameters = []
    for target, layer in layers.items():
        for place, factor in zip((layer.lora_A, layer.lora_B), bank.factors[target], strict=True):
            weight = place[name].weight
            with torch.no_grad():
                weight.copy_(factor[k].T)
            parameters.append(weight.requires_grad_())
    return parameters


def _train(
    peft_model: Any,
    groups: list[list[Tensor]],
    names: list[str],
    data: Sequence[Sequence[TokenSequence]],
    settings: TrainSettings,
    seeds: Sequence[int],
) -> list[list[float]]:
    steps = [num_steps(len(sequences), settings) for sequences in data]
    orders = [batches(sequences, settings, seed) for sequences, seed in zip(data, seeds, strict=True)]
    optimizer = torch.optim.AdamW(
        [{"params": group} for group in groups],
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        fused=True,
    )
    losses: list[list[float]] = [[] for _ in data]
    for step in range(max(steps)):
        active = [k for k, own in enumerate(steps) if step < own]
        rows = [(k, sequence) for k in active for sequence in next(orders[k])]
        ids, mask, labels = padded([sequence for _, sequence in rows], groups[0][0].device)
        owners = [names[k] for k, _ in rows]
        logits = peft_model(input_ids=ids, attention_mask=mask, adapter_names=owners).logits
        token_losses = torch.nn.functional.cross_entropy(
            logits[:, :-1].transpose(1, 2), labels[:, 1:], reduction="none"
        )
        counted = labels[:, 1:] >= 0
        own_losses = []
        for k in active:
            mine = [n for n, (owner, _) in enumerate(rows) if owner == k]
            own_losses.append(token_losses[mine].sum() / counted[mine].sum())
        torch.stack(own_losses).sum().backward()
        for k, loss in zip(active, own_losses, strict=True):
            losses[k].append(loss.item())
            torch.nn.utils.clip_grad_norm_(groups[k], settings.clip)
            optimizer.param_groups[k]["lr"] = settings.learning_rate * rate_factor(
                settings, step, steps[k]
            )
        optimizer.step()
        optimizer.zero_grad()
    return losses


def _weights(layers: dict[str, Any], name: str) -> dict[str, tuple[Tensor, Tensor]]:
    return {
        target: (
            layer.lora_A[name].weight.detach().T.cpu().clone(),
            layer.lora_B[name].weight.detach().T.cpu().clone(),
        )
        for target, layer in layers.items()
    }
