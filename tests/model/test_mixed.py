"""Mixed precision: float32 models whose frozen products are of bfloat16 numbers."""

from __future__ import annotations

import copy

import pytest

from selfedit.config import LoraSettings, TrainSettings
from selfedit.errors import ModelError
from selfedit.forward.linear import MixedLinear
from selfedit.forward.slots import takes_slots
from selfedit.model import load
from selfedit.model.decode_step import takes_fixed_steps
from selfedit.model.load import load_model, pick_dtype
from selfedit.model.recompute import takes_cache
from selfedit.types import TrainingPlan, TrainingSequence
from tests.forward.test_linear import needs_mixed


@pytest.fixture
def folder(tiny, tmp_path):
    copy.deepcopy(tiny.hf).float().save_pretrained(tmp_path / "model")
    tiny.tokenizer.save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


def test_it_is_refused_where_there_are_no_products_for_it(monkeypatch):
    with pytest.raises(ModelError, match="not for cuda"):
        pick_dtype("mixed", "cuda")
    monkeypatch.setattr(load, "has_mixed", lambda: False)
    with pytest.raises(ModelError, match=r"no instructions.*use float32"):
        pick_dtype("mixed", "cpu")


@needs_mixed
def test_it_is_another_model_and_packs_as_the_exact_one(folder):
    exact, mixed = (load_model(folder, device="cpu", dtype=name) for name in ("float32", "mixed"))
    assert exact.identity[2] == "torch.float32"
    assert mixed.identity == [*exact.identity[:2], "torch.mixed", *exact.identity[3:]]
    assert (mixed.loaded_as["device"], mixed.loaded_as["dtype"]) == ("cpu", "mixed")
    with mixed.decoder.probing():  # a real model's states differ by more than a probe allows
        assert not any(isinstance(module, MixedLinear) for module in mixed.hf.modules())
    assert mixed.decoder.packs()
    assert mixed.decoder.has_trunk(1)
    assert mixed.decoder.shares_prompts(1)
    assert takes_slots(mixed.decoder)
    assert takes_cache(mixed.decoder)
    assert takes_fixed_steps(mixed.decoder)
    for other in (mixed, mixed.twin()):
        assert any(type(module) is MixedLinear for module in other.hf.modules())
        assert other.precision == "mixed"


@needs_mixed
def test_it_learns_what_the_exact_one_learns(folder):
    plan = TrainingPlan((TrainingSequence("The lamps of Orro burn thistle oil."),) * 2)
    lora, train = LoraSettings(rank=4), TrainSettings(epochs=20, learning_rate=1e-2)
    losses = []
    for name in ("float32", "mixed"):
        model = load_model(folder, device="cpu", dtype=name)
        bank, (record,) = model.train([plan], lora, train, [0])
        merged = model.merged(bank, 0, "with it")
        assert merged.precision == name
        losses.append(record.losses)
    assert losses[0] != losses[1]
    # bfloat16 has 8 bits, so that a product's inputs are off by 0.4 % at most. Adam's first steps make
    # more of it, since they go by signs.
    assert losses[1][0] == pytest.approx(losses[0][0], rel=0.004)
    learned = [own[0] - own[-1] for own in losses]
    assert learned[0] > 0.5
    assert learned[1] == pytest.approx(learned[0], rel=0.1)
