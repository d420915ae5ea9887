"""The inner loop's training: K adapters, each on its own sequences, in one forward and backward.

Each adapter has its own order, step count, learning-rate decay, gradient norm and end; the result is
that of training it alone (tests/lora/test_equality.py holds this against PEFT + torch AdamW).
"""

from __future__ import annotations

import heapq
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from selfedit.config import TrainSettings
from selfedit.lora.bank import AdapterBank
from selfedit.lora.loss import head_loss
from selfedit.lora.records import TrainingRecord
from selfedit.lora.routing import Routing
from selfedit.model.packed import Decoder

WHOLE = ((0, sys.maxsize),)
# Tokens that pass the frozen trunk together.
TRUNK_TOKENS = 4096


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


def lanes(steps: Sequence[int], slots: int) -> list[list[int]]:
    """Which adapters train one after the other in each slot: the next one in the first that is free.

    steps: of each adapter. Every lane holds one at least, so there may be fewer than `slots`.
    """
    free: list[tuple[int, int]] = [(0, lane) for lane in range(min(slots, len(steps)))]
    result: list[list[int]] = [[] for _ in free]
    for n, count in enumerate(steps):
        ends, lane = heapq.heappop(free)
        result[lane].append(n)
        heapq.heappush(free, (ends + count, lane))
    return result


@dataclass(frozen=True, slots=True)
class _Running:
    """An adapter that trains: its number in the bank, and its batches that are left."""

    number: int
    batches: Iterator[list[TokenSequence]]


class BankTrainer:
    """Trains a bank: `data[n]` under `settings[n]` for adapter n.

    slots: how many train at the same time (None: all); a finished one's slot is filled with the next
    (`lanes`). use_trunk: False is the reference that runs all layers in every step.
    """

    def __init__(
        self,
        decoder: Decoder,
        bank: AdapterBank,
        data: Sequence[Sequence[TokenSequence]],
        settings: Sequence[TrainSettings],
        *,
        slots: int | None = None,
        use_trunk: bool = True,
        checkpointing: bool = False,
    ) -> None:
        assert len(data) == len(settings) == bank.num_adapters
        assert all(any(s.num_supervised > 0 for s in sequences) for sequences in data)
        self.decoder, self.bank, self.settings = decoder, bank, settings
        self.data = [[s for s in sequences if s.num_supervised > 0] for sequences in data]
        self.records = [TrainingRecord() for _ in data]
        self.steps = [num_steps(len(d), s) for d, s in zip(self.data, settings, strict=True)]
        self.lanes = lanes(self.steps, slots or bank.num_adapters)
        decoder.packs()  # found out now, before adapters hang on the model
        self.first_layer = bank.first_layer
        self.use_trunk = use_trunk and decoder.has_trunk(self.first_layer)
        self.checkpointing = checkpointing
        self._trunk: dict[tuple[int, ...], Tensor] = {}

    def run(self, on_step: Callable[[int, int], None] | None = None) -> list[TrainingRecord]:
        """Train to the end. on_step(finished steps, the longest lane's steps)."""
        if self.use_trunk:
            self._fill_trunk()
        # Where adapters stand while they train, one a slot: the bank itself if each has its own.
        all_at_once = len(self.lanes) == self.bank.num_adapters
        self.desk = desk = self.bank if all_at_once else self.bank.like(len(self.lanes))
        desk.require_gradients()
        if desk.settings.dropout > 0:
            desk.dropout = [torch.Generator() for _ in self.lanes]
        self.optimizer = StackedAdamW(desk)
        longest = max(sum(self.steps[n] for n in lane) for lane in self.lanes)
        less = self.decoder.checkpointing(desk.dropout or ()) if self.checkpointing else nullcontext()
        waiting = [list(lane) for lane in self.lanes]
        running: dict[int, _Running] = {}
        with desk.attached(), less:
            for step in range(longest):
                for slot, queue in enumerate(waiting):
                    if slot not in running and queue:
                        running[slot] = self._begin(slot, queue.pop(0))
                if not running:
                    break
                self._step(running)
                for slot in [
                    slot for slot, adapter in running.items() if self._is_done(adapter.number)
                ]:
                    self._end(slot, running.pop(slot).number)
                if on_step is not None:
                    on_step(step + 1, longest)
        desk.dropout = None
        desk.freeze()
        self._trunk.clear()
        return self.records

    def _begin(self, slot: int, n: int) -> _Running:
        """Adapter n takes the slot, as it was drawn."""
        if self.desk is not self.bank:
            self.desk.weights_KP[slot] = self.bank.weights_KP[n]
        if self.desk.dropout is not None:
            self.desk.dropout[slot].manual_seed(self.bank.seeds[n])
        self.optimizer.begin(slot, self.settings[n], self.steps[n])
        return _Running(n, batches(self.data[n], self.settings[n], self.bank.seeds[n]))

    def _is_done(self, n: int) -> bool:
        record = self.records[n]
        return len(record.losses) == self.steps[n] or bool(record.failure)

    def _end(self, slot: int, n: int) -> None:
        if self.desk is not self.bank:
            self.bank.weights_KP[n] = self.desk.weights_KP[slot]

    def _fill_trunk(self, max_tokens: int = TRUNK_TOKENS) -> None:
        """States entering the first adapted layer, once for each distinct sequence."""
        group: list[tuple[int, ...]] = []
        distinct = {s.ids[:-1] for sequences in self.data for s in sequences}
        for ids in sorted(distinct, key=len):
            group.append(ids)
            if sum(map(len, group)) >= max_tokens:
                self._run_trunk(group)
                group = []
        if group:
            self._run_trunk(group)

    def _run_trunk(self, group: list[tuple[int, ...]]) -> None:
        states = self.decoder.trunk(group, self.first_layer)
        self._trunk.update(zip(group, states, strict=True))

    def _step(self, running: dict[int, _Running]) -> None:
        """One optimizer step of every adapter that trains."""
        batch = {slot: next(adapter.batches) for slot, adapter in running.items()}
        rows = [(slot, sequence) for slot, sequences in batch.items() for sequence in sequences]
        inputs = [sequence.ids[:-1] for _, sequence in rows]  # the last token predicts nothing
        self.desk.routing = Routing.of_lengths(
            [slot for slot, _ in rows],
            [len(ids) for ids in inputs],
            self.desk.num_adapters,
            self.decoder.device,
            row_width=None if self.use_trunk else self.decoder.row_width(inputs),
        )
        if self.use_trunk:
            hidden = self.decoder.resume([self._trunk[ids] for ids in inputs], self.first_layer)
        else:
            hidden = self.decoder.hidden(inputs)
        losses = self._backward(hidden, rows)
        ok = self.optimizer.step(list(batch), losses)
        for slot, adapter in running.items():
            record = self.records[adapter.number]
            record.losses.append(losses[slot])
            record.tokens += sum(len(s.ids) for s in batch[slot])
            if not ok[slot]:
                record.failure = (
                    f"loss or gradient was not finite at step {len(record.losses)} of "
                    f"{self.steps[adapter.number]} (learning rate "
                    f"{self.settings[adapter.number].learning_rate:g})"
                )

    def _backward(self, hidden_TD: Tensor, rows: list[tuple[int, TokenSequence]]) -> dict[int, float]:
        """Gradients of the sum over adapters of each one's mean token loss; those means."""
        supervised: list[int] = []
        targets: list[int] = []
        owners: list[int] = []
        offset = 0
        for k, sequence in rows:
            places = sequence.supervised
            supervised += [offset + place - 1 for place in places]
            targets += [sequence.ids[place] for place in places]
            owners += [k] * len(places)
            offset += len(sequence.ids) - 1
        device = hidden_TD.device
        owner_M = torch.tensor(owners)
        count_K = torch.bincount(owner_M, minlength=self.desk.num_adapters)
        weight_M = (1.0 / count_K.double())[owner_M]
        wide = torch.float64 if hidden_TD.dtype == torch.float64 else torch.float32
        picked = hidden_TD.index_select(0, torch.tensor(supervised, device=device))
        total, loss_M = token_losses(
            self.decoder.model,
            picked,
            torch.tensor(targets, device=device),
            weight_M.to(device, wide),
        )
        total.backward()
        mean_K = torch.zeros(self.desk.num_adapters, dtype=torch.float64).index_add(
            0, owner_M, loss_M.detach().double().cpu() * weight_M
        )
        return {k: float(mean_K[k]) for k in {k for k, _ in rows}}


def token_losses(
    model: PreTrainedModel, hidden_MD: Tensor, target_M: Tensor, weight_M: Tensor
) -> tuple[Tensor, Tensor]:
    """Weighted sum and values [M] of the cross-entropies, through the model's own head.

    Heads that do more than a matrix product (soft-capped or scaled logits) are refused by
    `LanguageModel` when it loads the model, so that a wrong loss can never be trained on.
    """
    return head_loss(hidden_MD, model.get_output_embeddings(), target_M, weight_M)


def rate_factor(settings: TrainSettings, taken: int, steps: int) -> float:
    """Share of the full learning rate after `taken` of `steps` steps.

    As transformers' schedulers: with a warm-up it rises linearly from zero; then it falls to zero
    after the last step, linearly or as half a cosine (Loshchilov & Hutter, arXiv 1608.03983).
    """
    if taken < settings.warmup_steps:
        return taken / settings.warmup_steps
    progress = (taken - settings.warmup_steps) / max(1, steps - settings.warmup_steps)
    if settings.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    return 1 - progress


class StackedAdamW:
    """torch's fused AdamW over the rows of a bank: own step count, schedule and clip for each adapter.

    Loshchilov & Hutter, arXiv 1711.05101; betas 0.9 and 0.999, eps 1e-8.
    """

    def __init__(self, bank: AdapterBank) -> None:
        assert bank.gradient_KP is not None
        self.gradient_KP = bank.gradient_KP
        self.rows = [bank.weights_KP[k].detach() for k in range(bank.num_adapters)]
        self._own: dict[int, _Schedule] = {}

    def begin(self, k: int, settings: TrainSettings, steps: int) -> None:
        """Row k is another adapter from now on, which will take so many steps."""
        row = self.rows[k]
        optimizer = torch.optim.AdamW(
            [row], lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        self._own[k] = _Schedule(optimizer, settings, steps)

    def step(self, active: Sequence[int], losses: dict[int, float]) -> dict[int, bool]:
        """Update the active adapters; False for those whose loss or gradient has a NaN or inf."""
        norm_K = {k: float(self.gradient_KP[k].norm()) for k in active}
        finite = {k: torch.isfinite(torch.tensor([losses[k], norm_K[k]])).all().item() for k in active}
        for k in active:
            if finite[k]:
                self._step_one(k, norm_K[k])
        return {k: bool(ok) for k, ok in finite.items()}

    def _step_one(self, k: int, norm: float) -> None:
        own, gradient = self._own[k], self.gradient_KP[k]
        if norm > own.settings.clip:
            gradient *= own.settings.clip / (norm + 1e-6)  # as torch.nn.utils.clip_grad_norm_
        rate = own.settings.learning_rate * rate_factor(own.settings, own.taken, own.steps)
        own.optimizer.param_groups[0]["lr"] = rate
        self.rows[k].grad = gradient
        own.optimizer.step()
        own.taken += 1


@dataclass
class _Schedule:
    """An adapter's optimizer, how it is to be trained, and how many of its steps are taken."""

    optimizer: torch.optim.Optimizer
    settings: TrainSettings
    steps: int
    taken: int = 0
