"""A stand-in for a CUDA graph on a machine without a GPU, and texts from one.

It records the operators of a step and repeats them on the recorded tensors, as a CUDA graph repeats
kernels: what changes from step to step must lie in the tensors, at addresses that stay.
"""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from selfedit.config import SamplingSettings
from selfedit.model.generate import generate
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
