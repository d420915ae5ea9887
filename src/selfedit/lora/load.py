"""What the steps of a wave hold: tokens, and the shapes that the engine gives them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from selfedit.config import TrainSettings
from selfedit.forward.attention import SHORT
from selfedit.lora.sequences import NO_ANCHORS, Anchors, TokenSequence, anchored


@dataclass(frozen=True, slots=True)
class Steps:
    """What one adapter contributes to each of its steps; int64 arrays over the steps.

    tokens: those that go through the model (all but each sequence's last). longest: length of its
    longest sequence. scores: attention scores of one head, where attention is written out: the squares
    of the lengths up to `SHORT`. fused: tokens of the longer sequences. taught: probabilities that
    teachers give. texts: its distinct sequences, as the frozen trunk sees them.
    """

    tokens: np.ndarray
    rows: np.ndarray
    longest: np.ndarray
    scores: np.ndarray
    fused: np.ndarray
    supervised: np.ndarray
    taught: np.ndarray
    texts: frozenset[tuple[int, ...]]

    @classmethod
    def of(
        cls,
        sequences: Sequence[TokenSequence],
        settings: TrainSettings,
        seed: int,
        anchors: Anchors = NO_ANCHORS,
    ) -> Steps:
        good = [s for s in sequences if s.num_supervised > 0]
        held = anchors.all if settings.anchor.weight > 0 else ()
        size = {id(s): (len(s.ids) - 1, s.num_supervised, _kept(s)) for s in (*good, *held)}
        steps = [
            [size[id(s)] for s in (*own, *joined)]
            for own, joined in anchored(good, settings, seed, anchors)
        ]
        lengths = [[n for n, _, _ in step] for step in steps]
        return cls(
            tokens=np.array([sum(step) for step in lengths]),
            rows=np.array([len(step) for step in lengths]),
            longest=np.array([max(step) for step in lengths]),
            scores=np.array([sum(n * n for n in step if n <= SHORT) for step in lengths]),
            fused=np.array([sum(n for n in step if n > SHORT) for step in lengths]),
            supervised=np.array([sum(m for _, m, _ in step) for step in steps]),
            taught=np.array([sum(k for _, _, k in step) for step in steps]),
            texts=frozenset(s.ids[:-1] for s in (*good, *held)),
        )

    @property
    def count(self) -> int:
        return len(self.tokens)

    @property
    def total(self) -> int:
        """Tokens as `Trainee.tokens` counts them, each sequence's last included."""
        return int((self.tokens + self.rows).sum())

    @classmethod
    def lane(cls, steps: Sequence[Steps]) -> Steps:
        """The steps of adapters that train one after the other in one slot."""
        arrays = {
            own.name: np.concatenate([getattr(one, own.name) for one in steps])
            for own in fields(cls)
            if own.name != "texts"
        }
        return cls(**arrays, texts=frozenset().union(*(one.texts for one in steps)))


@dataclass(frozen=True, slots=True)
class Load:
    """Every step of a wave, as int64 arrays over the steps.

    tokens: rows of the base model's products, pads included; real: without pads. cells: size of the
    bank's grid [slots, width]; chosen: steps in which the grid picks out adapters. square: size of the
    grid of sequences [rows, longest]; active: adapters that take part. The others: see `Steps`.
    """

    tokens: np.ndarray
    real: np.ndarray
    cells: np.ndarray
    chosen: np.ndarray
    slots: np.ndarray
    active: np.ndarray
    square: np.ndarray
    longest: np.ndarray
    scores: np.ndarray
    fused: np.ndarray
    supervised: np.ndarray
    taught: np.ndarray

    @classmethod
    def of(cls, wave: Sequence[Steps], packs: bool) -> Load:
        """The load of adapters, or lanes of them, that train together (see `Routing.of_lengths`,
        `Decoder`)."""
        length = max(len(steps.tokens) for steps in wave)

        def table(field: str) -> np.ndarray:
            rows = [np.pad(getattr(s, field), (0, length - len(s.tokens))) for s in wave]
            return np.stack(rows)

        tokens_KS = table("tokens")
        active, real = (tokens_KS > 0).sum(0), tokens_KS.sum(0)
        chosen = 2 * active < len(wave)
        slots = np.where(chosen, active, len(wave))
        longest = table("longest").max(0)
        square = table("rows").sum(0) * longest
        return cls(
            tokens=real if packs else square,
            real=real,
            cells=slots * tokens_KS.max(0),
            chosen=chosen,
            slots=slots,
            active=active,
            square=square,
            longest=longest,
            scores=table("scores").sum(0),
            fused=table("fused").sum(0),
            supervised=table("supervised").sum(0),
            taught=table("taught").sum(0),
        )


def _kept(sequence: TokenSequence) -> int:
    return sequence.soft.ids_Mk.numel() if sequence.soft is not None else 0
