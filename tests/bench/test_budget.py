"""What a step may do to a GPU at the 7B shape: kernels, host reads, copies to it. No GPU is needed.

The limits are what the step does today: whoever adds a kernel, a wait or a copy to every layer learns
it here. Two and three layers of the shape are enough, since all layers are alike.
"""

from __future__ import annotations

from importlib import import_module

import pytest
import torch

from benchmarks.roofline import Counting, as_on_a_gpu, decoding_step, model_of, training_step
from selfedit.bench.shapes import shape_config
from selfedit.config import LoraSettings, SamplingSettings, TrainSettings
from selfedit.lora import desk
from selfedit.lora.optimizer import StackedAdamW
from selfedit.model import answer_scores, divergence
from selfedit.model.language_model import LanguageModel
from selfedit.types import Prompt, TrainingPlan, TrainingSequence

ALL = LoraSettings(layers="all")


def with_layers(count):
    config = shape_config("qwen2.5-7b")
    config.num_hidden_layers = count
    config.layer_types = config.layer_types[:count]
    return model_of(config)


@pytest.fixture(scope="module")
def short():
    return with_layers(2)


@pytest.fixture(scope="module")
def tall():
    return with_layers(3)


# Of a layer, and of all else: 74 + 28 x 231 = 6,542 and 23 + 28 x 68 = 1,927 at the whole depth. A
# training step waits for nothing; a decoding step for the tokens.
@pytest.mark.parametrize(
    ("step", "layer", "rest", "reads", "sends"),
    [(training_step, 231, 74, 0, 8), (decoding_step, 68, 23, 1, 1)],
)
def test_a_step_keeps_to_its_budget(short, tall, step, layer, rest, reads, sends):
    low, high = (step(model, ALL) for model in (short, tall))
    assert high.launches - low.launches <= layer, high.kernels - low.kernels
    assert low.launches - 2 * layer <= rest, low.kernels
    assert low.reads == high.reads == reads
    assert low.sends == high.sends <= sends


@pytest.mark.parametrize(("step", "reads"), [(training_step, 0), (decoding_step, 1)])
def test_reads_and_copies_do_not_follow_the_layers(short, tall, step, reads):
    """Nor on a card that has none of the newer kernels."""
    low, high = (step(model, ALL, hopper=False) for model in (short, tall))
    assert low.reads == high.reads == reads
    assert low.sends == high.sends


def test_dropout_asks_nothing_of_the_device(short, monkeypatch):
    """Its draws are the device's own; as many waits and copies as without it."""
    rand = torch.rand
    monkeypatch.setattr(torch, "rand", lambda shape, generator, device: rand(shape, device=device))
    monkeypatch.setattr(desk, "torch", _MetaGenerators)
    plain, drops = (
        training_step(short, ALL.model_copy(update={"dropout": share}), hopper=False)
        for share in (0.0, 0.1)
    )
    assert (drops.reads, drops.sends) == (plain.reads, plain.sends)
    assert drops.launches > plain.launches


class _MetaGenerators:
    """torch as `desk` uses it; there are no generators on the meta device."""

    Tensor, device = torch.Tensor, torch.device

    class Generator:
        device = torch.device("meta")

        def __init__(self, device):
            self.manual_seed = lambda seed: None


def test_a_device_without_float64_gets_none(short, monkeypatch):
    """Apple's. Training, texts, scores of answers, divergence."""
    model = model_of(short.hf.config, dtype=torch.float32)
    adam = import_module("torch.optim.adam")
    monkeypatch.setattr(adam, "_device_dtype_check_for_fused", lambda *_, **__: None)
    with as_on_a_gpu(hopper=False), Counting(float64=False) as counting:
        monkeypatch.setattr(desk, "optimizer_of", StackedAdamW)
        texts = (TrainingSequence("one text"), TrainingSequence("another"))
        plans = [TrainingPlan(texts), TrainingPlan(texts[:1])]
        bank, _ = model.train(plans, ALL, TrainSettings(epochs=1), [0, 1])
        prompts = [Prompt("a"), Prompt("a longer one")]
        greedy = SamplingSettings(temperature=0, top_p=1, max_new_tokens=3)
        model.sample(prompts, greedy, [0, 0], adapters=bank, owners=[0, 1])
        model.answer_scores(prompts, [" b", " c"], adapters=bank, owners=[0, 1])
        model.divergence(texts, bank, 1)
        assert counting.count.launches > 100
        with pytest.raises(TypeError, match="no float64"):
            torch.ones(1, device="meta").double()
        with pytest.raises(TypeError, match="no float64"):
            torch.ones(1, dtype=torch.float64).to("meta")


def test_readings_wait_once_a_pass(short, monkeypatch):
    """Not for each chunk of logits: texts of any length have as many waits and copies."""
    monkeypatch.setattr(answer_scores, "_CHUNK", 1)
    monkeypatch.setattr(divergence, "_CHUNK", 1)
    found = []
    for reply in (" b", " a longer reply"):
        with as_on_a_gpu(hopper=True), Counting() as counting:
            short.answer_scores([Prompt("a")], [reply])
            scores = counting.count.copy()
            short.divergence([TrainingSequence("a" + reply)], other=short)
        both = counting.count.since(scores)
        found.append([(own.reads, own.sends) for own in (scores, both)])
    assert found[0] == found[1]
    assert found[0][0][0] == 2  # log-probabilities, and whether each is the likeliest
    assert found[0][1][0] == 1


def test_no_tensor_is_placed_by_the_kind_of_device_alone(short, monkeypatch):
    """cuda:1 is of kind cuda, which is another card: what a model calls its device is for choosing."""
    monkeypatch.setattr(LanguageModel, "device", property(lambda self: "no device"))
    with as_on_a_gpu(hopper=True), Counting():
        texts = (TrainingSequence("one text"), TrainingSequence("another"))
        plans = [TrainingPlan(texts), TrainingPlan(texts[:1])]
        bank, _ = short.train(plans, ALL, TrainSettings(epochs=1), [0, 1])
        prompts = [Prompt("a"), Prompt("a longer one"), Prompt("a")]
        for temperature in (0, 1):
            sampling = SamplingSettings(temperature=temperature, max_new_tokens=3)
            short.sample(prompts, sampling, [0, 0, 0], adapters=bank, owners=[0, 1, 1], logprobs=True)
        short.answer_scores(prompts[:2], [" b", " c"], adapters=bank, owners=[0, 1])
        short.divergence(texts, bank, 1)
    assert bank.weights_KP.device == short.decoder.device
    with pytest.raises(RuntimeError, match="device"):
        torch.ones(1, device=short.device)


def test_what_is_counted_is_noticed():
    with Counting() as counting:
        x = torch.ones(4, 8, device="meta")
        x.T.unsqueeze(0)
        assert counting.count.launches == 1  # views are none
        bool(x.sum() > 0)
        x.cpu()
        torch.ones(3).to("meta")
        assert (counting.count.reads, counting.count.sends) == (2, 1)
