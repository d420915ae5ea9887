"""DPO: the best edit of each context becomes likelier than the worst, in comparison.

Method: Rafailov et al., "Direct Preference Optimization", arXiv 2305.18290, in rounds as in Guo et al.,
arXiv 2402.04792. Of each context the edit that earned most (+) and the one that earned least (-) are a
pair, with the loss

    -log sigmoid(beta (log p(+) / p_old(+) - log p(-) / p_old(-)))

where p_old is the policy of the round: each round the pairs are its own, and so is the reference, at
temperature 1. beta (--kl-weight) says how strongly the policy is held to it.

Left out: the first policy as the reference (rounds may move away from it, one step after the other);
other pairs than best and worst; label smoothing; how much the rewards differ (a pair counts as a pair).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from selfedit.algorithms.credit import Earned, earned, samples
from selfedit.algorithms.gradient import NOTHING, Watched, fitting_edits, follow
from selfedit.config import AlgorithmSettings, PolicySettings, stable_hash
from selfedit.progress import Progress
from selfedit.seams import Drawn, Model, Update
from selfedit.types import Completion, Group, Sample

_BETA = 0.1


class DPO:
    """Implements `seams.Algorithm`."""

    reads_logprobs = True  # the tokens, rather: p_old is computed at temperature 1

    def __init__(self, settings: AlgorithmSettings, policy: PolicySettings, seed: int) -> None:
        self.settings, self.policy, self.seed = settings, policy, seed
        self.beta = _BETA if settings.kl_weight is None else settings.kl_weight

    @property
    def identity(self) -> str:
        return f"dpo {stable_hash([self.settings.identity(), self.policy.digest(), self.seed])}"

    def improve(self, policy: Model, groups: Sequence[Group], out: Path, progress: Progress) -> Update:
        """See `seams.Algorithm`. A pair is a unit: it is in one step, all its completions."""
        known = earned(groups, self.settings.invalid_reward)
        fitting, too_long = fitting_edits(policy, known, self.policy.train.max_tokens)
        useful = [group for group in map(_said, fitting) if group.differ]
        numbers = {"contexts_without_signal": float(len(known) - len(useful))}
        kept: list[Sample] = []
        learned = []
        for unit, group in enumerate(useful):
            order = sorted(range(len(group.edits)), key=[-r for r in group.rewards].__getitem__)
            best, worst = (group.edits[place] for place in (order[0], order[-1]))
            kept += [*samples(best, 1.0, unit), *samples(worst, -1.0, unit)]
            learned.append(best)
        if not kept:
            return Update(None, metrics=numbers, note=f"{NOTHING}; the policy stays as it was")
        numbers["too_long"] = float(too_long)
        objective = Watched(self.loss, temperature=1.0, kl_stop=None)
        plain = [replace(own, completion=_without_logprobs(own.completion)) for own in kept]
        return follow(policy, plain, objective, learned, self.policy, self.seed, out, progress, numbers)

    def loss(
        self, logprobs: Sequence[Tensor], drawn: Sequence[Drawn]
    ) -> tuple[Tensor, dict[str, float]]:
        """The mean loss of a step's pairs; how often the better edit is ahead, and by how much."""
        ahead: dict[int, Tensor] = {}
        for log_M, own in zip(logprobs, drawn, strict=True):
            assert own.unit is not None, "a pair is a unit"
            gained = own.advantage * (log_M - own.old_M).sum()
            ahead[own.unit] = ahead.get(own.unit, log_M.new_zeros(())) + gained
        margin_P = torch.stack(list(ahead.values()))
        loss = -torch.nn.functional.logsigmoid(self.beta * margin_P).mean()
        right = float((margin_P.detach() > 0).double().mean())
        return loss, {"margin": float(margin_P.detach().mean()), "pairs_right": right}


def _said(group: Earned) -> Earned:
    """Without edits of which nothing was drawn: there are no tokens to prefer, or to avoid."""
    pairs = zip(group.edits, group.rewards, strict=True)
    said = [(edit, reward) for edit, reward in pairs if samples(edit, 0.0)]
    return Earned(tuple(edit for edit, _ in said), tuple(reward for _, reward in said))


def _without_logprobs(drawn: Completion) -> Completion:
    """So that the trainer computes them anew, at temperature 1."""
    return replace(drawn, logprobs=())
