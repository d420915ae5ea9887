"""Tokenising is measured as training asks for it."""

from __future__ import annotations

from selfedit.bench.tokenising import measure_tokenising
from selfedit.config import LoraSettings, TrainSettings
from selfedit.types import TrainingPlan, TrainingSequence


def test_a_sequence_is_tokenised_once_and_the_models_own_encoder_is_left_alone(tiny):
    shared = TrainingSequence("Herons are blue.")
    plans = [
        TrainingPlan((TrainingSequence(f"Heron {i} eats {i} eels. " * 20), shared)) for i in range(4)
    ]
    own = tiny.encoder
    found = measure_tokenising(tiny, plans, LoraSettings(rank=2), TrainSettings(epochs=1))
    assert found["tokenised_per_sequence"] == 5 / 8
    assert min(found["tokenising"], found["gain_tokenised_once"]) > 0
    assert tiny.encoder is own
