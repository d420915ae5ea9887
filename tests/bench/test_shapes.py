"""Models of known shapes: drawn as transformers draws them, once, alike on every call."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from selfedit.bench import shapes
from selfedit.bench.shapes import SHAPES, draw, shape_config, shaped_model
from selfedit.config import LoraSettings, TrainSettings
from selfedit.errors import InputError, ModelError
from selfedit.model.tiny import tiny_model
from selfedit.types import TrainingPlan, TrainingSequence

SMALL = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
KINDS = [("llama", True), ("llama", False), ("qwen2", True), ("qwen2", False)]


@pytest.fixture
def small(monkeypatch):
    """Adds shapes small enough for a test; the tokenizer is the tiny model's."""
    tokenizer = tiny_model().tokenizer
    monkeypatch.setattr(shapes, "fetch_embedded", lambda status: "nowhere")
    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", lambda name: tokenizer)
    for kind, tied in KINDS:
        monkeypatch.setitem(SHAPES, f"{kind}-{tied}", (kind, SMALL | {"tie_word_embeddings": tied}))


@pytest.mark.parametrize(("kind", "tied"), KINDS)
def test_a_shape_is_drawn_as_transformers_draws_it(small, kind, tied):
    config = shape_config(f"{kind}-{tied}")
    ours = draw(config, "cpu", "float32")
    theirs = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    assert type(ours) is type(theirs)
    assert (ours.lm_head.weight is ours.get_input_embeddings().weight) is tied
    buffers = dict(theirs.named_buffers())
    assert {name for name, _ in ours.named_buffers()} == buffers.keys()
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in ours.named_buffers())
    expected = dict(theirs.named_parameters())
    assert {name for name, _ in ours.named_parameters()} == expected.keys()
    for name, weight in ours.named_parameters():
        if weight.ndim == 1:  # norms are ones, biases zeros
            assert torch.equal(weight, expected[name])
        else:
            assert weight.std().item() == pytest.approx(config.initializer_range, rel=0.15)
            assert abs(weight.mean().item()) < 0.2 * weight.std().item()


@pytest.mark.parametrize(("kind", "tied"), KINDS)
def test_a_shape_trains_with_finite_losses(small, kind, tied):
    model = shaped_model(f"{kind}-{tied}", device="cpu")
    plans = [TrainingPlan((TrainingSequence("the tower was built in 1900"),))] * 2
    bank, records = model.train(plans, LoraSettings(rank=2), TrainSettings(epochs=2), [0, 1])
    assert not any(record.failure for record in records)
    # Small weights: the first loss is that of guessing among all tokens.
    guess = torch.tensor(float(SMALL["vocab_size"])).log().item()
    assert records[0].losses[0] == pytest.approx(guess, rel=0.1)
    assert bank.weights_KP.isfinite().all()
    assert model.name == f"shape:{kind}-{tied}"


def test_every_call_draws_the_same_weights_and_leaves_the_random_state(small):
    first = shaped_model("llama-True").hf.state_dict()
    torch.rand(1)
    state = torch.get_rng_state()
    second = shaped_model("llama-True").hf.state_dict()
    assert all(torch.equal(weight, second[name]) for name, weight in first.items())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("device", "dtype", "expected"),
    [
        ("cpu", "auto", torch.float32),
        ("cpu", "bfloat16", torch.bfloat16),
        ("cuda:1", "auto", torch.bfloat16),
        ("cuda:1", "float32", torch.float32),
    ],
)
def test_dtype_and_device_follow_what_is_asked(small, monkeypatch, device, dtype, expected):
    asked = []

    def drawn(config, place, chosen):
        asked.append((place, getattr(torch, chosen)))
        return draw(config, "cpu", chosen)

    monkeypatch.setattr(shapes, "draw", drawn)
    monkeypatch.setattr(shapes, "pick_device", lambda given: given)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (9, 0))
    model = shaped_model("qwen2-True", device=device, dtype=dtype)
    assert asked == [(device, expected)]
    assert model.hf.dtype == expected


def test_what_is_not_there_is_refused(small):
    with pytest.raises(InputError, match=r"qwen2\.5-0\.5b"):
        shaped_model("qwen3")
    with pytest.raises(ModelError, match="bfloat16"):
        shaped_model("llama-True", dtype="half")
    if not torch.cuda.is_available():
        with pytest.raises(ModelError, match="cuda"):
            shaped_model("llama-True", device="cuda")


@pytest.mark.parametrize(
    ("shape", "weights"),
    [("smollm2-135m", 134_515_008), ("qwen2.5-0.5b", 494_032_768), ("qwen2.5-7b", 7_615_616_512)],
)
def test_shapes_have_as_many_weights_as_the_published_models(shape, weights):
    with torch.device("meta"):
        hf = AutoModelForCausalLM.from_config(shape_config(shape))
    assert sum(weight.numel() for weight in hf.parameters()) == weights
