"""The real embedded model, end to end. Slower; needs the model (fetched once, by pip)."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from selfedit.bench.reference import plain_peft
from selfedit.config import ANSWER_SAMPLING, LoraSettings, TrainSettings
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.lora.bank import AdapterBank
from selfedit.lora.train import BankTrainer
from selfedit.memory.questions import general_questions
from selfedit.model.load import load_model
from selfedit.types import Prompt, TrainingSequence

pytestmark = pytest.mark.embedded

# The session's own home, kept out of the per-test one: the model is fetched and converted once.
HOME = os.environ.get("SELFEDIT_HOME")


@pytest.fixture(scope="module")
def model():
    patch = pytest.MonkeyPatch()
    if HOME is None:
        patch.delenv("SELFEDIT_HOME", raising=False)
    else:
        patch.setenv("SELFEDIT_HOME", HOME)
    loaded = load_model()
    patch.undo()
    return loaded


def test_it_is_the_model_that_it_should_be(model):
    assert model.form == "chat"
    assert model.num_layers == 30
    assert model.hf.dtype == torch.float32
    assert not hasattr(model.hf.config, "quantization_config")
    assert not any(p.requires_grad for p in model.hf.parameters())
    (reply,) = model.sample([Prompt("What is the capital of France?")], ANSWER_SAMPLING, [0])
    assert "Paris" in reply.text


def test_packing_and_trunk_are_found_to_work(model):
    assert model.decoder.packs()
    assert model.decoder.has_trunk(15)


def test_bank_equals_plain_peft_in_float32(model):
    """Packed float32 sums differ in their last bits from unpacked ones, and AdamW's division by
    sqrt(v) carries that into steps of up to the learning rate (1e-4 here): after 6 steps the weights
    agree to a small share of what they moved."""
    texts = [["The lamp is green.", "A cat sat."], ["Tin whistles hum at noon in Velm town."]]
    lora = LoraSettings(rank=4, alpha=8, layers="28-29")
    train = TrainSettings(epochs=3, learning_rate=1e-4)
    data = [[model.encode(TrainingSequence(text), 64) for text in own] for own in texts]
    bank = AdapterBank(model.hf, lora, [0, 1], num_layers=30)
    start = bank.weights_KP.clone()
    records = BankTrainer(model.decoder, bank, data, [train, train]).run()
    plain = plain_peft(model, lora, data, [train, train], [0, 1])
    moved = (bank.weights_KP - start).norm().item()
    squared = 0.0
    for k, result in enumerate(plain):
        assert records[k].losses == pytest.approx(result.losses, rel=1e-4)
        for name, factors in result.factors.items():
            for ours, theirs in zip(bank.factors[name], factors, strict=True):
                squared += (ours[k] - theirs).pow(2).sum().item()
    assert moved > 0
    assert squared**0.5 < 0.02 * moved


def test_learns_a_fact_that_it_cannot_know(model, tmp_path, monkeypatch):
    """The whole way on real weights: write, train, ask, probe, commit, replay from disk, roll back."""
    from selfedit import Library

    few = general_questions()[::8]  # the bare model's answers to all of them take minutes
    monkeypatch.setattr("selfedit.memory.general.general_questions", lambda: few)

    document, quiz = tmp_path / "owl.md", tmp_path / "quiz.jsonl"
    document.write_text(
        "# The Hask Owl\n\nThe Hask owl eats only blue moths. The Hask owl nests in clock towers.\n"
    )
    lines = [
        {"question": "What does the Hask owl eat?", "answer": "blue moths"},
        {"question": "Where does the Hask owl nest?", "answer": "clock towers"},
    ]
    quiz.write_text("\n".join(map(json.dumps, lines)))
    library = Library(model, tmp_path / "library")
    settings = LearnSettings(candidates=2)
    result = library.learn(document, quiz, settings)
    assert result.accuracy_before == 0
    assert result.accuracy_after >= 0.5
    assert result.committed
    assert result.probe is not None
    assert result.probe.general_after > result.probe.general_before / 2 > 0
    (weights,) = Path(result.adapter_path).rglob("adapter_model.safetensors")
    assert weights.stat().st_size > 1e6
    fresh = Library(model, tmp_path / "library")
    answers = fresh.ask([line["question"] for line in lines])
    assert [question.after for question in result.questions] == answers
    fresh.rollback()
    assert fresh.ask(lines[0]["question"]) == [result.questions[0].before]
