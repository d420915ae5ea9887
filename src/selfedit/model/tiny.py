"""A tiny random Llama with a byte tokenizer, to test a model's inner workings without real weights."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfedit.model.language_model import LanguageModel


def tiny_model(seed: int = 0, dtype: str = "float64", chat: bool = True) -> LanguageModel:
    """A random Llama (2 layers, width 64, grouped-query attention) with a byte tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from selfedit.model.language_model import LanguageModel

    tokenizer = byte_tokenizer(chat)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        hf = exact_norms(LlamaForCausalLM(config).to(getattr(torch, dtype)))
    form = "chat" if chat else "plain"
    return LanguageModel(hf, tokenizer, name="tiny", revision=f"tiny-{seed}", form=form)  # type: ignore[arg-type]


def exact_norms(hf: Any) -> Any:
    """The Llama model with norms in its own precision: transformers rounds to float32 there, which
    would hide differences between float64 results."""
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    for module in hf.modules():
        if isinstance(module, LlamaRMSNorm):
            module.forward = partial(_exact_norm, module)  # type: ignore[method-assign]
    return hf


def _exact_norm(norm: Any, hidden: Any) -> Any:
    variance = hidden.pow(2).mean(-1, keepdim=True)
    return norm.weight * hidden * (variance + norm.variance_epsilon).rsqrt()


def byte_tokenizer(chat: bool = True) -> Any:
    """A tokenizer of the 256 bytes and three special tokens; no file, no merges."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*alphabet, "<|end|>", "<|user|>", "<|pad|>"])}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|end|>", pad_token="<|pad|>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|user|>"]})
    if chat:
        tokenizer.chat_template = (
            "{% for message in messages %}<|user|>{{ message['content'] }}<|end|>{% endfor %}"
        )
    return tokenizer
