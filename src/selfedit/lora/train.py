"""The inner loop's training: K adapters, each on its own sequences, in one forward and backward.

Each adapter has its own order, step count, learning-rate decay, gradient norm and end; the result is
that of training it alone (tests/lora/test_equality.py holds this against PEFT + torch AdamW).
"""

from __future__ import annotations

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


class BankTrainer:
    """Trains a bank: `data[k]` under `settings[k]` for adapter k."""

    def __init__(
        self,
        decoder: Decoder,
        bank: AdapterBank,
        data: Sequence[Sequence[TokenSequence]],
        settings: Sequence[TrainSettings],
        *,
        use_trunk: bool = True,
        checkpointing: bool = False,
    ) -> None:
        assert len(data) == len(settings) == bank.num_adapters
        assert all(any(s.num_supervised > 0 for s in sequences) for sequences in data)
        self.decoder, self.bank, self.settings = decoder, bank, settings
        self.data = [[s for s in sequences if s.num_supervised > 0] for sequences in data]
        self.records = [TrainingRecord() for _ in data]
        self.steps = [num_steps(len(d), s) for d, s in zip(self.data, settings, strict=True)]
        decoder.packs()  # found out now, before adapters hang on the model
        self.first_layer = bank.first_layer
        self.use_trunk = use_trunk and decoder.has_trunk(self.first_layer)
        self.checkpointing = checkpointing
        self._trunk: dict[tuple[int, ...], Tensor] = {}

    def run(self, on_step: Callable[[int, int], None] | None = None) -> list[TrainingRecord]:
        """Train to the end. on_step(finished steps, longest adapter's steps)."""
        if self.use_trunk:
            self._fill_trunk()
        bank = self.bank
        bank.require_gradients()
        if bank.settings.dropout > 0:
            bank.dropout = [torch.Generator().manual_seed(seed) for seed in bank.seeds]
        optimizer = StackedAdamW(bank, self.settings, self.steps)
        orders = [
            batches(sequences, settings, seed)
            for sequences, settings, seed in zip(self.data, self.settings, bank.seeds, strict=True)
        ]
        longest = max(self.steps)
        less = self.decoder.checkpointing(bank.dropout or ()) if self.checkpointing else nullcontext()
        with bank.attached(), less:
            for step in range(longest):
                active = [k for k in range(bank.num_adapters) if self._runs(k, step)]
                if not active:
                    break
                self._step({k: next(orders[k]) for k in active}, optimizer)
                if on_step is not None:
                    on_step(step + 1, longest)
        bank.dropout = None
        bank.freeze()
        self._trunk.clear()
        return self.records

    def _runs(self, k: int, step: int) -> bool:
        return step < self.steps[k] and not self.records[k].failure

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

    def _step(self, batch: dict[int, list[TokenSequence]], optimizer: StackedAdamW) -> None:
        """One optimizer step of every adapter in `batch`."""
        rows = [(k, sequence) for k, sequences in batch.items() for sequence in sequences]
        inputs = [sequence.ids[:-1] for _, sequence in rows]  # the last token predicts nothing
        self.bank.routing = Routing.of_lengths(
            [k for k, _ in rows],
            [len(ids) for ids in inputs],
            self.bank.num_adapters,
            self.decoder.device,
            row_width=None if self.use_trunk else self.decoder.row_width(inputs),
        )
        if self.use_trunk:
            hidden = self.decoder.resume([self._trunk[ids] for ids in inputs], self.first_layer)
        else:
            hidden = self.decoder.hidden(inputs)
        losses = self._backward(hidden, rows)
        ok = optimizer.step(list(batch), losses)
        for k, sequences in batch.items():
            record = self.records[k]
            record.losses.append(losses[k])
            record.tokens += sum(len(s.ids) for s in sequences)
            if not ok[k]:
                record.failure = (
                    f"loss or gradient was not finite at step {len(record.losses)} of "
                    f"{self.steps[k]} (learning rate {self.settings[k].learning_rate:g})"
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
        count_K = torch.bincount(owner_M, minlength=self.bank.num_adapters)
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
        mean_K = torch.zeros(self.bank.num_adapters, dtype=torch.float64).index_add(
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

    def __init__(
        self, bank: AdapterBank, settings: Sequence[TrainSettings], steps: Sequence[int]
    ) -> None:
        assert bank.gradient_KP is not None
        self.gradient_KP = bank.gradient_KP
        self.settings, self.steps = settings, steps
        self.taken = [0] * bank.num_adapters
        self.rows = []
        self.optimizers = []
        for k, own in enumerate(settings):
            row = bank.weights_KP[k].detach()
            self.rows.append(row)
            self.optimizers.append(
                torch.optim.AdamW(
                    [row], lr=own.learning_rate, weight_decay=own.weight_decay, fused=True
                )
            )

    def step(self, active: Sequence[int], losses: dict[int, float]) -> dict[int, bool]:
        """Update the active adapters; False for those whose loss or gradient has a NaN or inf."""
        norm_K = {k: float(self.gradient_KP[k].norm()) for k in active}
        finite = {k: torch.isfinite(torch.tensor([losses[k], norm_K[k]])).all().item() for k in active}
        for k in active:
            if finite[k]:
                self._step_one(k, norm_K[k])
        return {k: bool(ok) for k, ok in finite.items()}

    def _step_one(self, k: int, norm: float) -> None:
        own, gradient = self.settings[k], self.gradient_KP[k]
        if norm > own.clip:
            gradient *= own.clip / (norm + 1e-6)  # as torch.nn.utils.clip_grad_norm_
        group = self.optimizers[k].param_groups[0]
        group["lr"] = own.learning_rate * rate_factor(own, self.taken[k], self.steps[k])
        self.rows[k].grad = gradient
        self.optimizers[k].step()
        self.taken[k] += 1
