"""Adapters that others have trained: PEFT folders without selfedit's note of what they belong to."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import PreTrainedModel

from selfedit.config import LoraSettings
from selfedit.errors import AdapterError
from selfedit.lora.bank import AdapterBank
from selfedit.lora.targets import linears, placed

_NAME = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<factor>[AB])(?:\.default)?\.weight")
# What changes the adapter's meaning and is not known here, with the value at which it does not.
_PLAIN: dict[str, Any] = {
    "use_dora": False,
    "bias": "none",
    "rank_pattern": {},
    "alpha_pattern": {},
    "modules_to_save": None,
    "fan_in_fan_out": False,
    "lora_bias": False,
}


def load_peft(model: PreTrainedModel, folder: Path, *, num_layers: int) -> AdapterBank:
    """A bank of one from any LoRA folder in PEFT's format (safetensors).

    What it was trained on is not written in such a folder; that its modules and shapes are this model's
    is checked. Raises AdapterError.
    """
    config = _config(folder)
    rank, scaling = config["r"], config.get("lora_alpha") or config["r"]
    alpha = scaling * rank**0.5 if config.get("use_rslora") else scaling
    try:
        with safe_open(folder / "adapter_model.safetensors", framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise AdapterError(f"the adapter in {folder} cannot be read: {error}") from error
    if not all(rank in tensor.shape for tensor in tensors.values()):  # before so much is allocated
        raise AdapterError(f"the adapter in {folder} has weights of another rank than {rank}")
    factors = _factors(folder, tensors)
    known = linears(model).modules
    odd = [name for name in factors if name not in known]
    if odd or not factors:
        raise AdapterError(f"the adapter in {folder} has no place in this model: {odd[:1] or 'empty'}")
    targets = placed([(name, own) for name, own in known.items() if name in factors], rank)
    bank = AdapterBank(
        model, LoraSettings(rank=rank, alpha=alpha), [0], num_layers=num_layers, targets=targets
    )
    with torch.no_grad():
        for target in bank.targets:
            for place, own in zip(bank.factors[target.name], factors[target.name], strict=True):
                if own is None or own.T.shape != place[0].shape:
                    raise AdapterError(f"the adapter in {folder}: {target.name} is of another shape")
                if not torch.isfinite(own).all():
                    raise AdapterError(f"the adapter in {folder}: {target.name} is not finite")
                place[0].copy_(own.T)
    return bank


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise AdapterError(f"{folder} is no PEFT folder: {error}") from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA" or not config.get("r"):
        raise AdapterError(f"the adapter in {folder} is no LoRA adapter")
    for name, value in (("r", config["r"]), ("lora_alpha", config.get("lora_alpha") or 1)):
        kinds = (int,) if name == "r" else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value < 1e6:
            raise AdapterError(f"the adapter in {folder} has {name} {str(value)[:60]}")
    for name, plain in _PLAIN.items():
        if config.get(name) not in (None, plain):
            raise AdapterError(f"the adapter in {folder} has {name}, which is not supported")
    return config


def _factors(folder: Path, tensors: dict[str, Any]) -> dict[str, list[Any]]:
    """A [r, in] and B [out, r] of each module."""
    found: dict[str, list[Any]] = {}
    for name, tensor in tensors.items():
        match = _NAME.fullmatch(name)
        if match is None or not tensor.is_floating_point():
            raise AdapterError(f"the adapter in {folder} holds {name}, which is not supported")
        found.setdefault(match["module"], [None, None])["AB".index(match["factor"])] = tensor
    return found
