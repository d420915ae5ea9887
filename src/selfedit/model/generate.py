"""Text from many prompts and, if given, many adapters, in batches bounded by a token budget.

Every row draws from its own seed, so a reply does not depend on what else is asked; rows
that have ended leave the batch (at once, or when half of it has: `decode_step.py`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from threading import Event
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from selfedit.config import SamplingSettings
from selfedit.endpoints.replies import without_thoughts
from selfedit.errors import InputError, OutOfMemory
from selfedit.forward.cache import growing_cache
from selfedit.forward.memory import within_memory
from selfedit.forward.packed import Decoder
from selfedit.forward.threads import side_by_side
from selfedit.lora.bank import AdapterBank
from selfedit.model.constrained import Constraint
from selfedit.model.cuda_graph import Graph
from selfedit.model.decode_step import (
    FixedSteps,
    GrowingSteps,
    Steps,
    takes_fixed_steps,
)
from selfedit.model.prefill import prefill
from selfedit.model.prompts import Rendered
from selfedit.model.recompute import RecomputedSteps, takes_cache
from selfedit.model.sampling import choose, log_probabilities
from selfedit.types import Completion

# Minimum rows to justify another thread; with fewer, it mostly reads weights (docs/performance.md).
FEWEST_APART = 32
_SHOWN = 16  # tokens of a prompt that is too long


@dataclass
class _Row:
    index: int
    prompt: Rendered
    owner: int
    generator: torch.Generator
    limit: int
    constraint: Constraint | None = None
    tokens: list[int] = field(default_factory=list)
    drawn: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    ended: bool = False

    def begin(self) -> None:
        """Start as if nothing had been written yet."""
        self.tokens, self.drawn, self.logprobs, self.ended = [], [], [], False
        self.generator.manual_seed(self.generator.initial_seed())
        if self.constraint is not None:
            self.constraint.restart()


def generate(
    decoder: Decoder,
    tokenizer: Any,
    prompts: Sequence[Rendered],
    sampling: SamplingSettings,
    seeds: Sequence[int],
    *,
    bank: AdapterBank | None = None,
    owners: Sequence[int] | None = None,
    token_budget: int = 16384,
    beside: Sequence[Decoder] = (),
    graph: Callable[[], Graph] | None = None,
    logprobs: bool = False,
    on_done: Callable[[int], None] | None = None,
    status: Callable[[str], None] = lambda text: None,
) -> list[Completion]:
    """Replies to the prompts, in their order, special tokens removed.

    seeds: one per prompt. owners: which adapter of `bank` answers each prompt.
    logprobs: also the drawn tokens and their log-probabilities (see `Completion`).
    token_budget: bound on rows x (prompt + new tokens) of one batch. beside: decoders over the same
    weights, each of which writes its share of a batch in its own thread. graph: makes a graph of
    the decode step, if the model's architecture allows it. on_done(n): n more are ready.
    A batch that does not fit into memory is halved, and `status` told so; raises OutOfMemory if a
    single row does not fit. A reply ends where the model's window does; raises InputError for a prompt
    that leaves no room for one.
    """
    assert bank is None or (owners is not None and len(owners) == len(prompts))
    room = window(decoder.model)
    rows = [
        _Row(
            i,
            prompt,
            owners[i] if owners is not None else 0,
            torch.Generator().manual_seed(seeds[i]),
            min(prompt.max_new_tokens or sampling.max_new_tokens, room - len(prompt.ids)),
        )
        for i, prompt in enumerate(prompts)
    ]
    _check_room(rows, room, tokenizer)
    replies = [Completion("")] * len(rows)
    stop_ids = ending_tokens(decoder.model, tokenizer)
    vocabulary = decoder.head.vocabulary
    for row in rows:
        if row.prompt.pattern:
            row.constraint = Constraint(row.prompt.pattern, tokenizer, vocabulary, sorted(stop_ids))
    # All are probed now, before adapters are attached to the model.
    for own in (decoder, *beside):
        takes_cache(own)
    if bank is not None:
        decoder.shares_prompts(bank.first_layer)
    if graph is not None:
        takes_fixed_steps(decoder)

    def write(decoder: Decoder, batch: list[_Row], stop: Event) -> None:
        batch.sort(key=lambda row: (row.owner, row.index))
        own = bank.over(decoder.model) if bank is not None else None
        steps = partial(_steps, decoder, own, batch, graph, status)
        with torch.inference_mode(), own.attached() if own is not None else nullcontext():
            _decode(decoder, tokenizer, batch, sampling, stop_ids, own, steps, stop, logprobs)

    def work(batch: list[_Row]) -> None:
        parts = zip((decoder, *beside), _parts(batch, 1 + len(beside)), strict=False)
        side_by_side([partial(write, own, part) for own, part in parts])

    waiting = _batches(rows, token_budget)
    while waiting:
        batch = waiting.pop(0)
        for row in batch:
            row.begin()
        try:
            within_memory(partial(work, batch), f"writing {len(batch)} texts together")
        except OutOfMemory as error:
            if len(batch) == 1:
                raise
            status(f"{error}: going on with half as many at a time")
            waiting[:0] = [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
            continue
        for row in batch:
            text = tokenizer.decode(row.tokens, skip_special_tokens=True)
            text = without_thoughts(cut(text, row.prompt.stops))
            replies[row.index] = Completion(text, tuple(row.logprobs), tuple(row.drawn), row.ended)
        if on_done is not None:
            on_done(len(batch))
    return replies


def _check_room(rows: Sequence[_Row], room: int, tokenizer: Any) -> None:
    """Raises InputError for a prompt that does not fit into the model's window."""
    for row in rows:
        if row.limit < 1:
            length = len(row.prompt.ids)
            middle = tokenizer.decode(row.prompt.ids[length // 2 :][:_SHOWN], skip_special_tokens=True)
            raise InputError(
                f"a prompt of {length:,} tokens does not fit into the {room:,} that the model reads "
                f'("... {middle} ..."): shorten it, or use a model with a longer window.'
            )


def _batches(rows: list[_Row], budget: int) -> list[list[_Row]]:
    """Rows by length, as many to a batch as the budget holds (at least one)."""
    max_new = max((row.limit for row in rows), default=0)
    result: list[list[_Row]] = []
    # Equal prompts side by side: the layers below the adapters then process them once.
    for row in sorted(rows, key=lambda row: (-len(row.prompt.ids), row.prompt.ids, row.index)):
        if result and (len(result[-1]) + 1) * (len(result[-1][0].prompt.ids) + max_new) <= budget:
            result[-1].append(row)
        else:
            result.append([row])
    return result


def _parts(batch: list[_Row], count: int) -> list[list[_Row]]:
    """The batch for `count` threads, in parts of like size.

    Equal prompts are neighbours, so that few are separated. A part of few rows takes nearly as long
    as one of many, since it reads the weights.
    """
    count = max(1, min(count, len(batch) // FEWEST_APART))
    edges = [len(batch) * n // count for n in range(count + 1)]
    return [batch[start:end] for start, end in pairwise(edges)]


def _steps(
    decoder: Decoder,
    bank: AdapterBank | None,
    rows: list[_Row],
    graph: Callable[[], Graph] | None,
    status: Callable[[str], None],
    cache: DynamicCache,
    mask_NS: Tensor,
) -> Steps:
    owners = [row.owner for row in rows]
    if graph is None or not takes_fixed_steps(decoder):
        return GrowingSteps(decoder, cache, mask_NS, bank, owners)
    new = max(row.limit for row in rows)
    return FixedSteps(decoder, cache, mask_NS, bank, owners, new=new, graph=graph, status=status)


def window(model: PreTrainedModel) -> int:
    """Tokens that the model was made for, prompt and reply together; without a bound, very many."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None) or sys.maxsize


def ending_tokens(model: PreTrainedModel, tokenizer: Any) -> set[int]:
    """Tokens that end a reply: those of the generation's, the model's and the tokenizer's settings."""
    stops: set[int] = set()
    for value in (
        getattr(model.generation_config, "eos_token_id", None),
        getattr(model.config.get_text_config(), "eos_token_id", None),
        tokenizer.eos_token_id,
    ):
        stops.update([value] if isinstance(value, int) else value or [])
    return stops


def cut(text: str, stops: Sequence[str]) -> str:
    """The reply up to the first of the strings that end it."""
    for stop in stops:
        text = text.lstrip().split(stop, 1)[0] if stop in text.lstrip() else text
    return text


def _decode(
    decoder: Decoder,
    tokenizer: Any,
    rows: list[_Row],
    sampling: SamplingSettings,
    stop_ids: set[int],
    bank: AdapterBank | None,
    steps: Callable[[DynamicCache, Tensor], Steps],
    stop: Event,
    logprobs: bool,
) -> None:
    """Fill `tokens` of every row, unless `stop` is set. Left padding: all rows end at one column."""
    texts, owners = [row.prompt.ids for row in rows], [row.owner for row in rows]
    if takes_cache(decoder):
        cache = growing_cache(decoder.model.config)
        logits_NV, mask_NS = prefill(decoder, texts, cache, bank, owners)
        step = steps(cache, mask_NS)
    else:
        again = RecomputedSteps(decoder, texts, bank, owners)
        logits_NV, step = again.first(), again
    live = list(rows)
    while not stop.is_set():
        logits_NV = _constrained(logits_NV, live)
        chosen = choose(logits_NV, sampling, [row.generator for row in live])
        if logprobs:
            for row, token, value in zip(
                live, chosen, log_probabilities(logits_NV, chosen, sampling), strict=True
            ):
                row.drawn.append(token)
                row.logprobs.append(value)
        keep = [n for n, row in enumerate(live) if _goes_on(row, chosen[n], stop_ids, tokenizer)]
        if not keep:
            return
        live = [live[n] for n in keep]
        logits_NV = step(keep, [row.tokens[-1] for row in live])


def _goes_on(row: _Row, token: int, stop_ids: set[int], tokenizer: Any) -> bool:
    """Take the row's next token; False when the row has ended, by itself or at its limit."""
    row.ended = token in stop_ids or _completes(row, token, tokenizer)
    return not row.ended and len(row.tokens) < row.limit


def _completes(row: _Row, token: int, tokenizer: Any) -> bool:
    """Take a token of the text; whether the text is complete with it."""
    row.tokens.append(token)
    if row.constraint is not None and not row.constraint.take(token):
        return True
    if row.prompt.stops:
        text = tokenizer.decode(row.tokens, skip_special_tokens=True).lstrip()
        return any(stop in text for stop in row.prompt.stops)
    return False


def _constrained(logits_NV: Tensor, rows: list[_Row]) -> Tensor:
    """The logits, -inf where a row's constraint does not allow the token."""
    held = [n for n, row in enumerate(rows) if row.constraint is not None]
    if not held:
        return logits_NV
    barred = torch.zeros(logits_NV.shape, dtype=torch.bool)
    for n in held:
        constraint = rows[n].constraint
        assert constraint is not None
        barred[n] = ~constraint.allowed(logits_NV.shape[1])
    return logits_NV.masked_fill(barred.to(logits_NV.device), float("-inf"))
