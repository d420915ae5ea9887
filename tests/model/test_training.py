"""Training of plans: what their settings come to."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import torch

from selfedit.config import LoraSettings, TrainSettings
from selfedit.model.training import directed
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


def test_what_a_plan_comes_to_is_settled_once():
    train = TrainSettings(epochs=2, min_steps=50)
    plan = TrainingPlan((TrainingSequence("ab"),))
    once = directed(train, plan)
    assert once.epochs == 6  # three times as many at most
    assert directed(once, plan) == once


def test_a_merged_model_that_nobody_uses_is_gone_when_the_next_one_is_there(tiny):
    bank, _ = tiny.train(
        [TrainingPlan((TrainingSequence("ab"),))], LoraSettings(rank=2), TrainSettings(epochs=1), [0]
    )
    gc.disable()  # it comes when it comes
    try:
        first = tiny.merged(bank, 0, "first")
        gone = weakref.ref(first)
        del first
        assert gone() is not None  # it refers to itself
        tiny.merged(bank, 0, "second")
        assert gone() is None
    finally:
        gc.enable()
