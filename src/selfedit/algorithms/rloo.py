"""RLOO: REINFORCE with the other edits of a context as the baseline, each edit one action.

Method: Ahmadian et al., "Back to Basics", arXiv 2402.14740, after Kool et al. (2019). The reward of an
edit is r_i - beta * log p_old(edit) / p_first(edit): what it has earned, less its distance from the
first policy. Its advantage is that less the mean of the context's other edits, and its loss

    -min(q A_i, clip(q, 1 - eps, 1 + eps) A_i),   q = p(edit) / p_old(edit), all its tokens together

At the first step q = 1 and this is REINFORCE; the clip is TRL's, for later steps of a round. beta is
small beside GRPO's, since the distance is summed over tokens and compared with rewards of 0 to 1.

Left out: scaled advantages; correction for top_p, which p, p_old and p_first all ignore.
Contexts whose edits earned the same are left out, and counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from selfedit.algorithms.credit import credited, distances_of, earned, samples
from selfedit.algorithms.gradient import (
    NOTHING,
    PolicyGradient,
    Watched,
    clipped,
    fitting_edits,
    follow,
    held_to,
    is_clipped,
    log_ratio,
    reread,
)
from selfedit.progress import Progress
from selfedit.seams import Drawn, Model, Update
from selfedit.types import Group


class RLOO(PolicyGradient):
    """Implements `seams.Algorithm`."""

    def improve(self, policy: Model, groups: Sequence[Group], out: Path, progress: Progress) -> Update:
        """See `seams.Algorithm`. An edit is a unit of its completions."""
        known = earned(groups, self.settings.invalid_reward)
        fitting, too_long = fitting_edits(
            policy, [group for group in known if group.differ], self.policy.train.max_tokens
        )
        useful = [group for group in fitting if group.differ]
        numbers = {"contexts_without_signal": float(len(known) - len(useful))}
        edits = [edit for group in useful for edit in group.edits]
        kept = [sample for unit, edit in enumerate(edits) for sample in samples(edit, 0.0, unit)]
        if not kept:
            return Update(None, metrics=numbers, note=f"{NOTHING}; the policy stays as it was")
        numbers["too_long"] = float(too_long)
        distances = [0.0] * len(edits)
        temperature = self.sampling.temperature
        if self.beta > 0:
            kept = held_to(self.first.model(policy), reread(policy, kept, temperature), temperature)
            distances = distances_of(kept, len(edits))
            numbers["kl_to_first"] = math.fsum(distances) / len({own.unit for own in kept})
        rewards = [reward for group in useful for reward in group.rewards]
        held = [r - self.beta * d for r, d in zip(rewards, distances, strict=True)]
        advantages = self.advantages(held, [len(group.edits) for group in useful])
        learned = [edit for edit, own in zip(edits, advantages, strict=True) if own > 0]
        objective = Watched(self.loss, temperature, self.settings.kl_stop)
        return follow(
            policy, credited(kept, advantages), objective, learned, self.policy, self.seed, out,
            progress, numbers,
        )  # fmt: skip

    def advantages(self, rewards: Sequence[float], sizes: Sequence[int]) -> list[float]:
        """What each edit earned less the mean of the others of its context. sizes: of the contexts."""
        result: list[float] = []
        for size in sizes:
            own = rewards[len(result) : len(result) + size]
            result += [r - (math.fsum(own) - r) / (size - 1) for r in own]
        return result

    def loss(
        self, logprobs: Sequence[Tensor], drawn: Sequence[Drawn]
    ) -> tuple[Tensor, dict[str, float]]:
        """The mean loss of a step's edits, and what was clipped."""
        moved: dict[int, Tensor] = {}
        advantages: dict[int, float] = {}
        for log_M, own in zip(logprobs, drawn, strict=True):
            assert own.unit is not None, "an edit is a unit"
            moved[own.unit] = moved.get(own.unit, log_M.new_zeros(())) + (log_M - own.old_M).sum()
            advantages[own.unit] = own.advantage
        losses, shares = [], []
        for unit, log in moved.items():
            ratio = log_ratio(log, torch.zeros_like(log)).exp()
            losses.append(clipped(ratio, advantages[unit], self.low, self.high))
            shares.append(is_clipped(ratio.detach(), advantages[unit], self.low, self.high).double())
        return torch.stack(losses).mean(), {"clipped": float(torch.stack(shares).mean())}
