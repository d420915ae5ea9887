"""What the policy gradients share: the way from samples to the next policy, and numbers of its steps.

An algorithm brings advantages and a loss of log-probabilities; this trains one adapter on them, watches
how far the policy moves from the one that drew the samples, and merges it into a model folder.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from selfedit.algorithms.credit import Earned, samples
from selfedit.algorithms.policy import need_space, write_policy
from selfedit.config import AlgorithmSettings, PolicySettings, SamplingSettings, stable_hash
from selfedit.errors import ModelError, SelfEditError
from selfedit.progress import Progress, by_steps
from selfedit.seams import Drawn, Model, PolicyGradients, Signal, Update
from selfedit.types import Sample, SelfEdit, TrainingSequence

# exp of more is no ratio that a loss can use; a NaN stays one, and is found by the trainer.
_MOST = 20.0
# Mean |log ratio| before any step beyond which sampler and trainer do not compute the same.
_DISAGREES = 0.1

NOTHING = "all self-edits of a context earned the same, so there is nothing to learn from"

Loss = Callable[[Sequence[Tensor], Sequence[Drawn]], tuple[Tensor, dict[str, float]]]


@dataclass(frozen=True, slots=True)
class First:
    """The policy that a run began with, which later ones may be held to. load: it, as a model."""

    revision: str
    load: Callable[[], Model]

    def model(self, policy: Model) -> Model:
        return policy if policy.revision == self.revision else self.load()


class PolicyGradient:
    """What GRPO, RLOO and PPO are made of, and their identity (`seams.Algorithm`).

    sampling: how the edits were drawn; first: the policy that the KL holds to; high: upper clip and
    kl: its weight, where the settings leave them open (high None: as the lower clip).
    """

    reads_logprobs = True

    def __init__(
        self,
        settings: AlgorithmSettings,
        policy: PolicySettings,
        sampling: SamplingSettings,
        seed: int,
        first: First,
        *,
        high: float | None = None,
        kl: float = 1e-3,
    ) -> None:
        self.settings, self.policy, self.sampling = settings, policy, sampling
        self.seed, self.first = seed, first
        self.low, self.high = settings.clip, settings.clip_high or high or settings.clip
        self.beta = kl if settings.kl_weight is None else settings.kl_weight

    @property
    def identity(self) -> str:
        parts = [self.settings.identity(), self.policy.digest(), self.sampling.digest(), self.seed]
        return f"{self.settings.name} {stable_hash(parts)}"


def log_ratio(logprob_M: Tensor, old_M: Tensor) -> Tensor:
    """log p / p_old of each token, bounded."""
    return (logprob_M - old_M).clamp(-_MOST, _MOST)


def divergence(logprob_M: Tensor, reference_M: Tensor) -> Tensor:
    """An estimate of KL(policy || reference) at each token that the policy drew, never negative: the
    third of Schulman's "Approximating KL divergence" (2020), exp(d) - d - 1 with d = log p_ref / p."""
    d_M = log_ratio(reference_M, logprob_M)
    return d_M.exp() - d_M - 1


def clipped(ratio: Tensor, advantage: Tensor | float, low: float, high: float) -> Tensor:
    """-min(ratio A, clip(ratio) A), the loss of PPO (Schulman et al., arXiv 1707.06347)."""
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - low, 1 + high) * advantage)


def is_clipped(ratio: Tensor, advantage: float, low: float, high: float) -> Tensor:
    """Where the ratio has left its bounds in the direction of the advantage: no gradient there."""
    return (ratio > 1 + high) if advantage > 0 else (ratio < 1 - low) & (advantage < 0)


class Watched:
    """An objective (`seams.Objective`) that notes the numbers of each step, and ends the training when
    the policy is too far from the one that drew the samples.

    loss: of log-probabilities, with numbers of its own. kl_stop: KL(drew || now) in nats per token,
    estimated on the step's tokens; None: never.
    """

    def __init__(self, loss: Loss, temperature: float, kl_stop: float | None) -> None:
        self.loss, self.temperature, self.kl_stop = loss, temperature, kl_stop
        self.steps: list[dict[str, float]] = []

    def begin(self) -> None:
        self.steps = []

    def __call__(self, logprobs: Sequence[Tensor], drawn: Sequence[Drawn]) -> Signal:
        loss, numbers = self.loss(logprobs, drawn)
        with torch.no_grad():
            pairs = zip(logprobs, drawn, strict=True)
            log_M = torch.cat([log_ratio(own, one.old_M) for own, one in pairs])
            numbers["kl_to_drawn"] = float((log_M.exp() - log_M - 1).mean())
            numbers["ratio_error"] = float(log_M.abs().mean())
        stop = ""
        if self.kl_stop is not None and numbers["kl_to_drawn"] > self.kl_stop:
            stop = (
                f"the policy moved {numbers['kl_to_drawn']:.2g} nats per token from the one that drew "
                f"the self-edits (more than {self.kl_stop:g}, --kl-stop), so the update ended at step "
                f"{len(self.steps) + 1}"
            )
        else:
            self.steps.append(numbers)
        return Signal(loss, stop)

    def numbers(self) -> dict[str, float]:
        """Means over the steps; of the ratio's error that of the first step, which should be none, and
        of the distance from the policy that drew that of the last."""
        names = dict.fromkeys(name for step in self.steps for name in step)
        found = {name: _mean([s[name] for s in self.steps if name in s]) for name in names}
        if self.steps:
            found["ratio_error"] = self.steps[0]["ratio_error"]
            found["kl_to_drawn"] = self.steps[-1]["kl_to_drawn"]
        return found


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def able(policy: Model) -> PolicyGradients:
    """The policy as one that learns by gradients. Raises ModelError if it cannot."""
    if not isinstance(policy, PolicyGradients):
        raise ModelError(
            f"{policy.name} gives no log-probabilities to learn from: use --algorithm rest-em"
        )
    return policy


def fitting_samples(policy: Model, samples: Sequence[Sample], most: int) -> list[Sample]:
    """Those of at most so many tokens; a longer one would lose its end. Raises SelfEditError if none is
    left."""
    kept = [own for own in samples if not _is_longer(policy, own, most)]
    _check_any(len(samples), len(kept), most)
    return kept


def fitting_edits(policy: Model, groups: Sequence[Earned], most: int) -> tuple[list[Earned], int]:
    """The groups without the edits of which a completion has more than so many tokens: it would lose
    its end, and how far it is from another policy is not known. Also how many completions these edits
    have. Raises SelfEditError if none is left."""
    kept, found, left = [], 0, 0
    for group in groups:
        pairs = []
        for edit, reward in zip(group.edits, group.rewards, strict=True):
            own = samples(edit, 0.0)
            found += len(own)
            if not any(_is_longer(policy, one, most) for one in own):
                left += len(own)
                pairs.append((edit, reward))
        kept.append(Earned(tuple(e for e, _ in pairs), tuple(r for _, r in pairs)))
    _check_any(found, left, most)
    return kept, found - left


def _is_longer(policy: Model, own: Sample, most: int) -> bool:
    return policy.sequence_tokens(TrainingSequence(own.completion.text, own.prompt)) > most


def _check_any(found: int, kept: int, most: int) -> None:
    if found and not kept:
        raise SelfEditError(
            f"the policy cannot be updated: all {found} of its completions are longer than "
            f"{most:,} tokens with their prompts. The round's trials are kept: choose tasks with "
            "shorter prompts."
        )


def held_to(reference: Model, samples: Sequence[Sample], temperature: float) -> list[Sample]:
    """The samples with the reference's log-probabilities."""
    found = able(reference).sample_logprobs(samples, temperature)
    return [replace(own, reference=log) for own, log in zip(samples, found, strict=True)]


def reread(policy: Model, samples: Sequence[Sample], temperature: float) -> list[Sample]:
    """The samples, all with log-probabilities: where the sampler gave none, those of the policy."""
    missing = [own for own in samples if not own.completion.logprobs]
    found = iter(able(policy).sample_logprobs(missing, temperature) if missing else [])
    return [
        own
        if own.completion.logprobs
        else replace(own, completion=replace(own.completion, logprobs=next(found)))
        for own in samples
    ]


def follow(
    policy: Model,
    samples: Sequence[Sample],
    objective: Watched,
    learned: Sequence[SelfEdit],
    settings: PolicySettings,
    seed: int,
    out: Path,
    progress: Progress,
    numbers: dict[str, float],
) -> Update:
    """Train an adapter on the samples, merge it into `out`. learned: the edits that did well. numbers:
    for the update's metrics, besides the objective's. Raises SelfEditError; the trials are kept."""
    need_space(out.parent, 2 * policy.num_bytes)
    progress.start("updating the policy", 100)
    adapters, record = able(policy).reinforce(
        samples, objective, settings.lora, settings.train, seed, by_steps(progress, 100)
    )
    if record.failure:
        raise SelfEditError(
            f"the policy update failed: {record.failure}. The round's trials are kept; start again "
            "with a lower --policy-learning-rate."
        )
    found = numbers | objective.numbers() | {"completions": float(len(samples))}
    if record.stopped and not objective.steps:
        raise SelfEditError(
            f"{record.stopped}: before anything was learned. The model that writes and the one that "
            "is trained do not compute the same; use the same --dtype and --device for both, or a "
            "larger --kl-stop."
        )
    if found.get("ratio_error", 0.0) > _DISAGREES:
        progress.warn(
            f"Before the update the policy's log-probabilities differ by {found['ratio_error']:.2g} "
            "nats per token from those that its self-edits were drawn with; they should not."
        )
    write_policy(policy, adapters, out)
    return Update(out, tuple(learned), tuple(record.losses), found, record.stopped)
