"""The step of fixed shape must give what the growing one gives, also from a graph."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from transformers import AutoModelForCausalLM, BloomConfig, GPT2Config, LlamaConfig, MistralConfig

from selfedit.config import LoraSettings
from selfedit.forward.cache import growing_cache
from selfedit.forward.packed import Decoder
from selfedit.lora.bank import AdapterBank
from selfedit.lora.routing import Routing
from selfedit.model import decode_step
from selfedit.model.decode_step import FixedSteps, GrowingSteps, takes_fixed_steps
from selfedit.model.language_model import LanguageModel
from selfedit.model.prefill import prefill
from selfedit.model.tiny import byte_tokenizer, tiny_model
from selfedit.types import Prompt
from tests.tape_graph import GREEDY, LIMITS, SAMPLED, TEXTS, TapeGraph, write


def bank_of(model, count=3):
    lora = LoraSettings(rank=4, alpha=64, layers="upper-half")
    bank = AdapterBank(model.hf, lora, list(range(count)), num_layers=model.num_layers)
    bank.weights_KP.normal_(std=0.2, generator=torch.Generator().manual_seed(0))
    return bank


@pytest.fixture(autouse=True)
def small_batches_are_compacted(monkeypatch):
    monkeypatch.setattr(decode_step, "FEW_ROWS", 0)


@pytest.fixture
def over_a_grid(monkeypatch):
    """Adapters as on a GPU: no products stretch by stretch."""
    monkeypatch.setattr("selfedit.lora.routing._stretches", lambda owners, lengths: None)


@pytest.mark.parametrize("adapters", [False, True])
@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED])
def test_the_same_texts_from_graphs(tiny, sampling, adapters):
    made, said = [], []
    bank = bank_of(tiny) if adapters else None
    expected = write(tiny, sampling, bank=bank)
    assert write(tiny, sampling, lambda: TapeGraph(made), bank, said=said) == expected
    assert len(set(expected)) > 4
    assert said == []
    # Nine rows, then four or fewer (half), then one or two.
    assert 2 <= len(made) <= 4
    assert all(graph.replays > 1 for graph in made if graph.captured)
    assert sum(graph.captured for graph in made) >= 2


def test_a_small_batch_keeps_its_graph(tiny, monkeypatch):
    """Rows that have ended cost less there than another capture."""
    made = []
    expected = write(tiny, SAMPLED)
    monkeypatch.setattr(decode_step, "FEW_ROWS", len(LIMITS))
    assert write(tiny, SAMPLED, lambda: TapeGraph(made)) == expected
    assert [graph.captured for graph in made] == [True]


def test_the_same_texts_from_graphs_over_a_grid(tiny, over_a_grid):
    made, said, bank = [], [], bank_of(tiny)
    assert Routing.of_lengths([0, 1], [1, 1], 2, torch.device("cpu")).runs is None
    expected = write(tiny, SAMPLED, bank=bank)
    assert write(tiny, SAMPLED, lambda: TapeGraph(made), bank, said=said) == expected
    assert said == []
    assert any(graph.captured for graph in made)


def test_a_few_of_many_adapters_over_a_grid(tiny, over_a_grid):
    """The rows' adapters are picked out of the bank inside the graph, and their set shrinks."""
    made, said, bank = [], [], bank_of(tiny, count=12)
    expected = write(tiny, GREEDY, bank=bank)
    assert write(tiny, GREEDY, lambda: TapeGraph(made), bank, said=said) == expected
    assert said == []


def test_the_same_texts_where_replies_are_held_to_a_pattern(tiny):
    pytest.importorskip("llguidance")
    prompts = [
        Prompt(text, pattern=pattern, max_new_tokens=30)
        for text, pattern in zip(TEXTS, ("[0-9]{1,9}", "", "(yes|no)", "[a-f ]{12,20}"), strict=True)
    ]
    made, said = [], []
    expected = write(tiny, SAMPLED, prompts=prompts)
    assert write(tiny, SAMPLED, lambda: TapeGraph(made), prompts=prompts, said=said) == expected
    assert expected[2].text in ("yes", "no")
    assert said == []
    assert any(graph.captured for graph in made)


def test_a_long_reply_fills_the_room(tiny):
    long = GREEDY.model_copy(update={"max_new_tokens": 200})
    made = []
    (expected,) = write(tiny, long, prompts=[Prompt("a")])
    assert write(tiny, long, lambda: TapeGraph(made), prompts=[Prompt("a")]) == [expected]
    assert len(expected.text) > 100
    assert len(made) == 1


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("adapters", [False, True])
def test_logits_equal_the_growing_step_and_the_whole_pass(tiny, adapters, graph):
    """Scripted departures, through two compactions; also against each row's text run from its start."""
    ids = [(1, 2, 3), (4,), (5, 6, 7, 8, 9), (1, 2, 3), (10, 11)]
    owners = [0, 1, 1, 2, 2]
    # keep, by place among the last call's rows
    script = [[0, 1, 2, 3, 4], [0, 1, 3, 4], [1, 2, 3], [0, 1, 2], [0, 2], [0, 1], [1], [0]]
    made = []
    decode_step._graphs_are_right.discard(tiny.decoder)
    bank = bank_of(tiny) if adapters else None
    with torch.inference_mode(), bank.attached() if bank else nullcontext():
        both = []
        for fixed in (False, True):
            cache = growing_cache(tiny.hf.config)
            _, mask = prefill(tiny.decoder, ids, cache, bank, owners)
            steps = GrowingSteps(tiny.decoder, cache, mask, bank, owners)
            if fixed:
                steps = FixedSteps(
                    tiny.decoder,
                    cache,
                    mask,
                    bank,
                    owners,
                    new=len(script),
                    graph=(lambda: TapeGraph(made)) if graph else None,
                    status=pytest.fail,
                )
            both.append(steps)
        live, texts, sizes = list(range(5)), [list(prompt) for prompt in ids], []
        for t, keep in enumerate(script):
            live = [live[n] for n in keep]
            for n in live:
                texts[n].append((7 * t + n) % 200)
            grown, fixed = (steps(keep, [texts[n][-1] for n in live]) for steps in both)
            sizes.append(len(both[1]._owners))
            assert grown.shape == fixed.shape == (len(live), 259)
            assert (grown - fixed).abs().max() <= 1e-9
            for n, logits in zip(live, fixed, strict=True):
                if bank is not None:
                    bank.routing = Routing.of_lengths(
                        [owners[n]], [len(texts[n])], 3, torch.device("cpu")
                    )
                whole = tiny.hf(input_ids=torch.tensor([texts[n]])).logits[0, -1]
                assert (whole - logits).abs().max() <= 1e-9
    assert sizes == [5, 5, 5, 5, 2, 2, 1, 1]
    if graph:
        assert [g.captured for g in made] == [True, True, True]  # known to be right after the first
        assert made[0].replays == 2


# Each with the reason why graphs are made or not.
SMALL = {
    "vocab_size": 259,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "initializer_range": 0.2,
    "tie_word_embeddings": False,
    "eos_token_id": None,
    "bos_token_id": None,
    "pad_token_id": None,
}
LLAMA = {**SMALL, "intermediate_size": 64, "num_key_value_heads": 1}
DYNAMIC = {
    "rope_type": "dynamic",
    "rope_theta": 10000.0,
    "factor": 2.0,
    "original_max_position_embeddings": 32,
}


@pytest.mark.parametrize(
    ("config", "attention", "fixed", "graphs"),
    [
        pytest.param(LlamaConfig(**LLAMA), "eager", True, True, id="written-out-attention"),
        pytest.param(GPT2Config(**SMALL), "sdpa", True, True, id="learned-positions"),
        pytest.param(BloomConfig(**SMALL), "eager", False, False, id="positions-from-the-mask"),
        pytest.param(MistralConfig(**LLAMA, sliding_window=4), "sdpa", False, False, id="window"),
        pytest.param(LlamaConfig(**LLAMA, rope_parameters=DYNAMIC), "sdpa", True, False, id="waits"),
    ],
)
def test_other_architectures_give_the_same(config, attention, fixed, graphs):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        hf = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    model = LanguageModel(hf, byte_tokenizer(), name="x", revision="x", form="chat")
    made, said = [], []
    assert takes_fixed_steps(model.decoder) == fixed
    expected = write(model, GREEDY)
    assert write(model, GREEDY, lambda: TapeGraph(made), said=said) == expected
    assert len(set(expected)) > 4
    assert any(graph.captured for graph in made) == graphs
    assert len(said) == (fixed and not graphs)


def test_a_cache_with_windows_is_not_even_tried(monkeypatch):
    hf = AutoModelForCausalLM.from_config(MistralConfig(**LLAMA, sliding_window=4096))
    monkeypatch.setattr(decode_step, "_try_fixed_steps", pytest.fail)
    assert not takes_fixed_steps(Decoder(hf))


def test_a_probe_that_finds_no_memory_says_nothing_about_the_model(monkeypatch):
    model = tiny_model()

    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as context:
        context.setattr(model.decoder, "stack", full)
        with pytest.raises(torch.OutOfMemoryError):
            takes_fixed_steps(model.decoder)
    assert takes_fixed_steps(model.decoder)
