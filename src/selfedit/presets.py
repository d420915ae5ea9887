"""One function for each experiment: a preset is a complete set of settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from selfedit.config import (
    ArcDataSettings,
    ArcInnerSettings,
    ArcOuterSettings,
    ArcSettings,
    KnowledgeOuterSettings,
    KnowledgeSettings,
    LearnSettings,
    LoraSettings,
    PolicySettings,
    SamplingSettings,
    TrainSettings,
)


def squad_paper() -> KnowledgeOuterSettings:
    """Knowledge incorporation as in the paper (arXiv 2506.10943, section 4.1 and its appendix):
    2 rounds x 50 contexts x 5 edits x 3 seeds, `implications`, LoRA r32 on q_proj and v_proj of all
    layers, 10 epochs at 1e-3, one edit a context always. Reproduces: 39.7 -> 47.0 % on Qwen2.5-7B.
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
        inner=LearnSettings(knowledge=KnowledgeSettings(topic=True), candidates=3, seeds=1),
        rounds=1,
        contexts=8,
    )


def smoke() -> KnowledgeOuterSettings:
    """Minutes at most: whether everything works, not whether it helps."""
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


def arc_paper() -> ArcOuterSettings:
    """Few-shot learning as in the paper (section 4.2 and its appendix): one round of 11 tasks x 15
    edits, test-time training with LoRA r128 alpha 16 on q, v, gate, up and down, batch 2, cosine with
    11 warm-up steps, at most 250 examples and 375 steps; every edit that solved its task teaches the
    policy (r16 alpha 16, 8 epochs, batch 5, 5e-5). Reproduces: 20 -> 72.5 % on Llama-3.2-1B-Instruct.
    """
    return ArcOuterSettings()


def arc_small() -> ArcOuterSettings:
    """For the embedded model on a CPU and small grids: a digit a cell, at most 32 examples, the upper
    half of the layers, and learning rates ten times the paper's."""
    return ArcOuterSettings(
        inner=ArcInnerSettings(
            arc=ArcSettings(
                grid="compact",
                data=ArcDataSettings(limit=32),
                short_prompt=True,
                oracle_learning_rate=1e-3,
            ),
            lora=LoraSettings(rank=32, alpha=32, layers="upper-half"),
            train=TrainSettings(
                learning_rate=1e-3,
                epochs=2,
                batch_size=2,
                schedule="cosine",
                warmup_steps=4,
                max_tokens=1024,
            ),
            sampling=SamplingSettings(max_new_tokens=160),
            candidates=4,
        ),
        policy=PolicySettings(
            lora=LoraSettings(rank=16, alpha=16, layers="all"),
            train=TrainSettings(learning_rate=1e-4, epochs=8, batch_size=5, max_tokens=2048),
        ),
        contexts=6,
    )


ARC_PRESETS: dict[str, Callable[[], ArcOuterSettings]] = {
    "arc-paper": arc_paper,
    "arc-small": arc_small,
}


def inner_fast() -> dict[str, Any]:
    """Four epochs at twice the learning rate of `balanced`: half its time (docs/performance.md)."""
    return {"train": {"epochs": 4, "learning_rate": 2e-3}}


def inner_balanced() -> dict[str, Any]:
    """The defaults: all linear modules of the upper half, r32, 10 epochs at 1e-3 (docs/log.md)."""
    return {}


def inner_paper() -> dict[str, Any]:
    """The inner loop of the paper's release: q_proj and v_proj of all layers (PAPER.md)."""
    return {
        "lora": {"rank": 32, "alpha": 64.0, "target_modules": ["q_proj", "v_proj"], "layers": "all"},
        "train": {"learning_rate": 1e-3, "epochs": 10, "batch_size": 1},
    }


# How self-edits are trained: what differs from the defaults.
INNER_PRESETS: dict[str, Callable[[], dict[str, Any]]] = {
    "fast": inner_fast,
    "balanced": inner_balanced,
    "paper": inner_paper,
}
