"""What happens around a graph: warm-up, comparison, failures. No GPU is needed."""

from __future__ import annotations

import gc
import weakref
from contextlib import nullcontext
from unittest.mock import MagicMock, create_autospec

import pytest
import torch

from selfedit.config import EngineSettings
from selfedit.model import cuda_graph, decode_step, writing
from selfedit.model import generate as generate_module
from selfedit.model.cuda_graph import CaptureFailed, CudaGraph, GraphedStep
from selfedit.model.decode_step import FixedSteps, takes_fixed_steps
from selfedit.model.language_model import LanguageModel
from selfedit.model.tiny import tiny_model
from selfedit.types import Prompt
from tests.tape_graph import GREEDY, SAMPLED, TEXTS, TapeGraph, write


@pytest.fixture(autouse=True)
def small_batches_are_compacted(monkeypatch):
    monkeypatch.setattr(decode_step, "FEW_ROWS", 0)


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
            if func.overloadpacket is torch.ops.aten.index_copy_:
                args[0].index_fill_(args[1], args[2], 0.5)
        self.tape.calls[-1][-1].mul_(1.01)


class WrongInOneRow(TapeGraph):
    """By little more than rounding, which the other rows would hide."""

    def replay(self):
        super().replay()
        self.tape.calls[-1][-1][3] *= 1 + 2e-4


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Refusing, "CUDA error: operation not permitted when stream is capturing"),
        (Waiting, "called a synchronizing CUDA operation"),
        (Wrong, "the logits of its first replay differ from those of the step itself"),
        (WrongInOneRow, "the logits of its first replay differ from those of the step itself"),
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


@pytest.mark.parametrize("kind", [TapeGraph, Refusing])
def test_a_batch_leaves_nothing_behind(monkeypatch, kind):
    """The next one needs the memory of its cache; the garbage collector would come too late."""
    model, left = tiny_model(), []

    class Watched(FixedSteps):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            left.append(weakref.ref(self))

    monkeypatch.setattr(generate_module, "FixedSteps", Watched)
    gc.disable()
    try:
        write(model, GREEDY, lambda: kind([]))
        assert [steps() for steps in left] == [None]
    finally:
        gc.enable()


def test_logits_that_are_no_numbers_are_no_mismatch():
    """An adapter that diverged does not keep the others from a graph."""
    made = []
    logits = torch.tensor([[1.0, 2.0], [torch.nan, torch.inf]])
    step = GraphedStep(TapeGraph(made))
    for _ in range(4):
        assert step(lambda: logits * 1).nan_to_num().equal(logits.nan_to_num())
    assert made[0].replays == 2


def test_a_model_is_compared_once(monkeypatch):
    """Later graphs have one step before them, and no wait for a comparison."""
    model, made, compared = tiny_model(), [], []
    monkeypatch.setattr(cuda_graph, "_same", lambda a, b: compared.append(1) or True)
    expected = write(model, SAMPLED)
    assert write(model, SAMPLED, lambda: TapeGraph(made)) == expected
    assert len(made) > 1
    assert write(model, SAMPLED, lambda: TapeGraph(made)) == expected
    assert len(compared) == 1
    step, again = lambda: torch.ones(1, 1), GraphedStep(TapeGraph([]), known=True)
    again(step)
    assert not again.is_captured
    again(step)
    assert again.is_captured


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
    monkeypatch.setattr(writing, "generate", lambda *args, **kwargs: given.update(kwargs) or [])
    model.sample([], GREEDY, [])
    assert (given["graph"] is not None) == expected


class Cuda:
    """torch.cuda as far as CudaGraph calls it, with its signatures; log: what was done, in order."""

    def __init__(self, monkeypatch):
        cuda_graph._side_stream.cache_clear()
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
    CudaGraph(torch.device("cuda"))
    cuda_graph.torch.cuda.Stream.assert_called_once()

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
        GraphedStep(graph)(wait)
    assert (cuda.stream_now, cuda.mode) == ("main", 0)
