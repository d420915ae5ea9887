"""Tiny random models of any architecture that transformers knows, with a byte tokenizer."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from selfedit.model.language_model import LanguageModel
from selfedit.model.tiny import byte_tokenizer

# Sizes under whatever name a configuration has for them; a name that it does not have is not set.
_SMALL: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "word_embed_proj_dim"), 32),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "attention_heads"), 4),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "moe_intermediate_size", "ffn_hidden_size"), 48),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "max_seq_len"), 2048),
    "num_key_value_heads": 2,
    "head_dim": 8,
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_topk", "moe_k"), 2),
    "shared_expert_intermediate_size": 24,
    "sliding_window": 64,
}
# Attention with compressed keys and values.
_LATENT: dict[str, Any] = {
    **{"q_lora_rank": 16, "kv_lora_rank": 16, "num_key_value_heads": 4},
    **dict.fromkeys(("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"), 8),
    **dict.fromkeys(("n_group", "topk_group", "first_k_dense_replace", "n_shared_experts"), 1),
}
# What else an architecture needs to be small, or to be a model of its kind at all.
_OWN: dict[str, dict[str, Any]] = {
    "gemma3n_text": {
        "num_hidden_layers": 4,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "num_kv_shared_layers": 2,
        "vocab_size_per_layer_input": 259,
        "hidden_size_per_layer_input": 8,
        "laurel_rank": 4,
        "activation_sparsity_pattern": [0.0] * 4,
        "altup_num_inputs": 2,
    },
    "gemma4_text": {
        "layer_types": ["sliding_attention", "full_attention"],
        "vocab_size_per_layer_input": 259,
        "hidden_size_per_layer_input": 8,
        "num_kv_shared_layers": 0,
        "final_logit_softcapping": 30.0,
    },
    "deepseek_v2": _LATENT,
    "deepseek_v3": _LATENT,
    "minicpm3": _LATENT,
    "glm4_moe": {"first_k_dense_replace": 1, "n_group": 1, "topk_group": 1, "n_shared_experts": 1},
    "gpt_neo": {"num_heads": 4, "attention_types": [[["global", "local"], 1]], "window_size": 64},
    "falcon": {"num_kv_heads": 2},
    "bamba": {
        "mamba_n_heads": 8,
        "mamba_d_state": 4,
        "mamba_n_groups": 2,
        "attn_layer_indices": [1],
    },
    "gptj": {"rotary_dim": 4},
    "codegen": {"rotary_dim": 4},
    "granite": {"logits_scaling": 4.0, "residual_multiplier": 0.5, "embedding_multiplier": 2.0},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "mamba": {"state_size": 4},
    "mamba2": {"num_heads": 8, "head_dim": 8, "state_size": 4, "n_groups": 2},
    "recurrent_gemma": {"num_hidden_layers": 3, "lru_width": 32, "attention_window_size": 64},
    "rwkv": {"attention_hidden_size": 32},
}


def tiny_architecture(kind: str, seed: int = 0, **changes: Any) -> LanguageModel:
    """A random model of the kind (a `model_type` of transformers), float32, with chat turns.

    Its weights are drawn wider than transformers initialises them, so that what a layer does is seen
    in the logits.
    """
    tokenizer = byte_tokenizer()
    make = CONFIG_MAPPING[kind]
    known = {*inspect.signature(make.__init__).parameters, *getattr(make, "attribute_map", {})}
    known |= set(getattr(make, "__annotations__", {})) | set(dir(make))
    fixed = {name for name in known if isinstance(getattr(make, name, None), property)}
    values = {name: value for name, value in _SMALL.items() if name in known - fixed}
    values |= _OWN.get(kind, {}) | changes
    config = make(
        vocab_size=len(tokenizer),
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **values,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        hf = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        for weight in hf.parameters():
            if weight.dim() == 2:
                weight.data.normal_(std=0.15)
    return LanguageModel(hf, tokenizer, name=kind, revision=f"{kind}-{seed}", form="chat")


EVERY = """
llama qwen2 qwen3 mistral gemma gemma3_text phi phi3 opt olmo olmo2 stablelm starcoder2 smollm3 glm glm4
nemotron exaone4 mixtral qwen2_moe qwen3_moe lfm2 gpt_oss ministral hunyuan_v1_dense ernie4_5 apertus
seed_oss arcee helium recurrent_gemma gptj gpt2 gpt_neox bloom gpt_bigcode mamba mamba2 rwkv gemma2
granite cohere gemma3n_text gemma4_text deepseek_v2 deepseek_v3 minicpm3 glm4_moe gpt_neo falcon bamba
""".split()
