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
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from selfedit.config import LoraSettings
from selfedit.errors import AdapterError, InputError
from selfedit.lora.bank import AdapterBank
from selfedit.lora.targets import (
    Target,
    last,
    layer_index,
    linears,
    placed,
    resolve_layers,
    takes_all,
)

_PREFIX = "base_model.model."
NOTE = "selfedit.json"
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
    config = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        base_model_name_or_path=base.hub_id,
        r=settings.rank,
        lora_alpha=int(alpha) if alpha.is_integer() else alpha,  # type: ignore[arg-type]
        lora_dropout=settings.dropout,
        fan_in_fan_out=any(isinstance(target.linear, Conv1D) for target in bank.targets),
        inference_mode=True,
        **_which(bank),
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
        "modules": [target.name for target in bank.targets],
    }
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".saving-") as name:
            work = Path(name) / "adapter"
            work.mkdir()
            config.save_pretrained(str(work))
            save_file(tensors, work / _WEIGHTS, metadata={"format": "pt"})
            (work / NOTE).write_text(json.dumps(note, indent=1), encoding="utf-8")
            plain_modes(work)
            shutil.rmtree(folder, ignore_errors=True)
            work.replace(folder)
    except (OSError, SafetensorError) as error:
        raise AdapterError(
            f"the adapter cannot be written to {folder}: {error}. Nothing that was there before is "
            "lost; free some space or choose another --library."
        ) from error


def _which(bank: AdapterBank) -> dict[str, Any]:
    """PEFT's names for the bank's modules: last names and layers if they mean no others, which is what
    people read and tools expect; else full names."""
    names = {target.name for target in bank.targets}
    ends = sorted({last(name) for name in names})
    layers = sorted({layer_index(name) or 0 for name in names})
    meant = {
        name
        for name, _ in bank.model.named_modules()
        if last(name) in ends and layer_index(name) in layers
    }
    if meant == names:
        return {"target_modules": ends, "layers_to_transform": layers}
    return {"target_modules": sorted(names)}


def plain_modes(folder: Path) -> None:
    """Give weights the mode that the umask gives other files: safetensors writes them as 0600, which a
    server under another user cannot read."""
    files = [path for path in folder.iterdir() if path.is_file()]
    mode = next(path.stat().st_mode for path in files if path.suffix == ".json")
    for path in files:
        if path.suffix == ".safetensors":
            path.chmod(mode & 0o777)


def load_adapter(
    model: PreTrainedModel, folder: Path, *, num_layers: int, base_revision: str | None
) -> AdapterBank:
    """A bank of one from a folder that `save_adapter` wrote.

    base_revision: of the model; None: the adapter lies among the model's own files. Names, shapes and
    dtypes are checked before anything is allocated, values before anything is used.
    Raises AdapterError when files are missing or damaged, or belong to other base weights.
    """
    note = _read_json(folder / NOTE)
    if base_revision not in (None, note.get("base_revision")):
        raise AdapterError(
            f"the adapter in {folder} belongs to {note.get('base_model')} "
            f"({note.get('base_revision')}), not to this model ({base_revision}). "
            "Name its model with --model."
        )
    try:
        settings = LoraSettings.model_validate(note.get("lora"))
        targets = _noted(model, note, settings, num_layers)
    except ValidationError as error:
        raise _damaged(folder, f"{NOTE} has no settings") from error
    except InputError as error:
        raise _damaged(folder, str(error)) from error
    try:
        tensors = _read_weights(folder, targets, settings.rank)
    except (OSError, SafetensorError) as error:
        raise _damaged(folder, str(error)) from error
    bank = AdapterBank(model, settings, [0], num_layers=num_layers, targets=targets)
    for target in bank.targets:
        for name, factor in zip(_names(target), bank.factors[target.name], strict=True):
            factor[0].copy_(tensors.pop(name).T)
    return bank


def _noted(
    model: PreTrainedModel, note: dict[str, Any], settings: LoraSettings, num_layers: int
) -> list[Target]:
    """The adapter's modules. Notes of before all linear modules were adapted do not list them: there
    the settings' names are meant as they stand. Raises InputError."""
    found, layers = linears(model).modules, resolve_layers(settings.layers, num_layers)
    any_name = takes_all(settings) and "modules" in note
    meant = [
        name
        for name in found
        if layer_index(name) in layers and (any_name or last(name) in settings.target_modules)
    ]
    names = [str(name) for name in note.get("modules", meant)]
    odd = sorted(set(names).difference(meant))
    if odd or not names:
        raise InputError(f"its {NOTE} names {odd[0] if odd else 'no modules'}")
    return placed([(name, found[name]) for name in names], settings.rank)


def _read_weights(folder: Path, targets: Sequence[Target], rank: int) -> dict[str, torch.Tensor]:
    """The weights, if they are those of the targets. Raises AdapterError."""
    wanted: dict[str, list[int]] = {}
    for target in targets:
        down, up = _names(target)
        wanted[down] = [rank, target.fan_in]
        wanted[up] = [target.fan_out, rank]
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
    except (OSError, ValueError, RecursionError) as error:
        raise AdapterError(f"{path} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise AdapterError(f"{path} is not an adapter note")
    return value
