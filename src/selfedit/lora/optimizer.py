"""AdamW over the rows of a bank, each row on its own schedule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from selfedit.config import TrainSettings
from selfedit.lora.bank import AdapterBank


def rate_factor(settings: TrainSettings, taken: int, steps: int) -> float:
    """Share of the full learning rate after `taken` of `steps` steps.

    As in transformers' schedulers: with a warm-up it rises linearly from zero; then it falls to zero
    after the last step, linearly or as half a cosine (Loshchilov & Hutter, arXiv 1608.03983).
    """
    if taken < settings.warmup_steps:
        return taken / settings.warmup_steps
    progress = (taken - settings.warmup_steps) / max(1, steps - settings.warmup_steps)
    if settings.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    return 1 - progress


@dataclass
class _Schedule:
    """An adapter's optimizer, its training settings, and the number of steps taken."""

    optimizer: torch.optim.Optimizer
    settings: TrainSettings
    steps: int
    taken: int = 0


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
        """Row k is a new adapter from now on, which will take that many steps."""
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
