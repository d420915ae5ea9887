"""One function for each experiment: a preset is a complete set of settings."""

from __future__ import annotations

from collections.abc import Callable

from selfedit.config import LoraSettings, PolicySettings, SamplingSettings, TrainSettings
from selfedit.domains.arc.settings import (
    ArcDataSettings,
    ArcInnerSettings,
    ArcOuterSettings,
    ArcSettings,
)


def arc_paper() -> ArcOuterSettings:
    """Few-shot learning as in the paper (section 4.2 and its appendix): one round of 11 tasks x 15
    edits, test-time training with LoRA r128 alpha 16 on q, v, gate, up and down, batch 2, cosine with
    11 warm-up steps, at most 250 examples and 375 steps; every edit that solved its task teaches the
    policy (r16 alpha 16, 8 epochs, batch 5, 5e-5). Reproduces: 20 -> 72.5 % on Llama-3.2-1B-Instruct.
    """
    return ArcOuterSettings()


def arc_small() -> ArcOuterSettings:
    """For the embedded model on a CPU and small grids: one digit per cell, at most 32 examples, the
    upper half of the layers, and learning rates ten times the paper's."""
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


PRESETS: dict[str, Callable[[], ArcOuterSettings]] = {
    "arc-paper": arc_paper,
    "arc-small": arc_small,
}
