"""Sequences of token ids that an adapter trains on, and their order."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from selfedit.config import TrainSettings

WHOLE = ((0, sys.maxsize),)


@dataclass(frozen=True, slots=True)
class TokenSequence:
    """Token ids; the loss is on the tokens of the spans (start, end), which do not overlap and are in
    order. The first token is never in it, since nothing predicts it."""

    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...] = WHOLE

    @property
    def supervised(self) -> list[int]:
        """Places of the tokens that the loss is on."""
        length = len(self.ids)
        return [i for start, end in self.spans for i in range(max(start, 1), min(end, length))]

    @property
    def num_supervised(self) -> int:
        return len(self.supervised)


def batches(
    sequences: Sequence[TokenSequence], settings: TrainSettings, seed: int
) -> Iterator[list[TokenSequence]]:
    """An adapter's steps: each epoch a new seeded order, cut into batches."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(settings.epochs):
        order = torch.randperm(len(sequences), generator=generator).tolist()
        for start in range(0, len(order), settings.batch_size):
            yield [sequences[i] for i in order[start : start + settings.batch_size]]


def num_steps(num_sequences: int, settings: TrainSettings) -> int:
    return settings.epochs * -(-num_sequences // settings.batch_size)
