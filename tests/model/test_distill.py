"""Context distillation: the teacher reads the passage, the adapted model does not."""

from __future__ import annotations

import pytest
import torch

from selfedit.config import AnchorSettings, DistillSettings, LoraSettings, TrainSettings
from selfedit.lora.sequences import NO_ANCHORS
from selfedit.model.tiny import tiny_model
from selfedit.types import Prompt, TrainingPlan, TrainingSequence
from tests.lora.anchored_reference import plain_anchored

LORA = LoraSettings(rank=2, layers="upper-half")
SOURCE = "The tower is tall. It was built in 1900."
TEXTS = (
    TrainingSequence("a tower of 1900", source=SOURCE),
    TrainingSequence("It is tall.", ends=True, source=SOURCE),
    TrainingSequence("It is tall.", Prompt("What do you know?"), source=SOURCE),
)
BOTH = TrainSettings(
    epochs=3, learning_rate=1e-2, distill=DistillSettings(weight=2.0, next_token=0.5, top_k=30)
)


@pytest.mark.parametrize("sequence", TEXTS)
@pytest.mark.parametrize("bos", [False, True])
def test_the_teacher_expects_what_the_bare_model_does_behind_the_passage(sequence, bos):
    model = tiny_model()
    if bos:
        model.tokenizer.add_special_tokens({"bos_token": "<|user|>"})
        model.tokenizer = _WithBeginning(model.tokenizer)
    (taught,) = model.training.taught(TrainingPlan((sequence,)), BOTH)
    assert (taught.hard, taught.soft_weight) == (0.5, 2.0)
    assert taught.soft.ids_Mk.shape == (taught.num_supervised, 30)
    if sequence.prompt is None:
        before = model.tokenizer(SOURCE + "\n\n")["input_ids"]
        own = taught.ids[1:] if bos else taught.ids
    else:
        before = model.render(Prompt(f"{SOURCE}\n\nWhat do you know?")).ids
        own = taught.ids[taught.spans[0][0] :]
    logits = model.hf(torch.tensor([[*before, *own]])).logits[0].log_softmax(1)
    end = len(before) + len(own)
    for i in range(1, taught.num_supervised + 1):  # from the end
        expected = logits[end - i - 1][taught.soft.ids_Mk[-i]]
        assert torch.allclose(taught.soft.log_Mk[-i], expected, atol=1e-9)


class _WithBeginning:
    """A tokenizer that begins each text with a token of its own."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def __getattr__(self, name):
        return getattr(self.tokenizer, name)

    def __call__(self, text, add_special_tokens=True):
        ids = self.tokenizer(text)["input_ids"]
        return {"input_ids": [self.bos_token_id, *ids] if add_special_tokens else ids}


def test_equals_plain_peft(tiny):
    """Beside a plan without passages, which has next-token loss alone."""
    plain = TrainingPlan((TrainingSequence("a bridge"), TrainingSequence("it is old")))
    bank, records = tiny.train([TrainingPlan(TEXTS), plain], LORA, BOTH, [3, 4])
    data = tiny.training.taught(TrainingPlan(TEXTS), BOTH)
    factors, losses, _ = plain_anchored(tiny, LORA, data, BOTH, 3, NO_ANCHORS)
    assert records[0].losses == pytest.approx(losses, abs=1e-9)
    for name, (down, up) in factors.items():
        assert (bank.factors[name][0][0] - down).abs().max() <= 1e-9
        assert (bank.factors[name][1][0] - up).abs().max() <= 1e-9
    alone, _ = tiny.train([plain], LORA, BOTH.untaught(), [4])
    assert (bank.weights_KP[1] - alone.weights_KP[0]).abs().max() <= 1e-9


def test_planned_memory_counts_the_teacher_without_running_it(tiny, monkeypatch):
    whole = BOTH.model_copy(update={"distill": DistillSettings(weight=1.0, top_k=999)})
    monkeypatch.setattr(tiny.decoder, "hidden", None)
    planned = [
        tiny.planned_memory(LORA, own)([TrainingPlan(TEXTS)], [0]) for own in (whole, whole.untaught())
    ]
    assert planned[0] > 1.2 * planned[1]


def test_with_an_anchor_both_have_one_width():
    anchor = AnchorSettings(weight=1.0, top_k=8)
    with pytest.raises(ValueError, match="same top_k"):
        TrainSettings(anchor=anchor, distill=DistillSettings(weight=1.0))
    TrainSettings(anchor=anchor, distill=DistillSettings(weight=1.0, top_k=8))
