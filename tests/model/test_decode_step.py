"""The step of fixed shape must give what the growing one gives, also from a graph.

No GPU is needed: `TapeGraph` records the operators of a step and repeats them on the recorded tensors,
as a CUDA graph repeats kernels, so that what changes from step to step must lie in the tensors.
"""

from __future__ import annotations

from contextlib import nullcontext
from unittest.mock import MagicMock, create_autospec

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoModelForCausalLM, BloomConfig, GPT2Config, LlamaConfig, MistralConfig

from selfedit.config import EngineSettings, LoraSettings, SamplingSettings
from selfedit.lora.bank import AdapterBank
from selfedit.lora.routing import Routing
from selfedit.model import cuda_graph, language_model
from selfedit.model.cache import growing_cache
from selfedit.model.cuda_graph import CaptureFailed, CudaGraph, GraphedStep
from selfedit.model.decode_step import FixedSteps, GrowingSteps, takes_fixed_steps
from selfedit.model.generate import _prefill, _Row, generate
from selfedit.model.language_model import LanguageModel
from selfedit.model.packed import Decoder
from selfedit.model.prompts import Rendered
from selfedit.testing import byte_tokenizer, tiny_model
from selfedit.types import Prompt

GREEDY = SamplingSettings(temperature=0, top_p=1, max_new_tokens=30)
SAMPLED = SamplingSettings(temperature=1.0, top_p=0.9, max_new_tokens=30)
TEXTS = ("a", "What is it?", "a longer prompt than the others", "b b")
# Rows leave one by one and some together: 9, 8, 6, 5, 4 (half), 3, 1 rows are live.
LIMITS = (1, 2, 2, 3, 5, 30, 17, 30, 30)
PROMPTS = [Prompt(TEXTS[i % 4], max_new_tokens=limit) for i, limit in enumerate(LIMITS)]
OWNERS = [2, 0, 0, 1, 1, 2, 0, 1, 2]

_aten = torch.ops.aten
# What makes the CPU wait for a GPU, or brings something over from it, and may not be captured.
WAITS = {
    _aten._local_scalar_dense,
    _aten.item,
    _aten.is_nonzero,
    _aten.nonzero,
    _aten.masked_select,
    _aten.equal,
    _aten.lift_fresh,
    _aten.lift_fresh_copy,
}


class Capturable(TorchDispatchMode):
    """Raises where an operator cannot be captured."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket in WAITS:
            raise RuntimeError(f"called a synchronizing operation: {func}")
        return func(*args, **(kwargs or {}))


class Tape(TorchDispatchMode):
    """Records operators, and repeats them on the tensors that they had."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, result))
        return result

    def repeat(self):
        for func, args, kwargs, result in self.calls:
            again = func(*args, **kwargs)
            for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class TapeGraph:
    """What CudaGraph is on a GPU. made: all graphs of a test."""

    def __init__(self, made: list[TapeGraph]):
        made.append(self)
        self.tape, self.replays, self.captured = Tape(), 0, False

    def warm_up(self, work):
        with Capturable():
            return work()

    def capture(self, work):
        with Capturable(), self.tape:
            output = work()
        self.captured = True
        return output.fill_(torch.nan)  # a capture computes nothing

    def replay(self):
        self.replays += 1
        self.tape.repeat()


def bank_of(model, count=3):
    lora = LoraSettings(rank=4, alpha=64, layers="upper-half")
    bank = AdapterBank(model.hf, lora, list(range(count)), num_layers=model.num_layers)
    bank.weights_KP.normal_(std=0.2, generator=torch.Generator().manual_seed(0))
    return bank


def write(model, sampling, graph=None, bank=None, prompts=PROMPTS, said=None):
    said = [] if said is None else said
    return generate(
        model.decoder,
        model.tokenizer,
        [model.render(prompt) for prompt in prompts],
        sampling,
        list(range(len(prompts))),
        bank=bank,
        owners=None if bank is None else OWNERS,
        graph=graph,
        status=said.append,
    )


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
    assert expected[2] in ("yes", "no")
    assert said == []
    assert any(graph.captured for graph in made)


def test_a_long_reply_fills_the_room(tiny):
    long = GREEDY.model_copy(update={"max_new_tokens": 200})
    made = []
    (expected,) = write(tiny, long, prompts=[Prompt("a")])
    assert write(tiny, long, lambda: TapeGraph(made), prompts=[Prompt("a")]) == [expected]
    assert len(expected) > 100
    assert len(made) == 1


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("adapters", [False, True])
def test_logits_equal_the_growing_step_and_the_whole_pass(tiny, adapters, graph):
    """Scripted departures, through two compactions; also against each row's text run from its start."""
    ids = [(1, 2, 3), (4,), (5, 6, 7, 8, 9), (1, 2, 3), (10, 11)]
    owners = [0, 1, 1, 2, 2]
    rows = [
        _Row(i, Rendered(prompt), owner, torch.Generator(), 8)
        for i, (prompt, owner) in enumerate(zip(ids, owners, strict=True))
    ]
    # keep, by place among the last call's rows
    script = [[0, 1, 2, 3, 4], [0, 1, 3, 4], [1, 2, 3], [0, 1, 2], [0, 2], [0, 1], [1], [0]]
    made = []
    bank = bank_of(tiny) if adapters else None
    with torch.inference_mode(), bank.attached() if bank else nullcontext():
        both = []
        for fixed in (False, True):
            cache = growing_cache(tiny.hf.config)
            _, mask = _prefill(tiny.decoder, rows, cache, bank)
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
        assert [g.captured for g in made] == [True, False, False]
        assert made[0].replays == 2


class Refusing(TapeGraph):
    def capture(self, work):
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore")


class Waiting(TapeGraph):
    def warm_up(self, work):
        raise RuntimeError("called a synchronizing CUDA operation")


class Wrong(TapeGraph):
    """Replays with other keys, values and logits."""

    def replay(self):
        super().replay()
        for func, args, _, _ in self.tape.calls:
            if func.overloadpacket is _aten.index_copy_:
                args[0].index_fill_(args[1], args[2], 0.5)
        self.tape.calls[-1][-1].mul_(1.01)


class WrongInOneRow(TapeGraph):
    def replay(self):
        super().replay()
        self.tape.calls[-1][-1][3] += 0.1


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Refusing, "CUDA error: operation not permitted when stream is capturing"),
        (Waiting, "called a synchronizing CUDA operation"),
        (Wrong, "its first replay gave other logits than the step itself"),
        (WrongInOneRow, "its first replay gave other logits than the step itself"),
    ],
)
def test_without_a_graph_that_fails(kind, reason):
    """The texts are the same, it is said once, and nothing is captured again."""
    model = tiny_model()
    made, said = [], []
    expected = write(model, SAMPLED)
    assert write(model, SAMPLED, lambda: kind(made), said=said) == expected
    assert said == [f"writing without CUDA graphs, which is slower: {reason}"]
    assert len(made) == 1
    assert not takes_fixed_steps(model.decoder)
    assert write(model, SAMPLED, lambda: kind(made), said=said) == expected
    assert (len(made), len(said)) == (1, 1)


@pytest.mark.parametrize("hidden", [False, True])
def test_a_capture_without_memory_halves_the_batch(tiny, hidden):
    """Also where what is raised in the end is that the capture became invalid."""

    class Greedy(TapeGraph):
        def capture(self, work):
            if work().shape[0] <= 3:
                return super().capture(work)
            try:
                raise torch.OutOfMemoryError("CUDA out of memory")
            except torch.OutOfMemoryError:
                if hidden:
                    raise RuntimeError("CUDA error: capture invalidated")  # noqa: B904
                raise

    made, said = [], []
    prompts = [Prompt(text) for text in (*TEXTS, *TEXTS)]
    expected = write(tiny, GREEDY, prompts=prompts)
    assert write(tiny, GREEDY, lambda: Greedy(made), prompts=prompts, said=said) == expected
    assert [" does not fit into memory" in text for text in said] == [True] * len(said)
    assert len(said) == 3  # eight rows, and twice four
    assert any(graph.captured for graph in made)
    assert takes_fixed_steps(tiny.decoder)


def test_logits_that_are_no_numbers_are_no_mismatch():
    """An adapter that diverged does not keep the others from a graph."""
    made = []
    logits = torch.tensor([[1.0, 2.0], [torch.nan, torch.inf]])
    step = GraphedStep(lambda: logits * 1, TapeGraph(made))
    for _ in range(4):
        assert step().nan_to_num().equal(logits.nan_to_num())
    assert made[0].replays == 2


# Each with the reason why graphs are made or not.
SMALL = {
    "vocab_size": 259,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "initializer_range": 0.2,
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
        pytest.param(BloomConfig(**SMALL), "eager", None, None, id="positions-from-the-mask"),
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
    assert fixed is None or takes_fixed_steps(model.decoder) == fixed
    expected = write(model, GREEDY)
    assert write(model, GREEDY, lambda: TapeGraph(made), said=said) == expected
    assert len(set(expected)) > 4
    if graphs is not None:
        assert any(graph.captured for graph in made) == graphs
    assert len(said) == (fixed is True and not graphs)


def test_a_probe_that_finds_no_memory_says_nothing_about_the_model(monkeypatch):
    model = tiny_model()
    monkeypatch.setattr(Decoder, "device", property(lambda self: torch.device("cpu")))

    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as context:
        context.setattr(model.decoder, "stack", full)
        with pytest.raises(torch.OutOfMemoryError):
            takes_fixed_steps(model.decoder)
    assert takes_fixed_steps(model.decoder)


@pytest.mark.parametrize(
    ("device", "engine", "expected"),
    [
        ("cuda", EngineSettings(), True),
        ("cuda", EngineSettings(cuda_graphs=False), False),
        ("cpu", EngineSettings(), False),
        ("mps", EngineSettings(), False),
    ],
)
def test_graphs_are_made_on_cuda_unless_turned_off(monkeypatch, device, engine, expected):
    model = tiny_model()
    model.engine = engine
    given = {}
    monkeypatch.setattr(LanguageModel, "device", property(lambda self: device))
    monkeypatch.setattr(language_model, "generate", lambda *args, **kwargs: given.update(kwargs) or [])
    model.generate([], GREEDY, [])
    assert (given["graph"] is not None) == expected


class Cuda:
    """torch.cuda as far as CudaGraph calls it, with its signatures; log: what was done, in order."""

    def __init__(self, monkeypatch):
        self.log, self.stream_now, self.mode = [], "main", 0
        fake = MagicMock()
        fake.Stream = create_autospec(torch.cuda.Stream, side_effect=lambda device: self.side)
        self.side = MagicMock()
        self.side.wait_stream.side_effect = lambda other: self.log.append("side waits")
        self.main = MagicMock()
        self.main.wait_stream.side_effect = lambda other: self.log.append("main waits")
        fake.current_stream = create_autospec(torch.cuda.current_stream, return_value=self.main)
        fake.stream = create_autospec(torch.cuda.stream, side_effect=self.on)
        fake.device = create_autospec(torch.cuda.device, side_effect=lambda device: nullcontext())
        fake.graph = create_autospec(torch.cuda.graph, side_effect=self.capturing)
        fake.get_sync_debug_mode = lambda: self.mode
        fake.set_sync_debug_mode = create_autospec(
            torch.cuda.set_sync_debug_mode, side_effect=lambda mode: setattr(self, "mode", mode)
        )
        self.fails_at_end = False
        monkeypatch.setattr(cuda_graph.torch, "cuda", fake)

    def on(self, stream):
        cuda = self

        class On:
            def __enter__(self):
                self.before, cuda.stream_now = (
                    cuda.stream_now,
                    "side" if stream is cuda.side else "main",
                )

            def __exit__(self, *args):
                cuda.stream_now = self.before

        return On()

    def capturing(self, graph, **kwargs):
        cuda = self

        class Capturing:
            def __enter__(self):
                cuda.log.append("capture")
                cuda.stream_now = "side"

            def __exit__(self, *args):
                if cuda.fails_at_end:
                    raise RuntimeError("CUDA error: capture invalidated")
                cuda.stream_now = "main"

        assert kwargs["stream"] is self.side
        return Capturing()


def test_a_cuda_graph_is_warmed_up_and_captured_on_a_side_stream(monkeypatch):
    """Against torch's signatures only: nothing here has run on a GPU."""
    cuda = Cuda(monkeypatch)
    graph = CudaGraph(torch.device("cuda"))

    def work():
        cuda.log.append(f"work on {cuda.stream_now}, waiting {cuda.mode}")
        return torch.zeros(1)

    graph.warm_up(work)
    assert cuda.log == ["side waits", "work on side, waiting error", "main waits"]
    assert (cuda.stream_now, cuda.mode) == ("main", 0)
    cuda.log.clear()
    graph.capture(work)
    assert cuda.log == ["capture", "work on side, waiting 0"]
    graph.replay()
    graph._graph.replay.assert_called_once_with()
    cuda.fails_at_end = True
    with pytest.raises(RuntimeError, match="invalidated"):
        graph.capture(work)
    assert cuda.stream_now == "main"

    def wait():
        raise RuntimeError("called a synchronizing CUDA operation")

    with pytest.raises(CaptureFailed, match="synchronizing"):
        GraphedStep(wait, graph)()
    assert (cuda.stream_now, cuda.mode) == ("main", 0)
