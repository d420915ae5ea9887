"""One function for each experiment: a preset is a complete set of settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from selfedit.config import LoraSettings, SamplingSettings, TrainSettings
from selfedit.domains.knowledge.settings import (
    PLAIN,
    KnowledgeOuterSettings,
    KnowledgeSettings,
    LearnSettings,
)


def squad_paper() -> KnowledgeOuterSettings:
    """Knowledge incorporation as in the paper (arXiv 2506.10943, section 4.1 and its appendix):
    2 rounds x 50 contexts x 5 edits x 3 seeds, `implications`, LoRA r32 on q_proj and v_proj of all
    layers, 10 epochs at 1e-3, always one edit for each context. Reproduces: 39.7 -> 47.0 % on
    Qwen2.5-7B.
    """
    return KnowledgeOuterSettings(
        inner=LearnSettings(
            knowledge=KnowledgeSettings(strategy="implications", topic=True),
            lora=LoraSettings(target_modules=("q_proj", "v_proj"), layers="all"),
            train=TrainSettings(learning_rate=1e-3, epochs=10),
            sampling=SamplingSettings(temperature=1.0, top_p=0.95, max_new_tokens=1024),
            candidates=5,
            seeds=3,
        ),
        rounds=2,
        contexts=50,
        rule="best",
    )


def squad_small() -> KnowledgeOuterSettings:
    """For the embedded model on a CPU: this project's inner loop (docs/log.md), sentences restated
    one by one, 1 round x 8 contexts x 3 edits x 1 seed, only edits that beat the baseline."""
    return KnowledgeOuterSettings(
        inner=LearnSettings.model_validate({"knowledge": {"topic": True}, "candidates": 3, "seeds": 1}),
        rounds=1,
        contexts=8,
    )


def smoke() -> KnowledgeOuterSettings:
    """Minutes at most: shows whether everything works, not whether it helps."""
    return KnowledgeOuterSettings(
        inner=LearnSettings(
            knowledge=KnowledgeSettings(restatements=1, topic=True),
            train=TrainSettings(epochs=2),
            candidates=2,
            seeds=1,
        ),
        rounds=2,
        contexts=2,
    )


PRESETS: dict[str, Callable[[], KnowledgeOuterSettings]] = {
    "squad-paper": squad_paper,
    "squad-small": squad_small,
    "smoke": smoke,
}


def inner_fast() -> dict[str, Any]:
    """About half the training of `balanced` (docs/performance.md)."""
    return {"train": {"epochs": 4, "learning_rate": 2e-3}}


def inner_balanced() -> dict[str, Any]:
    """The defaults: all linear modules, r32, held by an anchor (`LEARNING`)."""
    return {}


def inner_paper() -> dict[str, Any]:
    """The inner loop of the paper's release: q_proj and v_proj of all layers, nothing held."""
    lora = {"rank": 32, "alpha": 64.0, "target_modules": ["q_proj", "v_proj"], "layers": "all"}
    return {**PLAIN, "lora": lora, "candidates": 4}


# How self-edits are trained: differences from the defaults.
INNER_PRESETS: dict[str, Callable[[], dict[str, Any]]] = {
    "fast": inner_fast,
    "balanced": inner_balanced,
    "paper": inner_paper,
}
