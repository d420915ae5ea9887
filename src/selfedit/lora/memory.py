"""What a wave takes of memory, computed before it is run.

The order of an adapter's sequences follows from its seed, so what each step holds is known: the peak
is that of the worst step, not a bound over all of them. Sizes are in bytes; tests/lora/test_memory.py
holds them against torch's own allocations. Written for decoders whose linear modules have the names of
`config.ALL_LINEAR` (Llama, Qwen, Mistral and others).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from selfedit.config import LoraSettings, TrainSettings
from selfedit.lora.bank import find_targets, layer_index
from selfedit.lora.loss import head_loss
from selfedit.lora.train import TRUNK_TOKENS, TokenSequence, batches
from selfedit.model.cache import ROOM
from selfedit.model.packed import Decoder
from selfedit.types import TrainingPlan

# Modules that read the same tensor, which the bank gathers once.
_READS = {
    "q_proj": "qkv",
    "k_proj": "qkv",
    "v_proj": "qkv",
    "gate_proj": "gate_up",
    "up_proj": "gate_up",
}
_HEAD_CHUNK = int(inspect.signature(head_loss).parameters["chunk"].default)


@dataclass(frozen=True, slots=True)
class Steps:
    """What one adapter brings to each of its steps; int64 arrays over the steps.

    tokens: that go through the model (all but each sequence's last). longest: of its sequences.
    states: tokens of its distinct sequences, as the frozen trunk keeps them.
    """

    tokens: np.ndarray
    rows: np.ndarray
    longest: np.ndarray
    supervised: np.ndarray
    texts: frozenset[tuple[int, ...]]

    @classmethod
    def of(cls, sequences: Sequence[TokenSequence], settings: TrainSettings, seed: int) -> Steps:
        good = [s for s in sequences if s.num_supervised > 0]
        size = {id(s): (len(s.ids) - 1, s.num_supervised) for s in good}
        steps = [[size[id(s)] for s in batch] for batch in batches(good, settings, seed)]
        return cls(
            tokens=np.array([sum(n for n, _ in step) for step in steps]),
            rows=np.array([len(step) for step in steps]),
            longest=np.array([max(n for n, _ in step) for step in steps]),
            supervised=np.array([sum(m for _, m in step) for step in steps]),
            texts=frozenset(s.ids[:-1] for s in good),
        )


@dataclass(frozen=True, slots=True)
class _Load:
    """One step of a wave, or every step of it as arrays. cells: of the bank's grid [slots, width];
    square: of attention's grid [rows, longest]."""

    tokens: np.ndarray
    cells: np.ndarray
    square: np.ndarray
    slots: np.ndarray
    supervised: np.ndarray


def _load(wave: Sequence[Steps], packs: bool) -> _Load:
    """What each step of the wave holds (see `Routing.of_lengths` and `Decoder`)."""
    length = max(len(steps.tokens) for steps in wave)

    def table(field: str) -> np.ndarray:
        rows = [np.pad(getattr(s, field), (0, length - len(s.tokens))) for s in wave]
        return np.stack(rows)

    tokens_KS, rows = table("tokens"), table("rows").sum(0)
    active = (tokens_KS > 0).sum(0)
    slots = np.where(2 * active >= len(wave), len(wave), active)
    square = rows * table("longest").max(0)
    return _Load(
        tokens=tokens_KS.sum(0) if packs else square,
        cells=slots * tokens_KS.max(0),
        square=square,
        slots=slots,
        supervised=table("supervised").sum(0),
    )


@dataclass(frozen=True)
class Footprint:
    """Sizes of a model with an adapter shape, as far as memory depends on them.

    element: bytes of an activation; wide: of norms and losses (float32 at least); adapter: of a number
    of the bank. Widths are in numbers. normed: sum of the widths of a layer's norms; inputs: widths of
    what a layer's adapted modules read; num_targets: adapted modules of a layer.
    """

    num_layers: int
    num_adapted: int
    width: int
    query: int
    key: int
    heads: int
    head_width: int
    middle: int
    normed: int
    gated: bool
    vocabulary: int
    element: int
    wide: int
    adapter: int
    parameters: int
    rank: int
    inputs: tuple[int, ...]
    num_targets: int
    packs: bool
    trunk: bool

    @classmethod
    def of(cls, decoder: Decoder, lora: LoraSettings | None, *, use_trunk: bool = True) -> Footprint:
        """lora: None for a model that only answers, without adapters.

        Raises InputError for layers or modules that the model does not have.
        """
        num_layers = len(decoder.layers)
        targets = find_targets(decoder.model, lora, num_layers) if lora is not None else []
        first = min((layer_index(target.name) or 0 for target in targets), default=num_layers - 1)
        trunk = bool(targets) and use_trunk and decoder.has_trunk(first)
        top = [t for t in targets if layer_index(t.name) == layer_index(targets[-1].name)]
        inputs = {_READS.get(_last(t.name), t.name): t.linear.in_features for t in top}
        layer = decoder.layers[first]
        linears = {
            _last(name): module
            for name, module in layer.named_modules()
            if isinstance(module, torch.nn.Linear)
        }
        config = decoder.model.config.get_text_config()
        heads = int(config.num_attention_heads)
        width = int(config.hidden_size)
        head_width = int(getattr(config, "head_dim", None) or width // heads)
        query, key = heads * head_width, int(config.num_key_value_heads or heads) * head_width
        dtype = decoder.model.dtype
        wide = 8 if dtype == torch.float64 else 4
        return cls(
            num_layers=num_layers,
            num_adapted=num_layers - first,
            width=width,
            query=query,
            key=key,
            heads=heads,
            head_width=head_width,
            middle=max(m.out_features for n, m in linears.items() if n not in ("q_proj", "k_proj")),
            normed=sum(_norm_width(n, m, width, query, key) for n, m in layer.named_modules()),
            gated="gate_proj" in linears or "gate_up_proj" in linears,
            vocabulary=int(config.vocab_size),
            element=dtype.itemsize,
            wide=wide,
            adapter=wide,
            parameters=sum(target.size(lora.rank) for target in targets) if lora is not None else 0,
            rank=lora.rank if lora is not None else 0,
            inputs=tuple(inputs.values()),
            num_targets=len(top),
            packs=decoder.packs(),
            trunk=trunk,
        )

    def bank(self, num_adapters: int) -> int:
        """Weights, gradient and AdamW's two moments."""
        return 4 * num_adapters * self.parameters * self.adapter

    def training(self, wave: Sequence[Steps], *, checkpointing: bool = False) -> int:
        """Peak bytes of training these adapters together."""
        kept_texts = frozenset().union(*(steps.texts for steps in wave)) if self.trunk else frozenset()
        states = sum(map(len, kept_texts)) * self.width * self.element
        load = _load(wave, self.packs)
        step = int(np.max(self._step(load, checkpointing)))
        weights = len(wave) * self.parameters * self.adapter
        return max(
            self.bank(len(wave)) + states + step, weights + self._trunk_pass(kept_texts) + states
        )

    def _step(self, load: _Load, checkpointing: bool) -> np.ndarray:
        """Peak of each step, beside the bank and the trunk's states."""
        layer = self._layer(load)
        if checkpointing:
            kept = self.num_adapted * load.tokens * self.width * self.element
            again = layer + self._backward(load)
        else:
            kept = self.num_adapted * layer - self._ungraded(load)
            again = self._backward(load)
        return kept + self._around(load) + np.maximum(again, self._head(load))

    def _layer(self, load: _Load) -> np.ndarray:
        """What autograd keeps of one layer."""
        tokens, cells, square = load.tokens, load.cells, load.square
        # Where a grid has gaps it is a copy, and index_copy keeps what was copied as well.
        bank_gaps, square_gaps = tokens != cells, tokens != square
        copied = self.query + 2 * self.key
        numbers = (
            cells * (sum(self.inputs) + self.num_targets * self.rank)
            + bank_gaps * tokens * sum(self.inputs)
            + square * 2 * (self.query + self.key)
            + square_gaps * tokens * copied
            + tokens * (3 if self.gated else 1) * self.middle
        )
        norms = tokens * (self.normed + 2) * self.wide
        places = square_gaps * tokens * 8
        factors = self.parameters // self.num_adapted
        copies = load.slots * factors * self.element * (self.element != self.adapter)
        return numbers * self.element + norms + square * self.heads * self.wide + places + copies

    def _ungraded(self, load: _Load) -> np.ndarray:
        """What the first adapted layer does not keep, since no gradient goes on below it: its first
        norm, and what the bank's first grid was copied from."""
        gaps = load.tokens != load.cells
        return load.tokens * self.width * (self.wide + gaps * self.element)

    def _around(self, load: _Load) -> np.ndarray:
        """Kept outside the layers: final states, their norm, rotations, the head's gradient."""
        tokens = load.tokens * (self.width + 2 * self.head_width) * self.element
        final = load.tokens * (self.width + 1) * self.wide
        return tokens + final + load.supervised * 2 * self.width * self.element

    def _head(self, load: _Load) -> np.ndarray:
        """The loss's logits, a chunk at a time; half-precision ones stand beside their wide copy."""
        chunk = np.minimum(load.supervised, _HEAD_CHUNK)
        both = self.wide + (self.element if self.element != self.wide else 0)
        return chunk * self.vocabulary * both

    def _backward(self, load: _Load) -> np.ndarray:
        """Gradients that stand at the same time while one layer is passed backwards."""
        return (
            load.tokens * (self.middle + 3 * self.width) + load.cells * max(self.inputs)
        ) * self.element

    def _trunk_pass(self, texts: frozenset[tuple[int, ...]]) -> int:
        """Transient numbers of the layers below, which see the texts in groups."""
        if not texts:
            return 0
        tokens = min(sum(map(len, texts)), TRUNK_TOKENS + max(map(len, texts)))
        return tokens * self._forward_width() * self.element

    def _forward_width(self) -> int:
        """Numbers a token that stand at the same time in a layer without gradients."""
        return 3 * self.middle + 3 * self.width

    def answer_row(self, prompt: int, new: int) -> int:
        """Peak bytes of one row of a batch of answers: keys and values, the prompt's pass, logits.

        prompt, new: tokens, the batch's longest. The adapters' weights are there already.
        """
        room = prompt + ROOM * max(1, -(-new // ROOM))
        cache = self.num_layers * 2 * self.key * room
        passing = prompt * (self._forward_width() + self.middle + max(self.inputs, default=0))
        return (cache + max(passing, 2 * self.vocabulary)) * self.element


def _last(name: str) -> str:
    return name.rsplit(".", 1)[-1]


def _norm_width(name: str, module: torch.nn.Module, width: int, query: int, key: int) -> int:
    """Width of what a norm keeps; norms of queries and keys have one weight for all heads."""
    if not type(module).__name__.endswith("Norm"):
        return 0
    return {"q_norm": query, "k_norm": key}.get(_last(name), width)


class WaveMemory:
    """Peak bytes of waves of plans, under one adapter shape and one way to train.

    steps_of: a plan's sequences and settings, and its seed, to `Steps`; asked once for each.
    """

    def __init__(
        self,
        footprint: Footprint,
        steps_of: Callable[[TrainingPlan, int], Steps],
        *,
        checkpointing: bool = False,
    ) -> None:
        self.footprint, self.checkpointing = footprint, checkpointing
        self._steps_of = steps_of
        self._known: dict[tuple[TrainingPlan, int], Steps] = {}

    def __call__(self, plans: Sequence[TrainingPlan], seeds: Sequence[int]) -> int:
        """Peak bytes of training these together."""
        wave = [self._steps(plan, seed) for plan, seed in zip(plans, seeds, strict=True)]
        return self.footprint.training(wave, checkpointing=self.checkpointing)

    def _steps(self, plan: TrainingPlan, seed: int) -> Steps:
        if (plan, seed) not in self._known:
            self._known[plan, seed] = self._steps_of(plan, seed)
        return self._known[plan, seed]
