"""Training of plans: what their settings come to."""

from __future__ import annotations

from dataclasses import replace

import torch

from selfedit.config import LoraSettings, TrainSettings
from selfedit.types import TrainingPlan, TrainingSequence


def test_a_plan_of_few_sequences_takes_as_many_steps_as_wanted(tiny):
    """Beside a longer one, and as if its epochs had been given."""
    own = [TrainingSequence(text) for text in ("ab", "cd", "ef")]
    plans = [TrainingPlan(tuple(own[:1])), TrainingPlan(tuple(own))]
    lora, train = LoraSettings(rank=2), TrainSettings(epochs=2, min_steps=5)
    bank, (short, long) = tiny.train(plans, lora, train, [0, 1])
    assert (len(short.losses), len(long.losses)) == (5, 6)
    given = [replace(plans[0], epochs=5), plans[1]]
    same, records = tiny.train(given, lora, TrainSettings(epochs=2), [0, 1])
    assert [record.losses for record in records] == [short.losses, long.losses]
    assert torch.equal(bank.weights_KP, same.weights_KP)
