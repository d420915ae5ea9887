"""How likely a given reply is: teacher-forced, many prompts and adapters in one packed forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from selfedit.errors import OutOfMemory
from selfedit.forward.memory import within_memory
from selfedit.forward.packed import Decoder
from selfedit.forward.transfer import send
from selfedit.lora.bank import AdapterBank
from selfedit.model.prompts import Rendered
from selfedit.types import AnswerScore, Prompt

# Tokens of one forward pass: as many as pass the frozen trunk together in training (`lora.train`).
MAX_TOKENS = 4096
# Rows of logits at a time, as in `lora.loss`: [tokens, vocabulary] is never held whole.
_CHUNK = 256


@dataclass(frozen=True, slots=True)
class Reading:
    """Token ids of a prompt with its reply, the place of the reply's first token, and the adapter that
    reads."""

    ids: tuple[int, ...]
    start: int
    owner: int

    @classmethod
    def of(
        cls, render: Callable[[Prompt], Rendered], prompt: Prompt, reply: str, owner: int
    ) -> Reading:
        """The reply as the tokenizer writes it there: whatever tokens differ from the prompt's own.

        To tokenise a reply by itself would be wrong where the tokenizer puts a space before all texts.
        One that adds no token (an empty one, or of characters that the tokenizer drops) starts at the
        end.
        """
        before = render(prompt).ids
        ids = render(replace(prompt, prefix=prompt.prefix + reply)).ids
        pairs = enumerate(zip(before, ids, strict=False))
        start = next((i for i, (a, b) in pairs if a != b), min(len(before), len(ids)))
        assert start > 0, "a prompt has at least one token"
        return cls(ids, start, owner)

    @classmethod
    def of_all(
        cls,
        render: Callable[[Prompt], Rendered],
        prompts: Sequence[Prompt],
        replies: Sequence[str],
        owners: Sequence[int] | None,
    ) -> list[Reading]:
        """One for each prompt, by the first adapter where no owners are given."""
        owners = [0] * len(prompts) if owners is None else owners
        return [cls.of(render, *own) for own in zip(prompts, replies, owners, strict=True)]


def answer_scores(
    decoder: Decoder,
    readings: Sequence[Reading],
    bank: AdapterBank | None = None,
    max_tokens: int = MAX_TOKENS,
) -> list[AnswerScore]:
    """A score for each reading, in their order; a reply without tokens is certain. max_tokens: of a
    pass that holds more than one.

    A pass that does not fit into memory is halved; raises OutOfMemory where a single one does not fit.
    """
    decoder.packs()  # probed now, before adapters are attached to the model
    own = bank.over(decoder.model) if bank is not None else None
    nothing = AnswerScore(0.0, 0, True)
    said = [i for i, reading in enumerate(readings) if reading.start < len(reading.ids)]
    scores = dict.fromkeys(set(range(len(readings))).difference(said), nothing)
    waiting = list(_groups(readings, said, max_tokens))
    with torch.inference_mode(), own.attached() if own is not None else nullcontext():
        while waiting:
            group = waiting.pop(0)
            work = partial(_scores, decoder, [readings[i] for i in group], own)
            try:
                found = within_memory(work, f"reading {len(group)} replies together")
            except OutOfMemory:
                if len(group) == 1:
                    raise
                waiting[:0] = [group[: len(group) // 2], group[len(group) // 2 :]]
                continue
            scores.update(zip(group, found, strict=True))
    return [scores[i] for i in range(len(readings))]


def _groups(readings: Sequence[Reading], said: Sequence[int], max_tokens: int) -> Iterator[list[int]]:
    """Places of the readings of each pass, of those in `said`. Those of one adapter are side by side
    (`Routing` prefers stretches), and of similar length where rows are padded."""
    group: list[int] = []
    tokens = 0
    for i in sorted(said, key=lambda i: (readings[i].owner, len(readings[i].ids), i)):
        if group and tokens + len(readings[i].ids) > max_tokens:
            yield group
            group, tokens = [], 0
        group.append(i)
        tokens += len(readings[i].ids)
    if group:
        yield group


def _scores(
    decoder: Decoder, readings: Sequence[Reading], bank: AdapterBank | None
) -> list[AnswerScore]:
    inputs = [reading.ids[:-1] for reading in readings]  # the last token predicts nothing
    if bank is not None:
        owners = [reading.owner for reading in readings]
        bank.route(owners, [len(ids) for ids in inputs], decoder.row_width(inputs))
    hidden_TD = decoder.hidden(inputs)
    places: list[int] = []
    targets: list[int] = []
    offset = -1  # token t is predicted at t - 1
    for reading in readings:
        places += range(offset + reading.start, offset + len(reading.ids))
        targets += reading.ids[reading.start :]
        offset += len(reading.ids) - 1
    device = hidden_TD.device
    log_M, likeliest_M = _read(
        decoder,
        hidden_TD.index_select(0, send(torch.tensor(places), device)),
        send(torch.tensor(targets), device),
    )
    counts = [len(reading.ids) - reading.start for reading in readings]
    return [
        AnswerScore(float(logs.sum()), len(logs), bool(likeliest.all()))
        for logs, likeliest in zip(log_M.split(counts), likeliest_M.split(counts), strict=True)
    ]


def _read(decoder: Decoder, hidden_MD: Tensor, target_M: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probability of each target, in nats, and whether it is the likeliest token; on the CPU."""
    logs, likeliest = [], []
    for hidden_CD, target_C in zip(hidden_MD.split(_CHUNK), target_M.split(_CHUNK), strict=True):
        logits_CV = decoder.head.logits(hidden_CD)
        wanted_C = logits_CV.gather(1, target_C[:, None]).squeeze(1)
        logs.append(wanted_C - logits_CV.logsumexp(dim=1))
        likeliest.append(logits_CV.argmax(dim=1) == target_C)
    # float64 only on the CPU: not every device has it.
    return torch.cat(logs).cpu().double(), torch.cat(likeliest).cpu()
