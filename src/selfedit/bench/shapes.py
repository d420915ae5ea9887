"""Models of known shapes with random weights: for speed alone, no hub and no weights needed.

The tokenizer is the embedded model's. Random weights never end an answer, so each takes all the tokens
it may have; a trained model's answers are shorter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from selfedit.errors import InputError
from selfedit.forward.memory import engine_from_environment
from selfedit.model.embedded import embedded_folder, fetch_embedded
from selfedit.model.language_model import LanguageModel
from selfedit.model.load import pick_device, pick_dtype, stored_as
from selfedit.model.prompts import resolve_format
from selfedit.model.tiny import byte_tokenizer

# For trying commands out; its tokenizer has the bytes.
_TINY: dict[str, Any] = {
    "vocab_size": 259,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
}
# As in each model's published config.json.
_SMOLLM2: dict[str, Any] = {
    "vocab_size": 49152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
}
_QWEN25_05B: dict[str, Any] = {
    "vocab_size": 151_936,
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32_768,
    "tie_word_embeddings": True,
}
_QWEN25_7B: dict[str, Any] = {
    "vocab_size": 152_064,
    "hidden_size": 3584,
    "intermediate_size": 18_944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "max_position_embeddings": 32_768,
    "tie_word_embeddings": False,
}
_LLAMA32_1B: dict[str, Any] = {
    "vocab_size": 128_256,
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "max_position_embeddings": 131_072,
    "tie_word_embeddings": True,
}
_GEMMA3_270M: dict[str, Any] = {
    "vocab_size": 262_144,
    "hidden_size": 640,
    "intermediate_size": 2048,
    "num_hidden_layers": 18,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
    "head_dim": 256,
    "sliding_window": 512,
    "max_position_embeddings": 32_768,
    "tie_word_embeddings": True,
}
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "tiny": ("llama", _TINY),
    "smollm2-135m": ("llama", _SMOLLM2),
    "qwen2.5-0.5b": ("qwen2", _QWEN25_05B),
    "qwen2.5-7b": ("qwen2", _QWEN25_7B),
    "llama-3.2-1b": ("llama", _LLAMA32_1B),
    "gemma3-270m": ("gemma3", _GEMMA3_270M),
}


def shaped_model(
    shape: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    status: Callable[[str], None] = lambda text: None,
) -> LanguageModel:
    """A model of this shape, drawn in its dtype on its device, the same on every call. dtype as in
    `load_model`.

    Raises InputError for an unknown shape, ModelError for a dtype or device that is not there.
    """
    if shape not in SHAPES:
        raise InputError(f"shape {shape!r}: use one of {', '.join(SHAPES)}.")
    place = pick_device(device)
    chosen = pick_dtype(dtype, place)
    tokenizer = byte_tokenizer() if shape == "tiny" else _embedded_tokenizer(status)
    status(f"drawing a model of the shape of {shape}")
    return LanguageModel(
        draw(shape_config(shape), place, stored_as(chosen)),
        tokenizer,
        name=f"shape:{shape}",
        revision=f"random-{shape}",
        form=resolve_format(tokenizer, "auto"),
        engine=engine_from_environment(),
        status=status,
        mixed=chosen == "mixed",
    )


def _embedded_tokenizer(status: Callable[[str], None]) -> Any:
    """It may be there without the model's weights."""
    from transformers import AutoTokenizer

    folder = embedded_folder()
    if not (folder / "tokenizer.json").exists():
        folder = fetch_embedded(status)
    return AutoTokenizer.from_pretrained(str(folder))


def shape_config(shape: str) -> Any:
    """The transformers config of a shape."""
    from transformers import Gemma3TextConfig, LlamaConfig, Qwen2Config

    kind, sizes = SHAPES[shape]
    return {"llama": LlamaConfig, "qwen2": Qwen2Config, "gemma3": Gemma3TextConfig}[kind](**sizes)


def draw(config: Any, device: str, dtype: str) -> Any:
    """A transformers model of this config with its architecture's own initial weights, seed 0.

    Built on the meta device first: a module made on a real one fills its weights by PyTorch's rule,
    and transformers draws them again. The global random state stays as it was.
    """
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        hf: Any = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
    hf.to_empty(device=device)
    devices = [device] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(0)
        hf.init_weights()  # ties the head again, too
    return hf
