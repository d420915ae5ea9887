"""Sequences of token ids that an adapter trains on, and their order."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from selfedit.config import AnchorSettings, TrainSettings
from selfedit.lora.excluded import Excluded
from selfedit.seams import Drawn

WHOLE = ((0, sys.maxsize),)


@dataclass(frozen=True, eq=False)
class SoftTargets:
    """What a teacher expects at M places: its k most likely tokens, and all the rest as one event.

    ids_Mk: int64, distinct in a row. log_Mk: their log-probabilities, in nats; rest_M: that of the
    rest, -inf where k is the whole vocabulary. On the CPU.
    """

    ids_Mk: Tensor
    log_Mk: Tensor
    rest_M: Tensor


@dataclass(frozen=True, slots=True)
class TokenSequence:
    """Token ids; the loss is on the tokens of the spans (start, end), which do not overlap and are in
    order. The first token is never in it, since nothing predicts it.

    hard: weight of the tokens' cross-entropy. soft: a teacher's distributions at the supervised places,
    in their order; KL(teacher || adapted model) is added to a token's loss with weight `soft_weight`.
    drawn: what a policy gradient knows of it. excluded: what could not be drawn at each supervised
    place; empty: everything could. beneath: which of the frozen adapters beneath the trained one reads
    it, where there are any.
    """

    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...] = WHOLE
    hard: float = 1.0
    soft: SoftTargets | None = field(default=None, compare=False)
    soft_weight: float = 0.0
    drawn: Drawn | None = field(default=None, compare=False)
    excluded: tuple[Excluded, ...] = field(default=(), compare=False)
    beneath: int = 0

    @property
    def supervised(self) -> list[int]:
        """Places of the tokens that the loss is on."""
        length = len(self.ids)
        return [i for start, end in self.spans for i in range(max(start, 1), min(end, length))]

    @property
    def num_supervised(self) -> int:
        return len(self.supervised)


@dataclass(frozen=True, slots=True)
class Anchors:
    """The bare model's own texts, with its own distributions, that an adapter is held to.

    general: about anything, the same for all adapters. neighbours: about things like those that the
    adapter learns about.
    """

    general: tuple[TokenSequence, ...] = ()
    neighbours: tuple[TokenSequence, ...] = ()

    @property
    def all(self) -> tuple[TokenSequence, ...]:
        return (*self.general, *self.neighbours)


NO_ANCHORS = Anchors()
# An adapter's own sequences of a step, and the anchors that join them.
Step = tuple[list[TokenSequence], list[TokenSequence]]


def batches(
    sequences: Sequence[TokenSequence], settings: TrainSettings, seed: int
) -> Iterator[list[TokenSequence]]:
    """An adapter's steps: each epoch a new seeded order, cut into batches; a unit counts as one."""
    generator = torch.Generator().manual_seed(seed)
    together = units(sequences)
    firsts = [own[0] for own in together]
    for epoch in range(settings.epochs):
        if settings.order == "common":
            order = _common_order(firsts, seed, epoch)
        else:
            order = torch.randperm(len(together), generator=generator).tolist()
        for start in range(0, len(order), settings.batch_size):
            yield [own for i in order[start : start + settings.batch_size] for own in together[i]]


def units(sequences: Sequence[TokenSequence]) -> list[list[TokenSequence]]:
    """The sequences, those of one unit (`Drawn.unit`) together, in the order of each unit's first."""
    found: dict[tuple[bool, int], list[TokenSequence]] = {}
    for place, sequence in enumerate(sequences):
        unit = None if sequence.drawn is None else sequence.drawn.unit
        key = (False, place) if unit is None else (True, unit)
        found.setdefault(key, []).append(sequence)
    return list(found.values())


def _common_order(sequences: Sequence[TokenSequence], seed: int, epoch: int) -> list[int]:
    """By a hash of each sequence with the seed and the epoch, so that what two edits have in common is
    seen in the same order, whatever else each of them has."""

    def place(i: int) -> tuple[bytes, int]:
        said = f"{seed} {epoch} {sequences[i].ids}".encode()
        return hashlib.blake2b(said, digest_size=8).digest(), i

    return sorted(range(len(sequences)), key=place)


def anchored(
    sequences: Sequence[TokenSequence], settings: TrainSettings, seed: int, anchors: Anchors
) -> Iterator[Step]:
    """An adapter's steps with its anchors.

    The own order is that of `batches`; the anchors are drawn by a generator of their own, so that
    neither an anchor nor a neighbour in the bank changes anything else of a step.
    """
    drawn = _draws(settings.anchor, seed, anchors)
    for step, batch in enumerate(batches(sequences, settings, seed), start=1):
        yield batch, next(drawn) if step % settings.anchor.interval == 0 else []


def _draws(settings: AnchorSettings, seed: int, anchors: Anchors) -> Iterator[list[TokenSequence]]:
    """Anchors of one step after the other: all are seen before one is seen again."""
    generator = torch.Generator().manual_seed(seed)  # it begins as the order's does, which does no harm
    general, neighbours = (_cycle(pool, generator) for pool in (anchors.general, anchors.neighbours))
    share = settings.neighbour_share
    if not (anchors.general and anchors.neighbours):
        share = float(bool(anchors.neighbours))
    owed = 0.0
    while True:
        batch = []
        for _ in range(settings.sequences if settings.weight > 0 and anchors.all else 0):
            owed += share
            near = owed >= 1
            owed -= near
            batch.append(next(neighbours if near else general))
        yield batch


def _cycle(pool: Sequence[TokenSequence], generator: torch.Generator) -> Iterator[TokenSequence]:
    while True:
        for i in torch.randperm(len(pool), generator=generator).tolist():
            yield pool[i]


def num_steps(num_sequences: int, settings: TrainSettings) -> int:
    return settings.epochs * -(-num_sequences // settings.batch_size)
