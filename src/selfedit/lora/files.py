"""Adapters as files in PEFT's format, which PEFT and vLLM load as they are."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from selfedit.config import LoraSettings
from selfedit.errors import AdapterError, InputError
from selfedit.lora.bank import AdapterBank, Target, find_targets, layer_index

_PREFIX = "base_model.model."
_NOTE = "selfedit.json"
_WEIGHTS = "adapter_model.safetensors"
_FLOATS = ("F64", "F32", "F16", "BF16")


@dataclass(frozen=True, slots=True)
class Base:
    """The model that an adapter belongs to.

    name: as the user called it. revision: identity of its weights. hub_id: its id on the Hugging Face
    hub, None if it has none; folder: where it was on the machine that trained the adapter, if in one.
    """

    name: str
    revision: str
    hub_id: str | None = None
    folder: str | None = None


def save_adapter(bank: AdapterBank, k: int, folder: Path, base: Base) -> None:
    """Write adapter k as `adapter_config.json` and `adapter_model.safetensors`, atomically.

    `selfedit.json` beside them says which base weights the adapter belongs to; the configuration names
    no path on this machine. An existing folder is replaced. Raises AdapterError if it
    cannot be written.
    """
    from peft import LoraConfig, TaskType

    settings, alpha = bank.settings, bank.settings.alpha
    layers = sorted({layer_index(target.name) or 0 for target in bank.targets})
    config = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        base_model_name_or_path=base.hub_id,
        r=settings.rank,
        lora_alpha=int(alpha) if alpha.is_integer() else alpha,  # type: ignore[arg-type]
        lora_dropout=settings.dropout,
        target_modules=sorted({target.name.rsplit(".", 1)[-1] for target in bank.targets}),
        layers_to_transform=layers,
        inference_mode=True,
    )
    tensors = {}
    for target in bank.targets:
        factors = bank.factors[target.name]
        for name, factor in zip(_names(target), factors, strict=True):
            tensors[name] = factor[k].detach().T.contiguous().cpu()
    note = {
        "base_model": base.hub_id or base.name,
        "base_revision": base.revision,
        "base_folder": base.folder,
        "lora": settings.model_dump(mode="json"),
    }
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".saving-") as name:
            work = Path(name) / "adapter"
            work.mkdir()
            config.save_pretrained(str(work))
            save_file(tensors, work / _WEIGHTS, metadata={"format": "pt"})
            (work / _NOTE).write_text(json.dumps(note, indent=1), encoding="utf-8")
            plain_modes(work)
            shutil.rmtree(folder, ignore_errors=True)
            work.replace(folder)
    except (OSError, SafetensorError) as error:
        raise AdapterError(
            f"the adapter cannot be written to {folder}: {error}. Nothing that was there before is "
            "lost; free some space or choose another --library."
        ) from error


def plain_modes(folder: Path) -> None:
    """Give weights the mode that the umask gives other files: safetensors writes them as 0600, which a
    server under another user cannot read."""
    files = [path for path in folder.iterdir() if path.is_file()]
    mode = next(path.stat().st_mode for path in files if path.suffix == ".json")
    for path in files:
        if path.suffix == ".safetensors":
            path.chmod(mode & 0o777)


def load_adapter(
    model: torch.nn.Module, folder: Path, *, num_layers: int, base_revision: str
) -> AdapterBank:
    """A bank of one from a folder that `save_adapter` wrote.

    Names, shapes and dtypes are checked before anything is allocated, values before anything is used.
    Raises AdapterError when files are missing or damaged, or belong to other base weights.
    """
    note = _read_json(folder / _NOTE)
    if note.get("base_revision") != base_revision:
        raise AdapterError(
            f"the adapter in {folder} belongs to {note.get('base_model')} "
            f"({note.get('base_revision')}), not to this model ({base_revision}). "
            "Name its model with --model."
        )
    try:
        settings = LoraSettings.model_validate(note.get("lora"))
        targets = find_targets(model, settings, num_layers)
    except ValidationError as error:
        raise _damaged(folder, f"{_NOTE} has no settings") from error
    except InputError as error:
        raise _damaged(folder, str(error)) from error
    try:
        tensors = _read_weights(folder, targets, settings.rank)
    except (OSError, SafetensorError) as error:
        raise _damaged(folder, str(error)) from error
    bank = AdapterBank(model, settings, [0], num_layers=num_layers)
    for target in bank.targets:
        for name, factor in zip(_names(target), bank.factors[target.name], strict=True):
            factor[0].copy_(tensors.pop(name).T)
    return bank


def _read_weights(folder: Path, targets: Sequence[Target], rank: int) -> dict[str, torch.Tensor]:
    """The weights, if they are those of the targets. Raises AdapterError."""
    wanted: dict[str, list[int]] = {}
    for target in targets:
        down, up = _names(target)
        wanted[down] = [rank, target.linear.in_features]
        wanted[up] = [target.linear.out_features, rank]
    with safe_open(folder / _WEIGHTS, framework="pt") as file:
        there = set(file.keys())
        if there != wanted.keys():
            odd = min(there ^ wanted.keys())
            said = "lacks" if odd in wanted else "has no place in this model for"
            raise _damaged(folder, f"it {said} {odd}")
        for name, shape in wanted.items():
            stored = file.get_slice(name)
            if stored.get_shape() != shape or stored.get_dtype() not in _FLOATS:
                raise _damaged(
                    folder,
                    f"{name} is {stored.get_dtype()} {stored.get_shape()}, not floating {shape}",
                )
        tensors = {name: file.get_tensor(name) for name in wanted}
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise _damaged(folder, f"{name} holds values that are not finite")
    return tensors


def _names(target: Target) -> tuple[str, str]:
    """Names of a target's A and B in the file."""
    name = f"{_PREFIX}{target.name}"
    return f"{name}.lora_A.weight", f"{name}.lora_B.weight"


def _damaged(folder: Path, what: str) -> AdapterError:
    return AdapterError(f"the adapter in {folder} is damaged: {what}")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AdapterError(f"{path} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise AdapterError(f"{path} is not an adapter note")
    return value
