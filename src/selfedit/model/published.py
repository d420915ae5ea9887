"""Models for other tools: merged folders that transformers 4, vLLM, TGI, mlx-lm, llama.cpp can read."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel

from selfedit.errors import ModelError
from selfedit.lora.files import plain_modes
from selfedit.model.quiet import quiet_transformers

# The class name that transformers 5 gives any tokenizer from a tokenizer.json, and the one that older
# versions and other tools know.
_NEW_CLASS, _KNOWN_CLASS = "TokenizersBackend", "PreTrainedTokenizerFast"
# Among a model's files: the adapter that is attached wherever another one is (`algorithms.reader`).
READER = "reader"
# Keys about how a tokenizer was loaded here.
_LOCAL_KEYS = ("backend", "is_local", "local_files_only")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a model's weights come from.

    hub_id: on the Hugging Face hub, if they are there. folder: on this machine, if they are in no hub:
    an adapter need not tell whose home it was. dtype: as they are stored; None: as they are loaded.
    """

    hub_id: str | None = None
    folder: str | None = None
    dtype: torch.dtype | None = None


def save_merged(
    model: PreTrainedModel, tokenizer: Any, adapter: Path, folder: Path, dtype: torch.dtype | None
) -> None:
    """A model folder with the adapter's update added to the weights, in `dtype` (None: the model's).

    Merged through PEFT, into a copy on the CPU: the model itself stays as it is, and a GPU need not
    hold it twice. Raises ModelError.
    """
    from peft import PeftModel

    def merged() -> PreTrainedModel:
        whole: PreTrainedModel = PeftModel.from_pretrained(
            _on_cpu(model), str(adapter)
        ).merge_and_unload()
        return whole

    _save(merged, tokenizer, folder, dtype or model.dtype)


def save_model(model: PreTrainedModel, tokenizer: Any, folder: Path, dtype: torch.dtype | None) -> None:
    """A model folder with the weights as they are, in `dtype` (None: their own). Raises ModelError."""
    _save(lambda: _on_cpu(model), tokenizer, folder, dtype or model.dtype)


def _save(
    made: Callable[[], PreTrainedModel], tokenizer: Any, folder: Path, dtype: torch.dtype
) -> None:
    try:
        with quiet_transformers():
            cast(Any, made()).to(dtype).save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        make_portable(folder, tokenizer)
    except Exception as error:
        # Full disks, damaged adapter_config.json: PEFT and safetensors raise errors of many kinds.
        raise ModelError(f"the model cannot be written to {folder}: {error}") from error


def _on_cpu(model: PreTrainedModel) -> PreTrainedModel:
    """A copy whose tensors are on the CPU."""
    copies: dict[int, Any] = {id(own): _cpu_copy(own) for own in model.buffers()}
    for own in model.parameters():
        copies[id(own)] = nn.Parameter(_cpu_copy(own), own.requires_grad)
    return copy.deepcopy(model, copies)


def _cpu_copy(tensor: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(tensor, device="cpu").copy_(tensor.detach())


def make_portable(folder: Path, tokenizer: Any) -> None:
    """A saved tokenizer as other tools know it, its chat template in tokenizer_config.json too, and
    file modes that follow the umask."""
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    for key in _LOCAL_KEYS:
        config.pop(key, None)
    if config.get("tokenizer_class") == _NEW_CLASS:
        config["tokenizer_class"] = _KNOWN_CLASS
    if isinstance(tokenizer.chat_template, str):
        config["chat_template"] = tokenizer.chat_template
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    plain_modes(folder)
