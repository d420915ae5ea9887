"""How far an adapted model has moved from the bare one: KL(bare || adapted) over the whole vocabulary.

Teacher-forced: both read the same texts, and at each place the divergence between their predictions is
computed exactly. [tokens, vocabulary] is never held whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from selfedit.errors import OutOfMemory
from selfedit.forward.head import Head
from selfedit.forward.memory import within_memory
from selfedit.forward.packed import Decoder
from selfedit.forward.transfer import send
from selfedit.lora.bank import AdapterBank
from selfedit.lora.sequences import TokenSequence

# Tokens of one forward pass.
MAX_TOKENS = 2048
# Rows of logits at a time, for each of the two models.
_CHUNK = 128


@dataclass(frozen=True)
class Reader:
    """A model that reads, by itself or with adapter k of a bank over it."""

    decoder: Decoder
    bank: AdapterBank | None = None
    k: int = 0

    @property
    def head(self) -> Head:
        return self.decoder.head

    def read(self, inputs: Sequence[Sequence[int]], trunk: Sequence[Tensor] | None = None) -> Tensor:
        """Final states [T, D] of the tokens. trunk: states that enter the bank's first layer."""
        if self.bank is None:
            return self.decoder.hidden(inputs)
        bank = self.bank.over(self.decoder.model)
        width = self.decoder.row_width(inputs) if trunk is None else None
        lengths = [len(ids) for ids in inputs]
        with bank.attached():
            bank.route([self.k] * len(lengths), lengths, width)
            if trunk is not None:
                return self.decoder.resume(trunk, bank.first_layer)
            return self.decoder.hidden(inputs)


def divergence(
    bare: Reader,
    adapted: Reader,
    sequences: Sequence[TokenSequence],
    *,
    max_tokens: int = MAX_TOKENS,
    on_done: Callable[[int], None] | None = None,
) -> list[float]:
    """Mean KL(bare || adapted), in nats per token, over the supervised tokens of each sequence.

    Every sequence needs a supervised token. Both readers read the same token ids. on_done(n): n more
    sequences are read. A pass that does not fit into memory is halved; raises OutOfMemory where a
    single sequence does not fit.
    """
    assert all(sequence.num_supervised > 0 for sequence in sequences)
    for reader in (bare, adapted):
        reader.decoder.packs()  # probed now, before adapters are attached to the model
    found: dict[int, float] = {}
    waiting = list(_groups(sequences, max_tokens))
    with torch.inference_mode():
        while waiting:
            group = waiting.pop(0)
            work = partial(_means, bare, adapted, [sequences[i] for i in group])
            try:
                means = within_memory(work, f"reading {len(group)} texts twice")
            except OutOfMemory:
                if len(group) == 1:
                    raise
                waiting[:0] = [group[: len(group) // 2], group[len(group) // 2 :]]
                continue
            found.update(zip(group, means, strict=True))
            if on_done is not None:
                on_done(len(group))
    return [found[i] for i in range(len(sequences))]


def _groups(sequences: Sequence[TokenSequence], max_tokens: int) -> Iterator[list[int]]:
    """Places of the sequences of each pass, of similar length where rows are padded."""
    group: list[int] = []
    tokens = 0
    for i in sorted(range(len(sequences)), key=lambda i: (len(sequences[i].ids), i)):
        length = len(sequences[i].ids)
        if group and tokens + length > max_tokens:
            yield group
            group, tokens = [], 0
        group.append(i)
        tokens += length
    if group:
        yield group


def _means(bare: Reader, adapted: Reader, sequences: Sequence[TokenSequence]) -> list[float]:
    inputs = [sequence.ids[:-1] for sequence in sequences]  # the last token predicts nothing
    places: list[int] = []
    offset = -1  # token t is predicted at t - 1
    for sequence in sequences:
        places += [offset + place for place in sequence.supervised]
        offset += len(sequence.ids) - 1
    index = torch.tensor(places)
    states = [
        hidden.index_select(0, send(index, hidden.device)) for hidden in _both(bare, adapted, inputs)
    ]
    kls = [
        _kl(bare.head, own, adapted.head, other)
        for own, other in zip(*(state.split(_CHUNK) for state in states), strict=True)
    ]
    # float64 only on the CPU: not every device has it. Rounding may leave a KL slightly below zero.
    kl_M = torch.cat(kls).cpu().double().clamp(min=0)
    counts = [sequence.num_supervised for sequence in sequences]
    return [float(part.mean()) for part in kl_M.split(counts)]


def _both(bare: Reader, adapted: Reader, inputs: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Final states of both readers; layers below the adapter's first are run once for the two."""
    bank = adapted.bank
    if (
        bank is not None
        and bare.bank is None
        and bare.decoder is adapted.decoder
        and bare.decoder.has_trunk(bank.first_layer, max(map(len, inputs)))
    ):
        trunk = bare.decoder.trunk(inputs, bank.first_layer)
        return bare.decoder.resume(trunk, bank.first_layer), adapted.read(inputs, trunk)
    return bare.read(inputs), adapted.read(inputs)


def _kl(head: Head, own_CD: Tensor, other_head: Head, other_CD: Tensor) -> Tensor:
    """KL [C], from final states, where the second are."""
    both = ((head, own_CD), (other_head, other_CD))
    log_CV, other_CV = (own.logits(x).log_softmax(1) for own, x in both)
    other_CV.neg_().add_(log_CV.to(other_CV.device))
    return (log_CV.exp_().to(other_CV.device) * other_CV).sum(dim=1)
