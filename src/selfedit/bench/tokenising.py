"""How often a text is tokenised before it is trained on, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from selfedit.config import LoraSettings, TrainSettings
from selfedit.loops.jobs import fitting
from selfedit.model.encoding import Encoder
from selfedit.model.language_model import LanguageModel
from selfedit.types import TrainingPlan


def measure_tokenising(
    model: LanguageModel, plans: Sequence[TrainingPlan], lora: LoraSettings, train: TrainSettings
) -> dict[str, Any]:
    """All that asks for the plans' tokens before the first step, with a fresh encoder.

    tokenised_per_sequence: how often a sequence is, in the mean, below one where plans share some.
    tokenising: seconds a self-edit. gain_tokenised_once: what it takes if nothing is kept, over that.
    """
    sequences = [sequence for plan in plans for sequence in plan.sequences]
    _before_training(model, plans[:1], lora, train, None)  # warms up
    spent, counts = zip(
        *(_before_training(model, plans, lora, train, n) for n in (None, 1)), strict=True
    )
    return {
        "tokenised_per_sequence": counts[0] / len(sequences),
        "tokenising": spent[0] / len(plans),
        "gain_tokenised_once": spent[1] / spent[0],
    }


def _before_training(
    model: LanguageModel,
    plans: Sequence[TrainingPlan],
    lora: LoraSettings,
    train: TrainSettings,
    at_hand: int | None,
) -> tuple[float, int]:
    """Seconds, and sequences that were tokenised. at_hand: tokens that are kept; None: the default."""
    options = {} if at_hand is None else {"at_hand": at_hand}
    before, model.encoder = model.encoder, Encoder(model.tokenizer, model.render, **options)
    start = time.perf_counter()
    try:
        for plan in plans:
            fitting(model, plan, train.max_tokens)
        for _ in range(2):  # the plan of the waves, and once more before a wave is trained
            model.planned_memory(lora, train)(plans, range(len(plans)), None)
        for plan in plans:
            model.training.taught(plan, train)
        return time.perf_counter() - start, model.encoder.tokenised
    finally:
        model.encoder = before
