"""What one step does on a GPU, counted without one: python benchmarks/roofline.py

A model of a known shape stands on PyTorch's meta device, where tensors have shapes and no numbers, and
takes the ways that a Hopper card takes. Counted are kernels, host reads (the CPU waits for a result)
and host-to-device copies; each kernel takes what its operations, its bytes or its launch take at
least. So nothing here is measured: it is a lower bound under the assumed ceilings below, and a
regression limit (tests/bench/test_budget.py). Prints a Markdown table for docs/performance.md.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import product
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoModelForCausalLM

from selfedit.bench.shapes import shape_config
from selfedit.config import ALL_LINEAR, LoraSettings, TrainSettings
from selfedit.forward import attention, packed
from selfedit.forward.cache import growing_cache
from selfedit.forward.head import Head
from selfedit.lora import bank as bank_module
from selfedit.lora import desk, loss, supervision
from selfedit.lora.bank import AdapterBank
from selfedit.lora.optimizer import DeviceAdamW
from selfedit.lora.sequences import TokenSequence
from selfedit.lora.train import BankTrainer
from selfedit.model.decode_step import FixedSteps, route_rows
from selfedit.model.language_model import LanguageModel
from selfedit.model.tiny import byte_tokenizer

# Assumed of an H100, as reached by large operations: operations and bytes a second, seconds a launch.
MATMUL, COPY, LAUNCH = 600e12, 2.6e12, 2.5e-6
# Kernels of an operator that has several. FlashAttention's backward pass: sums of output and gradient,
# itself, and its queries' and the shared heads' gradients brought together.
_SEVERAL = {"_grouped_mm": 2, "_varlen_attn": 2, "_varlen_attn_backward": 5, "index_copy": 2}
_NONE = {"_unsafe_view", "empty", "empty_like", "new_empty", "empty_strided", "detach", "lift_fresh"}
_META = torch.device("meta")
_ROWS_OF_LOGITS = loss.chunk_on(torch.device("cuda"))
# Tokens of each of 24 adapters' sequences in a step, 440 in all: unequal, as recorded self-edits are.
LENGTHS = tuple(8 + (7 * n) % 22 for n in range(24))


@dataclass
class Count:
    """What was done so far; seconds: of the device, at least."""

    kernels: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    operations: float = 0.0
    reads: int = 0
    sends: int = 0

    @property
    def launches(self) -> int:
        return sum(self.kernels.values())

    def since(self, before: Count) -> Count:
        return Count(
            self.kernels - before.kernels,
            self.seconds - before.seconds,
            self.operations - before.operations,
            self.reads - before.reads,
            self.sends - before.sends,
        )

    def copy(self) -> Count:
        return Count(Counter(self.kernels), self.seconds, self.operations, self.reads, self.sends)


class Counting(TorchDispatchMode):
    """Counts while it is open. What is read from the device is zeros (or true); float64: whether the
    device has it, which Apple's has not."""

    def __init__(self, *, float64: bool = True) -> None:
        super().__init__()
        self.count, self.float64 = Count(), float64

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        away = any(x.device == _META for x in given)
        if name in ("_local_scalar_dense", "item", "is_nonzero") and away:
            self.count.reads += 1
            return 1.0 if args[0].is_floating_point() else 1
        to = kwargs.get("device")
        if name in ("_to_copy", "to") and away and to is not None and torch.device(to).type == "cpu":
            self.count.reads += 1
            return torch.zeros(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
        result = func(*args, **kwargs)
        made = [x for x in tree_leaves(result) if isinstance(x, Tensor)]
        if any(x.device == _META for x in made or given):
            self._made(func, name, given, made)
        return result

    def _made(self, func: Any, name: str, given: list[Tensor], made: list[Tensor]) -> None:
        if not self.float64 and any(x.dtype == torch.float64 for x in made):
            raise TypeError(f"the device has no float64: {func}")
        if name in ("_to_copy", "to", "copy_") and any(x.device != _META and x.dim() for x in given):
            self.count.sends += 1
            return
        returns = func._schema.returns
        is_view = any(r.alias_info is not None and not r.alias_info.is_write for r in returns)
        if is_view or name in _NONE:
            return
        written = [] if made else given  # lists that are changed in place
        times = _SEVERAL.get(name, 1)
        operations = _operations(name, given)
        bytes_ = sum(_bytes(x) for x in (*_read(name, given), *made, *written))
        self.count.kernels[name] += times
        self.count.operations += operations
        self.count.seconds += max(operations / MATMUL, bytes_ / COPY, times * LAUNCH)


def _read(name: str, given: list[Tensor]) -> list[Tensor]:
    """Operands that are read whole; of a table only the chosen rows are."""
    return given[1:] if name in ("embedding", "index_select", "gather") else given


def _bytes(x: Tensor) -> int:
    """Of its distinct numbers: an expanded tensor is read from one place."""
    numbers = 1
    for size, stride in zip(x.shape, x.stride(), strict=True):
        numbers *= size if stride else 1
    return numbers * x.element_size()


def _operations(name: str, given: list[Tensor]) -> float:
    if name == "_grouped_mm":
        a, b = given[0], given[1]
        return 2.0 * a.shape[0] * a.shape[1] * b.shape[-1]
    if name in ("mm", "bmm"):
        return 2.0 * given[0].numel() * given[1].shape[-1]
    if name == "addmm":
        return 2.0 * given[1].numel() * given[2].shape[-1]
    return 0.0


class _Fetching:
    """`transfer.fetch` of a GPU: what is read before the next one was begun, is waited for."""

    def __init__(self) -> None:
        self.begun = 0

    def __call__(self, tensor: Tensor) -> Callable[[], Tensor]:
        self.begun += 1
        own = self.begun

        def read() -> Tensor:
            waits = own == self.begun
            return tensor.cpu() if waits else torch.zeros(tensor.shape, dtype=tensor.dtype)

        return read


def _one_kernel(query: Tensor, key: Tensor, value: Tensor, **kwargs: Any) -> Tensor:
    """Attention of rows as one fused kernel; on the meta device PyTorch would write all scores out."""
    return query * value.flatten()[0]


@contextmanager
def as_on_a_gpu(hopper: bool) -> Iterator[None]:
    """While open, the engine takes the ways of a card with every kernel that it knows; hopper False:
    the ways over grids, of one that has none of them."""
    with ExitStack() as stack:
        for patched in (
            patch.object(attention, "way_of", lambda *_: "varlen" if hopper else "grid"),
            patch.object(attention, "_varlen_kernel", lambda: varlen_attn),
            patch.object(bank_module, "takes_groups", lambda *_: hopper),
            patch.object(bank_module, "draw_adapters", lambda *_: None),
            patch.object(loss, "chunk_on", lambda *_: _ROWS_OF_LOGITS),
            patch.object(desk, "optimizer_of", DeviceAdamW),
            patch.object(supervision, "fetch", _Fetching()),
            patch.object(torch.nn.functional, "scaled_dot_product_attention", _one_kernel),
        ):
            stack.enter_context(patched)
        yield


def model_of(config: Any, dtype: torch.dtype = torch.bfloat16) -> LanguageModel:
    """A model of this config on the meta device, that packs and has a trunk."""
    with _META:
        hf = AutoModelForCausalLM.from_config(config, dtype=dtype)
    with patch.object(packed, "find_head", lambda model, stack: Head(model.get_output_embeddings())):
        model = LanguageModel(hf, byte_tokenizer(), name="meta", revision="meta", form="plain")
        model.decoder.head  # noqa: B018 (found now: it looks at numbers)
    model.decoder._packs = True
    model.decoder._trunk_ok = dict.fromkeys(range(1, model.num_layers), True)
    return model


def training_step(
    model: LanguageModel,
    lora: LoraSettings,
    *,
    lengths: Sequence[int] = LENGTHS,
    hopper: bool = True,
    float64: bool = True,
) -> Count:
    """One step of a bank, whose adapters have a sequence of these lengths each."""
    data = [[TokenSequence(tuple(range(length + 1)))] for length in lengths]
    adapters = len(data)
    marks: list[Count] = []
    with as_on_a_gpu(hopper), Counting(float64=float64) as counting:
        bank = AdapterBank(model.hf, lora, range(adapters), num_layers=model.num_layers)
        trainer = BankTrainer(model.decoder, bank, data, [TrainSettings(epochs=3)] * adapters)
        trainer.run(lambda done, steps: marks.append(counting.count.copy()))
    return marks[1].since(marks[0])


def decoding_step(
    model: LanguageModel,
    lora: LoraSettings,
    *,
    adapters: int = len(LENGTHS),
    rows: int = 5 * len(LENGTHS),
    prompt: int = 64,
    hopper: bool = True,
) -> Count:
    """One step of a batch of answers of fixed shape, as a graph repeats it, and its greedy choice."""
    owners = sorted(n % adapters for n in range(rows))
    with as_on_a_gpu(hopper), Counting() as counting, torch.no_grad():
        bank = AdapterBank(model.hf, lora, range(adapters), num_layers=model.num_layers)
        with bank.attached():
            cache = growing_cache(model.hf.config)
            mask = torch.ones(rows, prompt, dtype=torch.int64, device=_META)
            route_rows(bank, owners, prompt)
            ids = torch.zeros(rows, prompt, dtype=torch.int64, device=_META)
            model.hf(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
            steps = FixedSteps(
                model.decoder, cache, mask, bank, owners, new=32, graph=None, status=print
            )
            counts = []
            for _ in range(2):
                logits = steps(range(rows), [1] * rows)
                logits.argmax(dim=-1).cpu()
                counts.append(counting.count.copy())
    return counts[1].since(counts[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", default="qwen2.5-7b")
    parser.add_argument("--adapters", type=int, default=len(LENGTHS))
    given = parser.parse_args()
    model = model_of(shape_config(given.shape))
    ways = {
        "q and v, all layers": LoraSettings(layers="all", target_modules=("q_proj", "v_proj")),
        "all linear, all layers": LoraSettings(layers="all", target_modules=ALL_LINEAR),
        "all linear, upper half, trunk": LoraSettings(layers="upper-half", target_modules=ALL_LINEAR),
    }
    print("| step | kernels | GPU, ms | products alone | reads | copies |\n|---|---|---|---|---|---|")
    for hopper, (name, lora) in product((False, True), ways.items()):
        count = given.adapters
        lengths = [LENGTHS[n % len(LENGTHS)] for n in range(count)]
        one = training_step(model, lora, lengths=lengths, hopper=hopper)
        two = decoding_step(model, lora, adapters=count, rows=5 * count, hopper=hopper)
        for kind, count in (("training", one), ("answers", two)):
            label = f"{kind}: {name}" + ("" if hopper else ", over grids")
            spent, products = 1e3 * count.seconds, 1e3 * count.operations / MATMUL
            cells = (label, f"{count.launches:,}", f"{spent:.1f}", f"{products:.1f}")
            print(f"| {' | '.join(cells)} | {count.reads} | {count.sends} |")


if __name__ == "__main__":
    main()
