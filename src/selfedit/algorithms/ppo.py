"""PPO: a value head says what a context's edits will earn, and the surprise is the advantage.

Method: Schulman et al., "Proximal Policy Optimization", arXiv 1707.06347, as in Ouyang et al., arXiv
2203.02155: the reward of an edit is r - beta * log p_old(edit) / p_first(edit). The value V is linear
in the policy's state at the prompt's last token. An edit has one reward, at its end, so with gamma =
lambda = 1 every token's advantage is r - V, whitened over the round, and its loss

    -min(q A, clip(q, 1 - eps, 1 + eps) A),   q = p(token) / p_old(token), mean over a step's tokens

The value head is fitted to the round's rewards after it has been used, and waits beside the policy's
folder (NAME.value.safetensors) for the next round; in the first it says 0, so that whitening alone
compares.

Left out: values of single tokens and GAE (nothing is earned on the way); the value's gradient into the
policy; its clip. Unlike the others it learns from a single edit of a context, too.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from selfedit.algorithms.credit import credited, distances_of, earned, samples, whitened
from selfedit.algorithms.gradient import (
    PolicyGradient,
    Watched,
    able,
    clipped,
    fitting_edits,
    follow,
    held_to,
    is_clipped,
    log_ratio,
    reread,
)
from selfedit.errors import SelfEditError, StoreError
from selfedit.progress import Progress
from selfedit.seams import Drawn, Model, Update
from selfedit.types import Group, SelfEdit

# The fit of the value head: full-batch steps of Adam, its rate, and its weight decay.
_STEPS, _RATE, _DECAY = 200, 1e-2, 1e-2


class PPO(PolicyGradient):
    """Implements `seams.Algorithm`."""

    def improve(self, policy: Model, groups: Sequence[Group], out: Path, progress: Progress) -> Update:
        """See `seams.Algorithm`. An edit is a unit of its completions."""
        known, too_long = fitting_edits(
            policy, earned(groups, self.settings.invalid_reward), self.policy.train.max_tokens
        )
        edits = [edit for group in known for edit in group.edits]
        rewards = [reward for group in known for reward in group.rewards]
        kept = [sample for unit, edit in enumerate(edits) for sample in samples(edit, 0.0, unit)]
        numbers = {"too_long": float(too_long)}
        if not kept or max(rewards) - min(rewards) < 1e-9:
            note = "all self-edits earned the same, so the policy stays as it was"
            return Update(None, metrics=numbers, note=note)
        temperature = self.sampling.temperature
        if self.beta > 0:
            kept = held_to(self.first.model(policy), reread(policy, kept, temperature), temperature)
            distances = distances_of(kept, len(edits))
            numbers["kl_to_first"] = math.fsum(distances) / len({own.unit for own in kept})
            rewards = [r - self.beta * d for r, d in zip(rewards, distances, strict=True)]
        features_ND = features(policy, edits)
        head = ValueHead.beside(Path(policy.name), features_ND.shape[1])
        values = head(features_ND)
        advantages = whitened([r - v for r, v in zip(rewards, values.tolist(), strict=True)])
        numbers["value_error"] = head.fit(features_ND, torch.tensor(rewards, dtype=torch.float64))
        learned = [edit for edit, own in zip(edits, advantages, strict=True) if own > 0]
        objective = Watched(self.loss, temperature, self.settings.kl_stop)
        head.save(out)  # before the policy, so that a policy that is whole has its value head
        # The loss is of tokens: a step is so many completions, whatever edit they belong to.
        single = [replace(own, unit=None) for own in credited(kept, advantages)]
        try:
            return follow(
                policy, single, objective, learned, self.policy, self.seed, out, progress, numbers
            )
        except SelfEditError:
            _path(out).unlink(missing_ok=True)
            raise

    def loss(
        self, logprobs: Sequence[Tensor], drawn: Sequence[Drawn]
    ) -> tuple[Tensor, dict[str, float]]:
        """The mean loss of a step's tokens, and what was clipped."""
        pairs = list(zip(logprobs, drawn, strict=True))
        ratios = [log_ratio(log_M, own.old_M).exp() for log_M, own in pairs]
        own_all = list(zip(ratios, drawn, strict=True))
        losses = [clipped(ratio_M, own.advantage, self.low, self.high) for ratio_M, own in own_all]
        shares = [is_clipped(r.detach(), own.advantage, self.low, self.high) for r, own in own_all]
        numbers = {"clipped": float(torch.cat(shares).double().mean())}
        return torch.cat(losses).mean(), numbers


def features(policy: Model, edits: Sequence[SelfEdit]) -> Tensor:
    """A row [D] for each edit, of length sqrt(D): the mean of its prompts' last states."""
    prompts = list(dict.fromkeys(prompt for edit in edits for prompt in edit.prompts))
    state = dict(zip(prompts, able(policy).prompt_states(prompts), strict=True))
    mean_ND = torch.stack([torch.stack([state[p] for p in edit.prompts]).mean(0) for edit in edits])
    return mean_ND * mean_ND.shape[1] ** 0.5 / mean_ND.norm(dim=1, keepdim=True).clamp(min=1e-12)


class ValueHead:
    """V = w . x + b of features x [D], float64."""

    def __init__(self, w_D: Tensor, b: Tensor) -> None:
        self.w_D, self.b = w_D, b

    @classmethod
    def beside(cls, policy: Path, size: int) -> ValueHead:
        """The one that waits beside a policy's folder; one that says 0 where there is none of the
        size."""
        path = _path(policy)
        if policy.is_dir() and path.is_file():
            known = load_file(path)
            if known["w"].shape == (size,):
                return cls(known["w"], known["b"])
        return cls(torch.zeros(size, dtype=torch.float64), torch.zeros(1, dtype=torch.float64))

    def __call__(self, x_ND: Tensor) -> Tensor:
        return x_ND @ self.w_D / x_ND.shape[1] ** 0.5 + self.b

    def fit(self, x_ND: Tensor, rewards_N: Tensor) -> float:
        """Least squares by a few steps from where it is; the mean squared error that it had before."""
        before = float((self(x_ND) - rewards_N).square().mean())
        self.w_D, self.b = self.w_D.clone().requires_grad_(), self.b.clone().requires_grad_()
        optimizer = torch.optim.AdamW([self.w_D, self.b], lr=_RATE, weight_decay=_DECAY)
        for _ in range(_STEPS):
            optimizer.zero_grad()
            (self(x_ND) - rewards_N).square().mean().backward()
            optimizer.step()
        self.w_D, self.b = self.w_D.detach(), self.b.detach()
        return before

    def save(self, policy: Path) -> None:
        """Whole or not at all. Raises StoreError."""
        path = _path(policy)
        part = path.with_name(f".{path.name}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file({"w": self.w_D, "b": self.b}, part)
            os.replace(part, path)
        except OSError as error:
            raise StoreError(f"the value head cannot be written to {path}: {error}") from error


def _path(policy: Path) -> Path:
    """Of the head beside a policy's folder."""
    return policy.with_name(f"{policy.name}.value.safetensors")
