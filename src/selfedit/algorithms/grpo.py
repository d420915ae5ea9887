"""GRPO: edits that earned more than the others of their context become likelier, the rest less so.

Method: Shao et al., "DeepSeekMath", arXiv 2402.03300. With N edits of a context and rewards r_1 .. r_N,
every token of edit i has the advantage A_i = (r_i - mean(r)) / std(r), and its loss is

    -min(q A_i, clip(q, 1 - eps, 1 + eps_high) A_i) + beta KL,   q = p(token) / p_old(token)

where p_old is the policy that drew it and KL an estimate of KL(policy || first policy). Variants
differ in how tokens are averaged and what advantages are divided by:

- grpo: mean over a completion's tokens, then over completions;
- dr_grpo (Liu et al., arXiv 2503.20783): sum of tokens by a constant length, no division by std(r);
- bnpo: mean over all tokens of a step, as TRL calls it;
- dapo (Yu et al., arXiv 2503.14476): the same, with eps_high = 0.28 and no KL.

Left out: a reward model and rewards of single steps (the reward is the inner loop's); DAPO's drawing
until rewards differ (contexts where they do not are left out, and counted) and its penalty of long
texts; a bound on the ratio of negative advantages; correction for top_p, which p and p_old both ignore
(what a pattern excludes is excluded in both). A self-edit of several completions (`sentences`) counts
as that many, all with its advantage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from selfedit.algorithms.credit import Scale, earned, relative, samples
from selfedit.algorithms.gradient import (
    NOTHING,
    First,
    PolicyGradient,
    Watched,
    clipped,
    divergence,
    fitting_samples,
    follow,
    held_to,
    is_clipped,
    log_ratio,
)
from selfedit.config import AlgorithmSettings, PolicySettings, SamplingSettings
from selfedit.progress import Progress
from selfedit.seams import Drawn, Model, Update
from selfedit.types import Group


@dataclass(frozen=True, slots=True)
class Variant:
    """What a normalisation stands for, where the settings leave it open. high: upper clip, None: as the
    lower; kl: weight of the KL (0.04 in DeepSeekMath)."""

    scale: Scale
    high: float | None = None
    kl: float = 0.04


VARIANTS = {
    "grpo": Variant("group"),
    "dr_grpo": Variant("none"),
    "bnpo": Variant("group"),
    "dapo": Variant("group", 0.28, 0.0),
}


class GRPO(PolicyGradient):
    """Implements `seams.Algorithm`."""

    def __init__(
        self,
        settings: AlgorithmSettings,
        policy: PolicySettings,
        sampling: SamplingSettings,
        seed: int,
        first: First,
    ) -> None:
        variant = VARIANTS[settings.normalisation]
        super().__init__(settings, policy, sampling, seed, first, high=variant.high, kl=variant.kl)
        self.scale: Scale = settings.scale or variant.scale

    def improve(self, policy: Model, groups: Sequence[Group], out: Path, progress: Progress) -> Update:
        """See `seams.Algorithm`. Contexts whose edits earned the same take no part."""
        known = earned(groups, self.settings.invalid_reward)
        useful = [group for group in known if group.differ]
        numbers = {"contexts_without_signal": float(len(known) - len(useful))}
        pairs = [
            (edit, advantage)
            for group, own in zip(useful, relative(known, self.scale), strict=True)
            for edit, advantage in zip(group.edits, own, strict=True)
        ]
        found = [sample for edit, advantage in pairs for sample in samples(edit, advantage)]
        kept = fitting_samples(policy, found, self.policy.train.max_tokens)
        if not kept:
            return Update(None, metrics=numbers, note=f"{NOTHING}; the policy stays as it was")
        numbers["too_long"] = float(len(found) - len(kept))
        if self.beta > 0:
            kept = held_to(self.first.model(policy), kept, self.sampling.temperature)
        learned = [edit for edit, advantage in pairs if advantage > 0]
        objective = Watched(self.loss, self.sampling.temperature, self.settings.kl_stop)
        return follow(policy, kept, objective, learned, self.policy, self.seed, out, progress, numbers)

    def loss(
        self, logprobs: Sequence[Tensor], drawn: Sequence[Drawn]
    ) -> tuple[Tensor, dict[str, float]]:
        """The mean loss of a step's tokens, as the normalisation has it, and what was clipped."""
        losses, shares, divergences = [], [], []
        for log_M, own in zip(logprobs, drawn, strict=True):
            ratio_M = log_ratio(log_M, own.old_M).exp()
            loss_M = clipped(ratio_M, own.advantage, self.low, self.high)
            shares.append(is_clipped(ratio_M.detach(), own.advantage, self.low, self.high).double())
            if self.beta > 0 and own.reference_M is not None:
                kl_M = divergence(log_M, own.reference_M)
                loss_M = loss_M + self.beta * kl_M
                divergences.append(kl_M.detach())
            losses.append(loss_M)
        numbers = {"clipped": float(torch.cat(shares).mean())}
        if divergences:
            numbers["kl_to_first"] = float(torch.cat(divergences).mean())
        return self.mean(losses), numbers

    def mean(self, losses: Sequence[Tensor]) -> Tensor:
        """Of each completion's token losses."""
        if self.settings.normalisation == "grpo":
            return torch.stack([loss_M.mean() for loss_M in losses]).mean()
        if self.settings.normalisation == "dr_grpo":
            return torch.cat(list(losses)).sum() / (len(losses) * self.sampling.max_new_tokens)
        return torch.cat(list(losses)).mean()
