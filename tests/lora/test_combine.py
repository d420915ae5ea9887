"""Adapters side by side and summed, against each alone and against weights that they are added to."""

from __future__ import annotations

import pytest
import torch

from selfedit.config import ALL_LINEAR, LoraSettings, SamplingSettings, TrainSettings
from selfedit.lora.combine import over_each
from selfedit.types import Prompt, TrainingPlan, TrainingSequence

GREEDY = SamplingSettings(temperature=0.0, max_new_tokens=8)
TRAIN = TrainSettings(epochs=2, learning_rate=0.02)
WIDE = LoraSettings(rank=4, alpha=4, layers="all")
HIGH = LoraSettings(rank=2, alpha=8, target_modules=("up_proj", "q_proj"), layers="1-1")
PROMPTS = [Prompt("Who burns oil?", kind="question"), Prompt("Say something.")]


def adapter(model, text, lora=WIDE, seed=0):
    plan = TrainingPlan((TrainingSequence(text),))
    bank, _ = model.train([plan], lora, TRAIN, [seed])
    return bank


def logprobs(model, **how):
    scores = model.answer_scores(PROMPTS, [" a whale", " the lamp"], **how)
    return torch.tensor([score.logprob for score in scores], dtype=torch.float64)


def test_adapters_side_by_side_are_those_that_they_were(tiny):
    one, two = adapter(tiny, "Lamps burn oil."), adapter(tiny, "Boats are saffron.", seed=1)
    both = tiny.combine([one, two], [{1: 1.0}, {0: 1.0}])
    assert (both.weights_KP[0] == two.weights_KP[0]).all()
    assert (both.weights_KP[1] == one.weights_KP[0]).all()
    apart = [tiny.sample([p], GREEDY, [0], adapters=bank, owners=[0])[0].text
             for p, bank in zip(PROMPTS, (two, one), strict=True)]  # fmt: skip
    together = tiny.sample(PROMPTS, GREEDY, [0, 0], adapters=both, owners=[0, 1])
    assert [reply.text for reply in together] == apart


def test_a_sum_of_unlike_adapters_is_the_sum_of_their_updates(tiny):
    one, two = adapter(tiny, "Lamps burn oil."), adapter(tiny, "Boats are saffron.", HIGH, seed=1)
    both = tiny.combine([one, two], [{0: 0.5, 1: 2.0}, {1: 1.0}])
    assert both.settings.rank == 6
    for name, (down, up) in both.factors.items():
        wanted = torch.zeros_like(down[0] @ up[0])
        for bank, weight in ((one, 0.5), (two, 2.0)):
            if name in bank.factors:
                own_down, own_up = bank.factors[name]
                wanted += weight * bank.scaling * own_down[0] @ own_up[0]
        torch.testing.assert_close(down[0] @ up[0] * both.scaling, wanted)
    alone = logprobs(tiny, adapters=two, owners=[0, 0])
    torch.testing.assert_close(logprobs(tiny, adapters=both, owners=[1, 1]), alone)


def test_one_adapter_over_each_of_a_bank(tiny):
    """As each of them summed with it by itself."""
    texts = ["Lamps burn oil.", "Boats are saffron.", "Whales sleep."]
    plans = [TrainingPlan((TrainingSequence(text),)) for text in texts]
    bank, _ = tiny.train(plans, WIDE, TRAIN, range(3))
    before = bank.weights_KP.clone()
    other = adapter(tiny, "Answer in a word.", HIGH, seed=9)
    both = over_each(bank, other, num_layers=tiny.num_layers)
    assert (both.num_adapters, both.settings.rank) == (3, 6)
    for k in range(3):
        alone = adapter(tiny, texts[k], seed=k)
        wanted = tiny.combine([alone, other], [{0: 1.0, 1: 1.0}])
        for name, (down, up) in both.factors.items():
            own_down, own_up = wanted.factors[name]
            apart = own_down[0] @ own_up[0] * wanted.scaling
            assert (down[k] @ up[k] * both.scaling - apart).abs().max() <= 1e-9
    assert torch.equal(bank.weights_KP, before)


@pytest.mark.parametrize("modules", [("q_proj",), ("q_proj", "up_proj"), ALL_LINEAR])
def test_a_sum_of_unlike_adapters_can_be_saved(tiny, tmp_path, modules):
    """Its folder names the modules of both."""
    own = LoraSettings(rank=2, alpha=4, layers="0-0", target_modules=modules)
    other = HIGH.model_copy(update={"target_modules": ("v_proj", "down_proj")})
    both = over_each(
        adapter(tiny, "Lamps burn oil.", own),
        adapter(tiny, "Answer in a word.", other, seed=9),
        num_layers=tiny.num_layers,
    )
    tiny.save_adapter(both, 0, tmp_path / "sum")
    again = tiny.load_adapter(tmp_path / "sum")
    assert torch.equal(again.weights_KP, both.weights_KP)


def test_a_merged_model_says_what_the_adapter_says(tiny):
    bank = adapter(tiny, "Lamps burn oil.")
    bare = logprobs(tiny)
    merged = tiny.merged(bank, 0, "merged")
    assert (merged.revision, merged.training.teacher) == ("merged", tiny)
    torch.testing.assert_close(logprobs(merged), logprobs(tiny, adapters=bank, owners=[0, 0]))
    assert (logprobs(tiny) == bare).all()
    again = merged.merged(bank, 0, "twice")
    assert again.training.teacher is tiny  # held to the model that it began with
    assert not torch.allclose(logprobs(again), logprobs(merged))
