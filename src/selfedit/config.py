"""Every setting, its default and its meaning, in exactly one place."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class Settings(BaseModel):
    """Base of all settings: frozen, and a mistyped name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def digest(self) -> str:
        """Hash of the values; a part of every identity that these settings determine."""
        return stable_hash(self.model_dump(mode="json"))


class LoraSettings(Settings):
    """Shape of an adapter (Hu et al., arXiv 2106.09685). Defaults: docs/log.md."""

    rank: int = Field(32, ge=1, description="Rank r of the update.")
    alpha: float = Field(64.0, gt=0, description="The update is scaled by alpha / rank.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout on the adapter's input.")
    target_modules: tuple[str, ...] = Field(
        ALL_LINEAR, min_length=1, description="Last names of the linear modules to adapt."
    )
    layers: str = Field(
        "upper-half", description='"all", "upper-half", or a range such as "15-29" (inclusive).'
    )


class TrainSettings(Settings):
    """How an adapter is trained: AdamW, linear decay to zero over its own steps."""

    learning_rate: float = Field(1e-3, gt=0, le=1)
    epochs: int = Field(10, ge=1, le=1000)
    batch_size: int = Field(1, ge=1, description="Sequences of one adapter in one step.")
    clip: float = Field(1.0, gt=0, description="Gradient norm of an adapter above this is scaled.")
    weight_decay: float = Field(0.0, ge=0)
    max_tokens: int = Field(1024, ge=8, description="Longer training sequences are cut to this.")


class SamplingSettings(Settings):
    """How text is drawn. Temperature 0 is greedy."""

    temperature: float = Field(1.0, ge=0)
    top_p: float = Field(0.95, gt=0, le=1)
    max_new_tokens: int = Field(256, ge=1)


ANSWER_SAMPLING = SamplingSettings(temperature=0.0, top_p=1.0, max_new_tokens=64)

Strategy = Literal[
    "implications",
    "implications-long",
    "implications-very-long",
    "rewrite",
    "self-qa",
    "chain-of-thought",
    "none",
    "sentences",
]


class KnowledgeSettings(Settings):
    """How documents become self-edits and self-edits become training sequences."""

    strategy: Strategy = "sentences"
    prompt_text: str | None = Field(
        None, description="Own instruction (--prompt-file); {title} and {context} are filled in."
    )
    restatements: int = Field(3, ge=1, description="Restatements of each sentence (`sentences`).")
    faithful: bool = Field(
        True, description="Drop restatements that lost a name or number, or invented a number."
    )
    max_sequences: int = Field(30, ge=1, description="Statements kept of one edit, passage apart.")
    passage_words: int = Field(200, ge=20, description="Documents are split into such passages.")
    topic: bool = Field(False, description="Put the document's title before each question.")


class LearnSettings(Settings):
    """Everything that determines what `learn` does, apart from model, documents and quiz."""

    knowledge: KnowledgeSettings = KnowledgeSettings()
    lora: LoraSettings = LoraSettings()
    train: TrainSettings = TrainSettings()
    sampling: SamplingSettings = Field(
        SamplingSettings(), description="Of the self-edits; what is not given depends on the strategy."
    )
    candidates: int = Field(4, ge=1, description="Self-edits written for each passage.")
    seeds: int = Field(1, ge=1, description="Trainings of each candidate; its reward is their mean.")
    seed: int = Field(0, ge=0)
    max_forgetting: float = Field(
        0.1, ge=0, le=1, description="Accuracy on older questions that a new version may lose."
    )
    split_from: int = Field(
        8, ge=2, description="With at least this many questions, half are held out for the report."
    )

    @model_validator(mode="before")
    @classmethod
    def _sampling_by_strategy(cls, values: Any) -> Any:
        """Fill in what is not given. The paper samples at T=1.0, top-p 0.95; a model so small that it
        needs `sentences` writes nonsense there, and one sentence is short (docs/log.md)."""
        if not isinstance(values, dict) or isinstance(values.get("sampling"), SamplingSettings):
            return values
        knowledge = values.get("knowledge") or {}
        given = knowledge if isinstance(knowledge, dict) else knowledge.model_dump()
        short = given.get("strategy", "sentences") == "sentences"
        default = {"temperature": 0.6, "max_new_tokens": 80} if short else {"max_new_tokens": 512}
        return {**values, "sampling": {**default, **(values.get("sampling") or {})}}


def stable_hash(value: Any) -> str:
    """Hex digest (128 bits) of a JSON-able value; equal values hash alike on every machine."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=_jsonable)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _jsonable(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"cannot hash a {type(value).__name__}")
