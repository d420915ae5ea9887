"""Settings of the few-shot domain."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from selfedit.config import (
    LARGEST_SEED,
    InnerSettings,
    LoraSettings,
    OuterSettings,
    PolicySettings,
    Rule,
    SamplingSettings,
    Settings,
    TrainSettings,
)
from selfedit.domains.bounds import EpochBounds

# 0.1 is a hundred times what AdamW tolerates on a LoRA adapter. A lower
# value may be a bad idea, which the reward teaches, but not an invalid edit.
MAX_LEARNING_RATE = 0.1

ArcGroup = Literal["basic", "size", "chain", "repeat"]


class ArcDataSettings(Settings):
    """What a model is trained on for one ARC task (arXiv 2506.10943, section 4.2)."""

    groups: tuple[ArcGroup, ...] = Field(
        ("basic", "size", "chain", "repeat"), description="Groups of augmentations."
    )
    limit: int = Field(250, ge=1, description="Training tasks of one ARC task, at most.")


class ArcBounds(Settings):
    """What a self-edit may ask for, where that is less than any edit may; the prompt says so."""

    rate_bounds: tuple[float, float] | None = Field(
        None, description="Lowest and highest learning rate of a self-edit; None: above 0, at most 0.1."
    )
    epoch_bounds: EpochBounds | None = Field(
        None, description="Fewest and most epochs of a self-edit; None: 1 to 1000."
    )

    @field_validator("rate_bounds")
    @classmethod
    def _rates_in_order(cls, bounds: tuple[float, float] | None) -> tuple[float, float] | None:
        if bounds is not None and not 1e-9 <= bounds[0] <= bounds[1] <= MAX_LEARNING_RATE:
            raise ValueError(f"two rates, in order, from 1e-9 to {MAX_LEARNING_RATE}")
        return bounds


class ArcSettings(Settings):
    """How a task of ARC becomes prompts, training sequences and queries (arXiv 2506.10943, 4.2)."""

    added: ClassVar[dict[str, Any]] = {"bounds": ArcBounds().identity()}

    grid: Literal["rows", "compact"] = Field(
        "rows",
        description="Grids as nested lists (the paper), or one digit per cell, one line per row.",
    )
    data: ArcDataSettings = Field(
        ArcDataSettings(), description="groups are the oracle's; a self-edit chooses its own."
    )
    short_prompt: bool = Field(
        False,
        description="Ask for a self-edit by one example, for models that long prompts confuse.",
    )
    constrained: bool = Field(
        False, description="Sample only self-edits of the right form, so that every edit is valid."
    )
    bounds: ArcBounds = Field(
        ArcBounds(), description="Of self-edits alone: the oracle may have any rate and epochs."
    )
    step_limit: int = Field(
        375, ge=1, description="A self-edit that asks for more steps fails, without being trained."
    )
    prediction: Literal["greedy", "voting"] = Field(
        "greedy", description="One answer to a test input, or two attempts by a vote over its views."
    )
    oracle_learning_rate: float = Field(
        1e-4, gt=0, le=MAX_LEARNING_RATE, description="Rate of the fixed best edit."
    )
    oracle_epochs: int = Field(2, ge=1, le=1000)
    seed: int = Field(
        0, ge=0, le=LARGEST_SEED, description="Seed of the training sets and of the voting views."
    )


class ArcInnerSettings(InnerSettings):
    """The inner loop of few-shot learning; the defaults are the paper's test-time training."""

    arc: ArcSettings = ArcSettings()
    lora: LoraSettings = LoraSettings(
        rank=128,
        alpha=16,
        target_modules=("q_proj", "v_proj", "gate_proj", "up_proj", "down_proj"),
        layers="all",
    )
    train: TrainSettings = Field(
        TrainSettings(
            learning_rate=1e-4,
            epochs=2,
            batch_size=2,
            schedule="cosine",
            warmup_steps=11,
            max_tokens=8192,
        ),
        description="A self-edit gives its own learning rate and epochs. Longer training sequences "
        "than max_tokens are left out, never cut.",
    )
    sampling: SamplingSettings = SamplingSettings(max_new_tokens=512)
    candidates: int = Field(15, ge=1, le=1000, description="Self-edits written for each task.")


class ArcOuterSettings(OuterSettings):
    """The outer loop of few-shot learning; the defaults are the paper's (Domain 2)."""

    inner: ArcInnerSettings = ArcInnerSettings()
    policy: PolicySettings = PolicySettings(
        lora=LoraSettings(rank=16, alpha=16, layers="all"),
        train=TrainSettings(learning_rate=5e-5, epochs=8, batch_size=5, max_tokens=8192),
    )
    rounds: int = Field(1, ge=1, le=10_000)
    contexts: int = Field(11, ge=1, description="Tasks of each round.")
    rule: Rule = "all-correct"
