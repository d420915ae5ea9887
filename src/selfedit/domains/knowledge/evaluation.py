"""Settings of an evaluation of knowledge, and how each regime trains by default."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from selfedit.config import EvaluationSettings, merged
from selfedit.domains.knowledge.settings import PLAIN, LearnSettings

Regime = Literal["single", "cpt", "cpt-full"]

# Paper, section 4.1 and appendix. single: one edit, and the inner loop's own training. cpt: all
# passages in one adapter, 5 edits each (v1). cpt-full: the same by full finetuning (v2). These two have
# no anchor, as there.
_CPT = {"learning_rate": 1e-3, "epochs": 3, "batch_size": 4, "anchor": PLAIN["train"]["anchor"]}
_CPT_FULL = {**_CPT, "learning_rate": 7e-5, "epochs": 1, "batch_size": 8}
REGIMES: dict[Regime, dict[str, Any]] = {
    "single": {"candidates": 1},
    "cpt": {"candidates": 5, "train": _CPT, "knowledge": PLAIN["knowledge"]},
    "cpt-full": {"candidates": 5, "train": _CPT_FULL, "knowledge": PLAIN["knowledge"]},
}


class KnowledgeEvaluation(EvaluationSettings):
    """Everything that determines an evaluation, apart from models, contexts, edits and grader."""

    added: ClassVar[dict[str, Any]] = {"best_of": 4}

    conditions: tuple[str, ...] = Field(("base", "in-context", "passage", "own"), min_length=1)
    regime: Regime = Field("single", description="An adapter a passage, one for all, or all weights.")
    inner: LearnSettings = Field(
        LearnSettings.model_validate({"candidates": 1, "knowledge": {"topic": True}}),
        description="candidates: edits of a passage (1 in `single`); seeds: trainings of a row.",
    )
    top_k: int = Field(3, ge=1, description="Passages in the prompt of `retrieval`.")
    best_of: int = Field(4, ge=2, le=1000, description="Edits that `best` chooses from.")

    @model_validator(mode="after")
    def _one_edit(self) -> KnowledgeEvaluation:
        if self.regime == "single" and self.inner.candidates != 1:
            raise ValueError("`single` samples one edit a context, as in the paper: candidates = 1")
        if self.regime != "single" and self.inner.knowledge.strategy == "directed":
            raise ValueError("`directed` edits ask each for a training of its own: regime = single")
        return self


def inner_values(regime: Regime, given: dict[str, Any]) -> dict[str, Any]:
    """Values of `LearnSettings`: the regime's own, overridden by what was given. Questions are asked
    under their topic, as in the paper, unless told otherwise."""
    values = merged(REGIMES[regime], given)
    return {**values, "knowledge": {"topic": True, **values.get("knowledge", {})}}
