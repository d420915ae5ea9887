"""What the stages of gpu.sh should take on an H100, reckoned without one.

A step's time is that of launching its kernels or of running them, whichever is longer; both are
counted on PyTorch's meta device (`roofline.py`) at two depths of a shape, and continued to its own.
Nothing here is measured but the seconds of a launch (on a CPU).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from unittest.mock import patch

from benchmarks.roofline import (
    LENGTHS,
    MATMUL,
    Count,
    Counting,
    as_on_a_gpu,
    decoding_step,
    model_of,
    training_step,
)
from selfedit.bench.plan import InnerBench, is_widest, list_ways
from selfedit.bench.reference import plain_peft
from selfedit.bench.shapes import shape_config
from selfedit.bench.trainer import RELEASED_WIDTH
from selfedit.bench.ways import Way
from selfedit.config import ALL_LINEAR, ANSWER_SAMPLING, LoraSettings, TrainSettings
from selfedit.loops.waves import LANE, SLOTS
from selfedit.lora.sequences import TokenSequence
from selfedit.lora.train import lanes

# Seconds of a launch with all that Python does for it (11 to 17 µs were measured on a CPU), and how
# much longer kernels take than at the ceilings of roofline.py (an earlier reading of the same steps).
HOST, SLOWER = 15e-6, 1.8
# Seconds of a process: imports, CUDA's start, drawing a model, ceilings, tokenising.
START = 16.0
# Tokens of a recorded self-edit's sequence, and share of a plain step's kernels in a pass of PEFT's
# that writes a token.
_TOKENS, _FORWARD = 18, 0.4
_SHALLOW, _DEEP = 2, 4
# Adapters that PEFT answers with (`bench.inner.PEFT_ADAPTERS`), and questions of a context.
_PEFT_ADAPTERS, _QUESTIONS = 8, 5


@dataclass(frozen=True)
class Rates:
    """Of a shape. kernels, running: number and seconds of those of a bank's step with 24 adapters.
    Seconds of a step of the plain PEFT loop, of a token of all the bank's answers, of a token of one
    adapter's through PEFT, of one of the release's steps."""

    kernels: float
    running: float
    plain: float
    token: float
    peft_token: float
    released: float

    def bank(self, adapters: int) -> float:
        """Of a bank with this many adapters: one kernel of the optimizer for each, and all others run
        as much longer; a narrow bank's read the weights just the same."""
        more = adapters - len(LENGTHS)
        return max(HOST * (self.kernels + more), self.running * max(1.0, adapters / len(LENGTHS)))


@cache
def rates(shape: str, modules: tuple[str, ...] = ALL_LINEAR, layers: str = "upper-half") -> Rates:
    lora = LoraSettings(layers=layers, target_modules=modules)
    depth = shape_config(shape).num_hidden_layers
    counts: dict[int, tuple[Count, Count, Count]] = {}
    for own in (_SHALLOW, _DEEP):
        config = shape_config(shape)
        config.num_hidden_layers = own
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[:own]
        model = model_of(config)
        counts[own] = training_step(model, lora), decoding_step(model, lora), _plain_step(model, lora)
    share = (depth - _SHALLOW) / (_DEEP - _SHALLOW)
    bank, token, plain = zip(*(counts[own] for own in (_SHALLOW, _DEEP)), strict=True)

    def continued(both: Sequence[Count], of: str) -> float:
        low, high = (float(getattr(count, of)) for count in both)
        return low + share * (high - low)

    def seconds(both: Sequence[Count]) -> float:
        return max(HOST * continued(both, "launches"), SLOWER * continued(both, "seconds"))

    operations = continued(plain, "operations") * RELEASED_WIDTH / _TOKENS
    return Rates(
        kernels=continued(bank, "launches"),
        running=SLOWER * continued(bank, "seconds"),
        plain=seconds(plain),
        token=SLOWER * continued(token, "seconds") + 1e-3,  # from a graph, and its choice
        peft_token=_FORWARD * seconds(plain),
        released=max(seconds(plain), SLOWER * operations / MATMUL),
    )


def _plain_step(model: object, lora: LoraSettings) -> Count:
    data, seen = [[TokenSequence(tuple(range(_TOKENS + 1)))]], []
    adam = import_module("torch.optim.adam")
    for epochs in (1, 2):
        fused = patch.object(adam, "_device_dtype_check_for_fused", lambda *_, **__: None)
        with fused, as_on_a_gpu(hopper=True), Counting() as counting:
            plain_peft(model, lora, data, [TrainSettings(epochs=epochs)], [0])  # type: ignore[arg-type]
        seen.append(counting.count)
    return seen[1].since(seen[0])


def inner_seconds(what: InnerBench, sizes: Sequence[int], epochs: int, at: Rates, trunk: bool) -> float:
    """Of `bench inner`. sizes: sequences of each self-edit. trunk: whether adapters leave layers below
    them alone."""
    ways = list_ways(what, trunk, lane=LANE["cuda"])
    widest = max((way.adapters for way in ways if way.kind in ("packed", "trunk")), default=1)
    spent = START
    for way in ways:
        own = list(sizes[: what.edits_of(way, widest)])
        main = way.kind == "plain" or is_widest(way, widest)
        step = at.bank(way.adapters) if way.is_bank else at.plain * (1 + 0.3 * (way.adapters - 1))
        steps = _steps(own, way) * epochs
        warm = _steps(own[: way.wave], way)
        spent += step * (steps * (what.repeats if main else 1) + warm)
        if way.kind == "trainer":
            spent += 0.5 * len(own)  # its start, and the adapter saved and loaded
    if what.released_edits:
        spent += what.released_edits * (2 + (what.released_steps + 1) * at.released)
    if what.questions:
        asked = min(_PEFT_ADAPTERS, what.edits) * at.peft_token + at.token
        spent += (what.repeats + 1) * ANSWER_SAMPLING.max_new_tokens * asked
    return spent


def _steps(sizes: Sequence[int], way: Way) -> int:
    """Optimizer steps of an epoch of these edits, in the waves of the way."""
    if not way.is_bank and way.kind != "mixed":
        return sum(sizes)
    ordered = sorted(sizes, reverse=True)
    waves = [ordered[n : n + way.wave] for n in range(0, len(ordered), way.wave)]
    return sum(max(sum(wave[n] for n in lane) for lane in lanes(wave, way.adapters)) for wave in waves)


def answers_seconds(adapters: int, repeats: int, at: Rates) -> float:
    """Of `bench answers`, its training included."""
    asked = adapters * at.peft_token + at.token
    return START + 12 * at.bank(adapters) + (repeats + 1) * ANSWER_SAMPLING.max_new_tokens * asked


def round_seconds(sizes: Sequence[int], seeds: int, epochs: int, at: Rates) -> float:
    """Of `paper_round.py`: waves of as many slots as a GPU has, and their answers."""
    slots = SLOTS["cuda"]
    trainings = sorted(list(sizes) * seeds, reverse=True)
    steps = epochs * _steps(trainings, Way("refilled", slots, LANE["cuda"]))
    batches = len(trainings) * _QUESTIONS / 1024  # rows that a batch of answers holds, about
    tokens = ANSWER_SAMPLING.max_new_tokens * batches * 4 * at.token
    drawn = len(trainings) * 0.02
    return START + steps * at.bank(slots) + tokens + drawn + 10
