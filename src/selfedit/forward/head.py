"""From a decoder's final states to logits: the head's product and what a model does around it.

Some models scale their logits (Granite, Cohere) or cap them softly, as cap * tanh(logits / cap) (Gemma
2, arXiv 2408.00118). The training loss, the teachers and the scores work on states and form logits by
themselves, a chunk at a time, so what the model does is found out by watching it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from selfedit.errors import ModelError
from selfedit.forward.linear import back_through, logits_of

_TOKENS = 4  # of the text that the model is watched with
_LARGE, _SMALL = 100.0, 1e-4  # raw logits beyond every cap (that float16 can hold), and well within


@dataclass(frozen=True)
class Head:
    """logits = squash(scale * (before * states @ weight.T + bias)), where squash is cap * tanh(x / cap)
    if there is a cap, else the identity."""

    linear: nn.Linear
    before: float = 1.0
    scale: float = 1.0
    cap: float | None = None

    @property
    def vocabulary(self) -> int:
        return int(self.linear.weight.shape[0])

    def logits(self, hidden_MD: Tensor) -> Tensor:
        """Logits [M, V], float32 at least, without an autograd graph."""
        wide = torch.float64 if hidden_MD.dtype == torch.float64 else torch.float32
        logits_MV = logits_of(self.linear, hidden_MD).to(wide)
        if self.before != 1:
            logits_MV *= self.before
        if self.linear.bias is not None:
            logits_MV += self.linear.bias.to(wide)
        return self._squash(logits_MV)

    def tempered(self, temperature: float) -> Head:
        """The same head with its logits divided by the temperature."""
        cap = None if self.cap is None else self.cap / temperature
        return replace(self, scale=self.scale / temperature, cap=cap)

    def _squash(self, raw: Tensor) -> Tensor:
        """The model's logits from those of its head, in place."""
        if self.scale != 1:
            raw *= self.scale
        if self.cap is not None:
            raw.div_(self.cap).tanh_().mul_(self.cap)
        return raw

    def slope(self, logits_MV: Tensor) -> Tensor | None:
        """d squash at these logits, without the scale; None where it is 1 everywhere."""
        return None if self.cap is None else 1 - (logits_MV / self.cap).square_()

    def back(self, gradient_MV: Tensor, slope_MV: Tensor | None) -> Tensor:
        """Gradient [M, D] with respect to the states, from the one with respect to the logits, which
        is overwritten."""
        if slope_MV is not None:
            gradient_MV *= slope_MV
        if self.scale * self.before != 1:
            gradient_MV *= self.scale * self.before
        return back_through(self.linear, gradient_MV.to(self.linear.weight.dtype))


def find_head(model: PreTrainedModel, stack: nn.Module) -> Head:
    """What the model does between `stack`'s final states and its logits.

    Its head is made to say numbers of our choice in one short forward pass, and the logits tell what
    becomes of them. Raises ModelError if that is not what a `Head` can do.
    """
    linear = model.get_output_embeddings()
    if not isinstance(linear, nn.Linear):
        what = "no linear language-model head" if linear is None else f"a {type(linear).__name__} head"
        raise ModelError(f"{type(model).__name__} has {what}: models of this kind are not supported.")
    seen: dict[str, Tensor] = {}

    def enters(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        seen["states"] = output[0]

    def says(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        seen["read"] = args[0]
        raw_V = _numbers(output.shape[-1]).to(output)
        seen["raw"] = torch.stack([_LARGE * raw_V, -_LARGE * raw_V, raw_V, _SMALL * raw_V])
        return seen["raw"][-output.shape[-2] :].expand_as(output)

    handles = [stack.register_forward_hook(enters), linear.register_forward_hook(says)]
    ids = torch.arange(1, _TOKENS + 1, device=model.device)[None]
    try:
        with torch.no_grad():
            logits = model(input_ids=ids, use_cache=False).logits
    finally:
        for handle in handles:
            handle.remove()
    if seen.keys() != {"states", "read", "raw"} or logits.shape[-2:] != seen["raw"].shape:
        raise _refused(model)
    coarse = logits.dtype in (torch.bfloat16, torch.float16) or model.dtype != torch.float32
    if not torch.isfinite(seen["states"]).all():
        raise ModelError(
            f"the weights of this {type(model).__name__} hold numbers that are none (NaN or infinity): "
            "fetch or save it again."
        )
    known = _constants(model.config, 2e-2 if coarse and logits.dtype != torch.float64 else 1e-4)
    return _fitted(model, linear, {**seen, "logits": logits}, known)


def _numbers(count: int) -> Tensor:
    """Raw logits from -100 to 100, none of them zero."""
    return torch.linspace(-100.0, 100.0, count + count % 2)[:count] + 1e-3


def _fitted(
    model: PreTrainedModel, linear: nn.Linear, seen: dict[str, Tensor], known: _Constants
) -> Head:
    states, read = (seen[name].detach().double().flatten() for name in ("states", "read"))
    if states.shape != read.shape:
        raise _refused(model)
    before = known.near(float(states @ read / (states @ states)))
    raw, logits = seen["raw"].double(), seen["logits"][0].double()
    small = raw[-1].abs() > 0.1 * raw[-1].abs().max()
    scale = known.near(float((logits[-1][small] / raw[-1][small]).median()))
    top = float(logits[:2].abs().max())
    bound = abs(scale) * float(raw[:2].abs().max())
    cap = known.near(top) if top < 0.5 * bound else None
    head = Head(linear, before, scale, cap)
    same_states = (read - before * states).norm() <= known.tolerance * read.norm()
    expected = head._squash(raw.clone())
    same_logits = (expected - logits).abs().amax(1) <= known.tolerance * expected.abs().amax(1)
    if not (same_states and same_logits.all() and math.isfinite(before * scale) and scale):
        raise _refused(model)
    return head


@dataclass(frozen=True)
class _Constants:
    """Numbers of a model's configuration: what was measured is one of them, but for rounding."""

    values: Sequence[float]
    tolerance: float

    def near(self, measured: float) -> float:
        """The constant that was measured; the measured number if there is none so near."""
        nearest = min(self.values, key=lambda value: abs(value - measured))
        near_enough = abs(nearest - measured) <= self.tolerance * abs(measured)
        return nearest if near_enough else measured


def _constants(config: Any, tolerance: float) -> _Constants:
    """1, every number of the configuration, and one over each."""
    found = {1.0}
    for own in (config, config.get_text_config()):
        for value in own.to_dict().values():
            if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
                found |= {float(value), 1 / value}
    # 1 first, the others in order: a tie is decided the same way everywhere.
    return _Constants(sorted(found, key=lambda value: (value != 1, value)), tolerance)


def _refused(model: PreTrainedModel) -> ModelError:
    return ModelError(
        f"{type(model).__name__} turns its final states into logits in a way that is not supported: "
        "more than a matrix product, a scale and a soft cap."
    )
