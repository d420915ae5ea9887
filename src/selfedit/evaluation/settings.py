"""Settings of an evaluation, and how each regime trains unless told otherwise."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from selfedit.config import Settings
from selfedit.domains.arc.settings import ArcInnerSettings
from selfedit.domains.knowledge.settings import KnowledgeSettings, LearnSettings

Regime = Literal["single", "cpt", "cpt-full"]

# Paper, section 4.1 and appendix. single: one edit, and the inner loop's own training. cpt: all
# passages in one adapter, 5 edits each (v1). cpt-full: the same by full finetuning (v2).
REGIMES: dict[Regime, dict[str, Any]] = {
    "single": {"candidates": 1},
    "cpt": {"candidates": 5, "train": {"learning_rate": 1e-3, "epochs": 3, "batch_size": 4}},
    "cpt-full": {"candidates": 5, "train": {"learning_rate": 7e-5, "epochs": 1, "batch_size": 8}},
}


class EvaluationSettings(Settings):
    """Everything that determines an evaluation, apart from models, contexts, edits and grader."""

    conditions: tuple[str, ...] = Field(("base", "in-context", "passage", "own"), min_length=1)
    regime: Regime = "single"
    inner: LearnSettings = Field(
        LearnSettings(candidates=1, knowledge=KnowledgeSettings(topic=True)),
        description="candidates: edits of a passage (1 in `single`); seeds: trainings of a row.",
    )
    top_k: int = Field(3, ge=1, description="Passages in the prompt of `retrieval`.")
    resamples: int = Field(10_000, ge=100, description="Of the bootstrap.")

    @model_validator(mode="after")
    def _one_edit(self) -> EvaluationSettings:
        if self.regime == "single" and self.inner.candidates != 1:
            raise ValueError("`single` samples one edit a context, as in the paper: candidates = 1")
        return self


def inner_values(regime: Regime, given: dict[str, Any]) -> dict[str, Any]:
    """Values of `LearnSettings`: the regime's own with what was given instead. Questions are asked
    under their topic, as in the paper, unless the opposite is given."""
    values = {**REGIMES[regime], **given}
    values["train"] = {**REGIMES[regime].get("train", {}), **given.get("train", {})}
    values["knowledge"] = {"topic": True, **given.get("knowledge", {})}
    return values


class ArcEvaluationSettings(Settings):
    """Everything that determines an evaluation on ARC, apart from models and tasks."""

    conditions: tuple[str, ...] = Field(("in-context", "ttt", "oracle"), min_length=1)
    inner: ArcInnerSettings = Field(
        ArcInnerSettings(candidates=5), description="candidates: edits of a task (the paper: 5)."
    )
    resamples: int = Field(10_000, ge=100, description="Of the bootstrap.")
