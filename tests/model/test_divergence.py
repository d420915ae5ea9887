"""KL(bare || adapted) against a slow reference: one text at a time, PEFT's arithmetic in float64."""

from __future__ import annotations

import pytest
import torch

from selfedit.config import LoraSettings
from selfedit.errors import ModelError
from selfedit.lora.bank import AdapterBank
from selfedit.model.divergence import Reader, divergence
from selfedit.model.tiny import tiny_model
from selfedit.types import Prompt, TrainingSequence

SAID = [
    TrainingSequence("Rivers are long.", Prompt("Tell me about rivers.")),
    TrainingSequence("No.", Prompt("Is it so?", kind="question")),
    TrainingSequence("a text of its own"),
    TrainingSequence("Twelve eggs, and then some more.", Prompt("How many?")),
]


def moved_bank(model, layers="all"):
    bank = AdapterBank(model.hf, LoraSettings(rank=4, alpha=8, layers=layers), [0, 1], num_layers=2)
    bank.weights_KP.normal_(std=0.2, generator=torch.Generator().manual_seed(0))
    return bank


def reference(model, bank, k, sequence):
    """Merged weights, no batch, no trunk: the definition, written out."""
    tokens = model.encode(sequence, 512)
    ids = torch.tensor([tokens.ids])
    with torch.no_grad():
        bare = model.hf(ids).logits[0].log_softmax(-1)
        for target in bank.targets:
            down, up = bank.factors[target.name]
            target.linear.weight += bank.scaling * (down[k] @ up[k]).T
        try:
            adapted = model.hf(ids).logits[0].log_softmax(-1)
        finally:
            for target in bank.targets:
                down, up = bank.factors[target.name]
                target.linear.weight -= bank.scaling * (down[k] @ up[k]).T
    each = [(bare[i - 1].exp() * (bare[i - 1] - adapted[i - 1])).sum() for i in tokens.supervised]
    return float(torch.stack(each).mean())


@pytest.mark.parametrize("layers", ["all", "upper-half"])
def test_divergence_equals_the_definition(layers):
    model = tiny_model()
    bank = moved_bank(model, layers)
    for k in (0, 1):
        expected = [reference(model, bank, k, sequence) for sequence in SAID]
        assert min(expected) > 1e-4
        assert model.divergence(SAID, bank, k) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_batches_padding_and_an_untouched_adapter_change_nothing(tiny, monkeypatch):
    bank = moved_bank(tiny)
    data = [tiny.encode(sequence, 512) for sequence in SAID]
    done: list[int] = []
    together = tiny.divergence(SAID, bank, 1, on_done=done.append)
    assert sum(done) == len(SAID)
    readers = Reader(tiny.decoder), Reader(tiny.decoder, bank, 1)
    assert divergence(*readers, data, max_tokens=1) == pytest.approx(together, rel=1e-9)
    monkeypatch.setattr(tiny.decoder, "_packs", False)
    monkeypatch.setattr(tiny.decoder, "_trunk_ok", {})
    assert divergence(*readers, data) == pytest.approx(together, rel=1e-9)
    untouched = AdapterBank(tiny.hf, bank.settings, [0], num_layers=2)
    assert tiny.divergence(SAID, untouched) == [0.0] * len(SAID)


def test_another_model_is_read_beside_this_one_if_it_has_the_same_tokens(tiny):
    other = tiny_model(seed=1)
    forth, back = tiny.divergence(SAID, other=other), other.divergence(SAID, other=tiny)
    assert min(forth) > 0
    assert forth != pytest.approx(back)
    assert tiny.divergence(SAID, other=tiny) == [0.0] * len(SAID)
    other.tokenizer.add_tokens(["<|new|>"])
    with pytest.raises(ModelError, match="different tokenizers"):
        tiny.divergence(SAID, other=other)
