"""Adapters as files in PEFT's format, which PEFT and vLLM load as they are."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from selfedit.config import LoraSettings
from selfedit.errors import AdapterError
from selfedit.lora.bank import AdapterBank, layer_index

_PREFIX = "base_model.model."
_NOTE = "selfedit.json"


def save_adapter(
    bank: AdapterBank, k: int, folder: Path, *, base_model: str, base_revision: str
) -> None:
    """Write adapter k as `adapter_config.json` and `adapter_model.safetensors`, atomically.

    `selfedit.json` beside them says which base weights the adapter belongs to. A folder that is
    there already is replaced. Raises AdapterError if it cannot be written.
    """
    from peft import LoraConfig, TaskType

    settings = bank.settings
    layers = sorted({layer_index(target.name) or 0 for target in bank.targets})
    config = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        base_model_name_or_path=base_model,
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]
        lora_dropout=settings.dropout,
        target_modules=sorted({target.name.rsplit(".", 1)[-1] for target in bank.targets}),
        layers_to_transform=layers,
        inference_mode=True,
    )
    tensors = {}
    for target in bank.targets:
        down, up = bank.factors[target.name]
        name = f"{_PREFIX}{target.name}"
        tensors[f"{name}.lora_A.weight"] = down[k].detach().T.contiguous().cpu()
        tensors[f"{name}.lora_B.weight"] = up[k].detach().T.contiguous().cpu()
    note = {
        "base_model": base_model,
        "base_revision": base_revision,
        "lora": settings.model_dump(mode="json"),
    }
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".saving-") as name:
            work = Path(name) / "adapter"
            work.mkdir()
            config.save_pretrained(str(work))
            save_file(tensors, work / "adapter_model.safetensors", metadata={"format": "pt"})
            (work / _NOTE).write_text(json.dumps(note, indent=1), encoding="utf-8")
            shutil.rmtree(folder, ignore_errors=True)
            work.replace(folder)
    except (OSError, SafetensorError) as error:
        raise AdapterError(
            f"the adapter cannot be written to {folder}: {error}. Nothing that was there before is "
            "lost; free some space or choose another --library."
        ) from error


def load_adapter(
    model: torch.nn.Module, folder: Path, *, num_layers: int, base_revision: str
) -> AdapterBank:
    """A bank of one from a folder that `save_adapter` wrote.

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
    except ValidationError as error:
        raise AdapterError(f"the adapter in {folder} is damaged: {_NOTE} has no settings") from error
    bank = AdapterBank(model, settings, [0], num_layers=num_layers)
    try:
        tensors = load_file(folder / "adapter_model.safetensors")
        for target in bank.targets:
            down, up = bank.factors[target.name]
            down[0].copy_(tensors.pop(f"{_PREFIX}{target.name}.lora_A.weight").T)
            up[0].copy_(tensors.pop(f"{_PREFIX}{target.name}.lora_B.weight").T)
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise AdapterError(f"the adapter in {folder} is damaged: {error}") from error
    if tensors:
        raise AdapterError(f"the adapter in {folder} has weights that this model has no place for")
    return bank


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AdapterError(f"{path} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise AdapterError(f"{path} is no adapter note")
    return value
