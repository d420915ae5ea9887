"""The bare model's own predictions at the places that an adapter is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from selfedit.forward.packed import Decoder
from selfedit.lora.loss import teach
from selfedit.lora.sequences import SoftTargets, TokenSequence

# Tokens of one forward pass.
_TOGETHER = 4096

Pair = tuple[TokenSequence, TokenSequence]


def soften(
    decoder: Decoder,
    sequences: Sequence[TokenSequence],
    top_k: int,
    read: Sequence[TokenSequence] | None = None,
) -> list[TokenSequence]:
    """The sequences with the bare model's distributions at their supervised places.

    read: what it reads in place of each, as the teacher of a context distillation; the supervised
    places there are as many and have the same tokens.
    """
    result: list[TokenSequence] = []
    for group in _groups(list(zip(sequences, read or sequences, strict=True))):
        places, offset = [], 0
        for sequence, behind in group:
            supervised = behind.supervised
            assert len(supervised) == sequence.num_supervised
            places += [offset + place - 1 for place in supervised]
            offset += len(behind.ids) - 1
        with torch.no_grad():
            hidden_TD = decoder.hidden([behind.ids[:-1] for _, behind in group])
            picked_MD = hidden_TD[torch.tensor(places, device=hidden_TD.device)]
            parts = teach(picked_MD, decoder.head, top_k)
        counts = [sequence.num_supervised for sequence, _ in group]
        for (sequence, _), *own in zip(group, *(part.split(counts) for part in parts), strict=True):
            # clone: the pieces must not keep the whole group alive
            result.append(replace(sequence, soft=SoftTargets(*(piece.clone() for piece in own))))
    return result


def blank(sequence: TokenSequence, top_k: int, vocabulary: int) -> TokenSequence:
    """Like `soften`, without its numbers: for computing memory beforehand."""
    shape = (sequence.num_supervised, min(top_k, vocabulary))
    kept = torch.empty(shape, device="meta")
    return replace(sequence, soft=SoftTargets(kept, kept, kept[:, 0]))


def _groups(pairs: Sequence[Pair]) -> list[list[Pair]]:
    groups: list[list[Pair]] = []
    size = _TOGETHER
    for pair in pairs:
        length = len(pair[1].ids)
        if size + length > _TOGETHER:
            groups.append([])
            size = 0
        groups[-1].append(pair)
        size += length
    return groups
