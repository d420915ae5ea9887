"""The memory that a wave takes, computed before it is run.

The order of an adapter's sequences follows from its seed, so the content of each step is known: the
peak is that of the worst step, not a bound over all of them. Sizes are in bytes;
tests/lora/test_memory.py compares them with torch's own allocations. Written for decoders whose linear
modules have the names in `config.ALL_LINEAR` (Llama, Qwen, Mistral and others).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from selfedit.forward.cache import ROOM
from selfedit.lora.load import Load, Steps
from selfedit.lora.sizes import Sizes
from selfedit.lora.train import TRUNK_TOKENS, lanes, shares
from selfedit.types import TrainingPlan

# Numbers for each probability that a teacher gives: itself, the student's, and steps to the KL.
_PER_TAUGHT = 5


class Footprint(Sizes):
    """Bytes that training and answers take, from the sizes of the model and its adapters."""

    def bank(self, num_adapters: int) -> int:
        """Weights, gradient and AdamW's two moments."""
        return 4 * num_adapters * self.parameters * self.adapter

    def standing(self, num_adapters: int) -> int:
        """A trained bank, with its copy in the activations' precision where they have another."""
        copied = self.element if self.element != self.adapter else 0
        return num_adapters * self.parameters * (self.adapter + copied)

    def training(
        self,
        wave: Sequence[Steps],
        *,
        slots: int | None = None,
        workers: int = 1,
        checkpointing: bool = False,
    ) -> int:
        """Peak bytes of training these adapters, `slots` of them at a time (None: all), in shares for
        `workers` threads (see `BankTrainer`)."""
        own = self._for(max(int(steps.longest.max()) for steps in wave))
        return own._training(wave, slots, workers, checkpointing)

    def _for(self, longest: int) -> Footprint:
        """For a wave whose longest sequence this is."""
        if self.window is None or longest <= self.window:
            return self
        padded = replace(self, packs=False, attention="grid", stretches=False)
        return replace(padded, grouped=False, trunk=False)

    def _training(
        self, wave: Sequence[Steps], slots: int | None, workers: int, checkpointing: bool
    ) -> int:
        kept_texts = frozenset().union(*(steps.texts for steps in wave)) if self.trunk else frozenset()
        states = sum(map(len, kept_texts)) * self.width * self.element
        weights = len(wave) * self.parameters * self.adapter
        abreast = [
            Steps.lane([wave[n] for n in lane])
            for lane in lanes([s.count for s in wave], slots or len(wave))
        ]
        parts = shares([lane.total for lane in abreast], workers)
        # Adapters that wait or are finished take memory in addition to the slots.
        beside = weights if len(abreast) < len(wave) or len(parts) > 1 else 0
        loads = [Load.of([abreast[lane] for lane in part], self.packs) for part in parts]
        peaks = [self._step(load, checkpointing) for load in loads]
        return max(
            beside + self.bank(len(abreast)) + self._copied(len(abreast)) + states + together(peaks),
            weights + self._trunk_pass(kept_texts) + states,
        )

    def _step(self, load: Load, checkpointing: bool) -> np.ndarray:
        """Peak of each step, in addition to the bank and the trunk's states."""
        layer = self._layer(load)
        if checkpointing:
            kept = self.num_adapted * load.tokens * self.width * self.element
            # The layer's input is kept already, unless its norm makes a wide copy.
            again = layer - (self.element == self.wide) * load.tokens * self.width * self.wide
        else:
            kept, again = self.num_adapted * layer - self._ungraded(load), 0
        after = self._final_norm(load) + np.maximum(self._head(load), self._norm_backward(load))
        return kept + self._around(load) + np.maximum(after, again + self._backward(load))

    def _layer(self, load: Load) -> np.ndarray:
        """What autograd keeps of one layer."""
        if self.other is not None:
            a_token, a_pair = self.other
            pairs = np.maximum(load.scores, load.square * load.longest)
            numbers = a_token * load.tokens + a_pair * pairs
            return self._adapters(load) + np.ceil(numbers * self.wide).astype(np.int64)
        passed = (3 if self.gated else 1) * self.middle * self.element + self.normed * self.wide
        return self._adapters(load) + self._attention(load) + load.tokens * passed

    def _adapters(self, load: Load) -> np.ndarray:
        """What the bank keeps for a layer: its modules' inputs, x A, and copies of the factors."""
        low_rank, factors = self.num_targets * self.rank, self.parameters // self.num_adapted
        # Groups read the bank's copy; where all adapters have as many tokens there are no groups.
        even = (load.cells == load.tokens) & (load.chosen == 0)
        alone = even if self.grouped else np.ones_like(even)
        converts = (self.element != self.adapter) * alone
        if self.stretches and not self.drops:
            numbers = load.tokens * (sum(self.inputs) + low_rank) + converts * load.active * factors
            return numbers * self.element
        # Each module has its own mask, and its own product with it.
        grid = 2 * self.fan_in if self.drops else sum(self.inputs)
        numbers = (
            load.cells * (grid + low_rank)
            + self._gaps(load) * load.real * sum(self.inputs)
            + (load.real != load.tokens) * load.real * self.fan_out
            + load.chosen * load.slots * factors
        )
        return numbers * self.element

    def _copied(self, num_adapters: int) -> int:
        """The bank's copy in the activations' precision, which is made once a step; on a CPU each
        adapter's part is made by the module that multiplies by it (`_adapters`)."""
        if self.element == self.adapter or (self.stretches and not self.grouped and not self.drops):
            return 0
        return num_adapters * self.parameters * self.element

    def _gaps(self, load: Load) -> np.ndarray:
        """Whether the bank's grid is a copy, for which index_copy keeps its source as well."""
        return (load.real != load.cells) | (load.real != load.tokens)

    def _attention(self, load: Load) -> np.ndarray:
        """Queries, keys, values, and the softmax (written out) or output and its normaliser (fused)."""
        copied = self.query + 2 * self.key
        if self.attention == "by_sequence":
            written = self.element == self.wide
            scores = load.scores * written
            fused = load.fused if written else load.tokens
            # A fused part keeps all queries, the written ones copies of theirs.
            both = (fused > 0) * (load.tokens - fused)
            numbers = load.tokens * copied + (fused + both) * self.query + scores * self.heads
            return numbers * self.element + fused * self.heads * self.wide
        if self.attention == "varlen":  # the output is the input of `o_proj`, which the bank keeps
            kept = copied + self.query * (not self.reads_attention)
            return load.tokens * (kept * self.element + self.heads * self.wide)
        gaps = load.square != load.real
        # Without gaps the output is the input of `o_proj`, which the bank keeps.
        shared = self.reads_attention & ~gaps & ~(self.drops & ~self._gaps(load))
        if self.packs and self.element == self.wide:
            copied = 3 * self.query  # keys and values are repeated for the heads that share them
        numbers = load.square * (copied + self.query) - shared * load.square * self.query
        if self.packs:
            numbers = numbers + gaps * load.real * copied
        else:  # with a mask, keys and values are repeated for the heads that share them
            numbers = numbers + gaps * load.square * (2 * (self.query - self.key) + load.longest)
        return numbers * self.element + load.square * self.heads * self.wide

    def _ungraded(self, load: Load) -> np.ndarray:
        """What the first adapted layer does not keep, since no gradient flows below it: its first norm,
        and the source of the bank's first grid."""
        norm = load.tokens * (self.width + 1) * self.wide
        if self.stretches and not self.drops:
            return norm
        return norm + self._gaps(load) * load.real * self.width * self.element

    def _around(self, load: Load) -> np.ndarray:
        """Held outside the layers during the whole step: final states, those with a loss, rotations,
        and the tokens' places in the grid of attention."""
        numbers = load.tokens * (self.width + 2 * self.head_width) + load.supervised * self.width
        places = (self.packs and self.attention == "grid") * (load.square != load.real) * load.real * 8
        return numbers * self.element + places

    def _final_norm(self, load: Load) -> np.ndarray:
        """What the norm above the layers keeps until its backward pass."""
        return load.tokens * (self.width + 1) * self.wide

    def _head(self, load: Load) -> np.ndarray:
        """The loss's logits, a chunk at a time (half-precision ones in addition to their wide copy),
        its gradient, and the teachers' tokens and probabilities, with what is computed from them."""
        chunk = np.minimum(load.supervised, self.chunk)
        both = (1 + self.capped) * self.wide + (self.element if self.element != self.wide else 0)
        taught = load.taught * (8 + _PER_TAUGHT * self.wide)
        return chunk * self.vocabulary * both + load.supervised * self.width * self.element + taught

    def _norm_backward(self, load: Load) -> np.ndarray:
        """Gradients held at the same time in the backward pass of the norm above the layers."""
        return 4 * load.tokens * self.width * self.wide

    def _backward(self, load: Load) -> np.ndarray:
        """Gradients held at the same time in the backward pass of a layer's last modules, its widest:
        of the layer's output, of the input of `down_proj`, and of both of its factors.

        What the bank kept for it is free by then; with a grid its gradient is held twice.
        """
        middle = 3 if self.gated else 2
        widest = self.middle in self.inputs
        freed = widest * load.tokens * self.middle
        grid = 0 if self.stretches and not self.drops else widest * load.cells * self.middle
        return (load.tokens * (middle * self.middle + self.width) - freed + grid) * self.element

    def _trunk_pass(self, texts: frozenset[tuple[int, ...]]) -> int:
        """Transient numbers of the layers below, which see the texts in groups."""
        if not texts:
            return 0
        tokens = min(sum(map(len, texts)), TRUNK_TOKENS + max(map(len, texts)))
        return tokens * self._forward_width() * self.element

    def _forward_width(self) -> int:
        """Numbers per token held at the same time in a layer without gradients."""
        return 3 * self.middle + 3 * self.width

    def answer_row(self, prompt: int, new: int) -> int:
        """Peak bytes of one row of a batch of answers: keys and values, the prompt's pass, logits.

        prompt, new: the batch's longest, in tokens. The adapters' weights are there already.
        """
        room = prompt + ROOM * max(1, -(-new // ROOM))
        cache = self.num_layers * 2 * self.key * room
        passing = prompt * (self._forward_width() + self.middle + max(self.inputs, default=0))
        return (cache + max(passing, 2 * self.vocabulary)) * self.element


def together(peaks: Sequence[np.ndarray]) -> int:
    """Peak of threads that work side by side, from the peak of each one's steps.

    They are not in step with each other, so each counts with its worst step.
    """
    return int(sum(np.max(own) for own in peaks))


class WaveMemory:
    """Peak bytes of waves of plans, with one adapter shape and one way to train.

    steps_of: maps a plan's sequences, settings and seed to `Steps`; called once for each.
    """

    def __init__(
        self,
        footprint: Footprint,
        steps_of: Callable[[TrainingPlan, int], Steps],
        *,
        workers: int = 1,
        checkpointing: bool = False,
    ) -> None:
        self.footprint, self.workers, self.checkpointing = footprint, workers, checkpointing
        self._steps_of = steps_of
        self._known: dict[tuple[TrainingPlan, int], Steps] = {}

    def __call__(
        self, plans: Sequence[TrainingPlan], seeds: Sequence[int], slots: int | None = None
    ) -> int:
        """Peak bytes of training these, `slots` of them at a time (None: all)."""
        wave = [self._steps(plan, seed) for plan, seed in zip(plans, seeds, strict=True)]
        return self.footprint.training(
            wave, slots=slots, workers=self.workers, checkpointing=self.checkpointing
        )

    def _steps(self, plan: TrainingPlan, seed: int) -> Steps:
        if (plan, seed) not in self._known:
            self._known[plan, seed] = self._steps_of(plan, seed)
        return self._known[plan, seed]
