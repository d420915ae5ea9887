"""The algorithms by name, as settings ask for them."""

from __future__ import annotations

from selfedit.algorithms.dpo import DPO
from selfedit.algorithms.gradient import First
from selfedit.algorithms.grpo import GRPO
from selfedit.algorithms.ppo import PPO
from selfedit.algorithms.rest_em import ReSTEM
from selfedit.algorithms.rloo import RLOO
from selfedit.config import OuterSettings
from selfedit.errors import InputError
from selfedit.seams import Algorithm

GRADIENTS: dict[str, type[GRPO] | type[RLOO] | type[PPO]] = {"grpo": GRPO, "rloo": RLOO, "ppo": PPO}
# Those that compare the edits of one context with each other.
_COMPARING = ("grpo", "rloo", "dpo")


def named(settings: OuterSettings, first: First) -> Algorithm:
    """The algorithm of an outer loop. first: the policy that it begins with. Raises InputError for
    settings with which it could learn nothing."""
    own, policy = settings.algorithm, settings.policy
    if own.name == "rest-em":
        return ReSTEM(settings.rule, settings.margin, policy, settings.seed)
    sampling = settings.inner.sampling
    if own.name in _COMPARING and settings.inner.candidates < 2:
        raise InputError(
            f"--algorithm {own.name} compares the self-edits of a context: it needs --candidates 2 or "
            "more"
        )
    if sampling.temperature == 0:
        raise InputError(
            f"--algorithm {own.name} learns from different self-edits of a context, and with "
            "--temperature 0 all are the same: choose a higher one"
        )
    if own.name == "dpo" and own.kl_weight == 0:
        raise InputError("--kl-weight 0: dpo learns nothing without a reference; use more than 0")
    if own.name == "dpo":
        return DPO(own, policy, settings.seed)
    return GRADIENTS[own.name](own, policy, sampling, settings.seed, first)
