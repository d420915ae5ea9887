"""AdamW over the rows of a bank, each row on its own schedule.

`StackedAdamW` is the reference, and what a CPU takes. `DeviceAdamW` does the same on a GPU without
waiting for it: what came of a step is read when the next one has been launched.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from selfedit.config import TrainSettings
from selfedit.lora.bank import AdapterBank
from selfedit.lora.supervision import Losses, StepLoss

_BETAS, _EPS = (0.9, 0.999), 1e-8

# What came of a step for each adapter: its loss, and False where it was refused. To call it may wait.
Outcome = Callable[[], dict[int, tuple[StepLoss, bool]]]


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

    late = 0  # steps that are launched before the outcome of one is read

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

    def step(self, active: Sequence[int], losses: Losses) -> Outcome:
        """Update the active adapters, but for those whose loss or gradient has a NaN or inf: they stay
        as they are."""
        found, _ = losses.fetch()()
        norm_K = {k: float(self.gradient_KP[k].norm()) for k in active}
        finite = {k: math.isfinite(found[k].whole) and math.isfinite(norm_K[k]) for k in active}
        for k in active:
            if finite[k]:
                self._step_one(k, norm_K[k])
        return lambda: {k: (found[k], finite[k]) for k in active}

    def _step_one(self, k: int, norm: float) -> None:
        own, gradient = self._own[k], self.gradient_KP[k]
        if norm > own.settings.clip:
            gradient *= own.settings.clip / (norm + 1e-6)  # as torch.nn.utils.clip_grad_norm_
        rate = own.settings.learning_rate * rate_factor(own.settings, own.taken, own.steps)
        own.optimizer.param_groups[0]["lr"] = rate
        self.rows[k].grad = gradient
        own.optimizer.step()
        increment_version(self.rows[k])  # see `DeviceAdamW._launch`
        own.taken += 1


class DeviceAdamW:
    """torch's fused AdamW over the rows of a bank, one kernel a row, launched without knowing a norm or
    a loss.

    The clip that follows from a gradient's norm, and whether all is finite, stay on the device: the
    kernel takes them as `grad_scale` and `found_inf`, and leaves a row alone where the latter is set.
    It stays set, since the CPU learns of it a step later: losses and flags are copied together.
    """

    late = 1

    def __init__(self, bank: AdapterBank) -> None:
        assert bank.gradient_KP is not None
        self.gradient_KP, self.weights_KP = bank.gradient_KP, bank.weights_KP.detach()
        self._first_KP, self._second_KP = (torch.zeros_like(self.weights_KP) for _ in range(2))
        rows = (bank.num_adapters,)
        self._clip_K = self.weights_KP.new_full(rows, math.inf)
        # Counts, scales and flags are float32 whatever the weights are, as the kernel wants them.
        self._taken_K, self._bad_K = (
            torch.zeros(rows, dtype=torch.float32, device=self.weights_KP.device) for _ in range(2)
        )
        self._own: dict[int, tuple[TrainSettings, int, int]] = {}  # settings, steps taken, of how many

    def begin(self, k: int, settings: TrainSettings, steps: int) -> None:
        """Row k is a new adapter from now on, which will take that many steps."""
        for state in (self._first_KP[k], self._second_KP[k], self._taken_K[k], self._bad_K[k]):
            state.zero_()
        self._clip_K[k].fill_(settings.clip)
        self._own[k] = (settings, 0, steps)

    def step(self, active: Sequence[int], losses: Losses) -> Outcome:
        """As `StackedAdamW.step`."""
        norm_K = torch.linalg.vector_norm(self.gradient_KP, dim=1)
        self._bad_K.masked_fill_(~torch.isfinite(norm_K + losses.on_device(len(norm_K))), 1.0)
        # As torch.nn.utils.clip_grad_norm_; the kernel divides.
        scale_K = torch.where(norm_K > self._clip_K, (norm_K + 1e-6) / self._clip_K, 1.0)
        if scale_K.dtype != torch.float32:  # too coarse for such weights
            self.gradient_KP.div_(scale_K[:, None])
            scale_K = torch.ones_like(self._bad_K)
        self._taken_K += 1
        for k in active:
            self._launch(k, scale_K[k], self._bad_K[k])
        return partial(_outcome, losses.fetch(self._bad_K), tuple(active))

    def _launch(self, k: int, scale: Tensor, bad: Tensor) -> None:
        settings, taken, steps = self._own[k]
        torch._fused_adamw_(
            [self.weights_KP[k]],
            [self.gradient_KP[k]],
            [self._first_KP[k]],
            [self._second_KP[k]],
            [],
            [self._taken_K[k]],
            lr=settings.learning_rate * rate_factor(settings, taken, steps),
            beta1=_BETAS[0],
            beta2=_BETAS[1],
            weight_decay=settings.weight_decay,
            eps=_EPS,
            amsgrad=False,
            maximize=False,
            grad_scale=scale,
            found_inf=bad,
        )
        # The kernel does not say so itself, and the bank's copy in half precision goes by it.
        increment_version(self.weights_KP)
        self._own[k] = (settings, taken + 1, steps)


def _outcome(
    read: Callable[[], tuple[dict[int, StepLoss], list[float]]], active: Sequence[int]
) -> dict[int, tuple[StepLoss, bool]]:
    found, bad = read()
    return {k: (found[k], not bad[k]) for k in active}


def optimizer_of(bank: AdapterBank) -> StackedAdamW | DeviceAdamW:
    """The optimizer for the device that the bank is on."""
    return DeviceAdamW(bank) if bank.weights_KP.device.type == "cuda" else StackedAdamW(bank)
