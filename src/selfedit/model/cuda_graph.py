"""A decode step as a CUDA graph: one launch instead of one for each of its kernels.

Capturing has not been run on a GPU yet; the flow around it is tested on the CPU with a graph that
records operators.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Protocol

import torch
from torch import Tensor

from selfedit.forward.memory import is_out_of_memory

# Steps that run eagerly before one is captured: they load kernels and make workspaces. A model whose
# graphs have been found right needs one, since another number of rows may have other kernels.
WARM_UP, WARM_UP_AGAIN = 2, 1


class Graph(Protocol):
    """Work on fixed tensors, recorded once and repeated without Python."""

    def warm_up(self, work: Callable[[], Tensor]) -> Tensor:
        """Run `work` eagerly under the conditions of a capture; raises if it could not be captured."""

    def capture(self, work: Callable[[], Tensor]) -> Tensor:
        """Record work(); returns the tensor that each replay fills with its result."""

    def replay(self) -> None: ...


class CaptureFailed(Exception):
    """A step cannot become a graph. Its result has to be computed again."""


class GraphedStep:
    """A step, from a graph as soon as it has been run a few times.

    The step reads and writes tensors of fixed address only, and may be run twice with one result. Its
    first replay is compared with the step itself, unless the model's graphs are `known` to be right.
    """

    def __init__(self, graph: Graph, *, known: bool = False) -> None:
        self._graph, self._known = graph, known
        self._runs = 0
        self._output: Tensor | None = None

    def __call__(self, step: Callable[[], Tensor]) -> Tensor:
        """step()'s result, good until the next call. The step is the same one each time, and not kept:
        its owner keeps this, and a cycle would keep the cache of a batch from the next one.

        Raises CaptureFailed if the step cannot be captured or the comparison fails; OutOfMemory
        passes through.
        """
        try:
            return self._call(step)
        except CaptureFailed:
            raise
        except Exception as error:
            # The end of a capture may fail because memory ran out earlier, with another message.
            full = next((cause for cause in _causes(error) if is_out_of_memory(cause)), None)
            if full is not None:
                raise full from None
            raise CaptureFailed(str(error).strip().split("\n")[0] or type(error).__name__) from error

    def _call(self, step: Callable[[], Tensor]) -> Tensor:
        if self._output is not None:
            self._graph.replay()
            return self._output
        if self._known and self._runs == WARM_UP_AGAIN:
            self._output = self._graph.capture(step)
            self._graph.replay()
            return self._output
        expected_NV = self._graph.warm_up(step)
        self._runs += 1
        if self._known or self._runs <= WARM_UP:
            return expected_NV
        output_NV = self._graph.capture(step)
        self._graph.replay()
        if not _same(output_NV, expected_NV):
            raise CaptureFailed("the logits of its first replay differ from those of the step itself")
        self._output = output_NV
        return output_NV

    @property
    def is_captured(self) -> bool:
        return self._output is not None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and those during whose handling it arose."""
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__


def _same(a_NV: Tensor, b_NV: Tensor) -> bool:
    """Equal up to rounding in each row, with one wait for the device; the logits of an adapter that
    diverged may be NaN."""
    bound = 1e-4 if a_NV.dtype in (torch.float32, torch.float64) else 5e-2
    a_NV, b_NV = (x.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0) for x in (a_NV, b_NV))
    return bool(((a_NV - b_NV).norm(dim=1) <= bound * b_NV.norm(dim=1)).all())


@cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """One for all graphs of a device: each stream of its own would get workspaces of its own."""
    return torch.cuda.Stream(device)


class CudaGraph:
    """A graph of PyTorch's (torch.cuda.graph), warmed up and captured on one side stream."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = _side_stream(device)
        self._graph = torch.cuda.CUDAGraph()

    def warm_up(self, work: Callable[[], Tensor]) -> Tensor:
        """Run `work` on the side stream. Raises RuntimeError if it makes the CPU wait for the GPU:
        detected during a capture, that would leave PyTorch's allocator in disorder."""
        with torch.cuda.device(self._device), _without_waiting():
            current = torch.cuda.current_stream()
            self._stream.wait_stream(current)
            with torch.cuda.stream(self._stream):
                result = work()
            current.wait_stream(self._stream)
        return result

    def capture(self, work: Callable[[], Tensor]) -> Tensor:
        # The outer context: a capture that fails at its end leaves the side stream current.
        # thread_local: what other threads do on the GPU does not break the capture.
        with (
            torch.cuda.device(self._device),
            torch.cuda.stream(torch.cuda.current_stream(self._device)),
            torch.cuda.graph(self._graph, stream=self._stream, capture_error_mode="thread_local"),
        ):
            result = work()
        return result

    def replay(self) -> None:
        with torch.cuda.device(self._device):
            self._graph.replay()


@contextmanager
def _without_waiting() -> Iterator[None]:
    """While open, most operations that make the CPU wait for the GPU raise RuntimeError."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)
