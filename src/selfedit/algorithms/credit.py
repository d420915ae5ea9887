"""What each self-edit has earned, and how much better that is than what was to be expected."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from selfedit.types import Candidate, Completion, Group, Sample, SelfEdit

Scale = Literal["group", "batch", "none"]

# Rewards are means of a few questions; smaller differences are rounding.
_NOISE = 1e-9
# Keeps a standard deviation away from zero, as in TRL, but smaller: likelihoods differ by little.
_TINY = 1e-6


@dataclass(frozen=True, slots=True)
class Earned:
    """The edits of a context that have earned something, and what each has."""

    edits: tuple[SelfEdit, ...]
    rewards: tuple[float, ...]

    @property
    def differ(self) -> bool:
        """Whether there is anything to learn from: at least two, and not all the same."""
        return bool(self.rewards) and max(self.rewards) - min(self.rewards) > _NOISE


def earned(groups: Iterable[Group], invalid: float | None) -> list[Earned]:
    """What the edits of each context have earned: the mean reward over their seeds.

    invalid: what one that was invalid or failed has earned, which is the policy's doing, but never more
    than the worst of the others, as gains can be negative; None: it is left out. An edit without any
    reward (a context without questions, one that was not tried) is left out always.
    """
    found = []
    for group in groups:
        pairs = []
        known = [own.reward for own in group.candidates if not _bad(own) and own.reward is not None]
        floor = None if invalid is None else min([invalid, *known])
        for candidate in group.candidates:
            reward = floor if _bad(candidate) and group.task.queries else candidate.reward
            if reward is not None:
                pairs.append((candidate.edit, reward))
        found.append(Earned(tuple(e for e, _ in pairs), tuple(r for _, r in pairs)))
    return found


def _bad(candidate: Candidate) -> bool:
    return candidate.status in ("invalid", "failed")


def relative(groups: Sequence[Earned], scale: Scale) -> list[list[float]]:
    """Advantages of the edits of each context in which they differ: what they earned less the context's
    mean (Shao et al., arXiv 2402.03300), divided by the standard deviation of the context, of all
    contexts, the others among them, or by nothing (Liu et al., arXiv 2503.20783)."""
    whole = _deviation([reward for group in groups for reward in group.rewards])
    result = []
    for group in groups:
        if not group.differ:
            continue
        by = {"group": _deviation(group.rewards), "batch": whole, "none": 1.0}[scale]
        mean = math.fsum(group.rewards) / len(group.rewards)
        result.append([(reward - mean) / by for reward in group.rewards])
    return result


def whitened(values: Sequence[float]) -> list[float]:
    """The values less their mean, divided by their standard deviation."""
    mean, by = math.fsum(values) / len(values), _deviation(values)
    return [(value - mean) / by for value in values]


def _deviation(values: Sequence[float]) -> float:
    return (statistics.stdev(values) if len(values) > 1 else 0.0) + _TINY


def samples(edit: SelfEdit, advantage: float, unit: int | None = None) -> list[Sample]:
    """The completions of an edit, each with the edit's advantage; one of which nothing was drawn is
    none."""
    drawn = edit.drawn or tuple(map(Completion, edit.completions))
    return [
        Sample(prompt, completion, advantage, unit)
        for prompt, completion in zip(edit.prompts, drawn, strict=True)
        if completion.tokens or completion.text.strip()
    ]


def distances_of(held: Sequence[Sample], units: int) -> list[float]:
    """log p_old - log p_first of each unit, all its tokens together."""
    result = [0.0] * units
    for own in held:
        assert own.unit is not None, "an edit is a unit"
        result[own.unit] += math.fsum(own.completion.logprobs) - math.fsum(own.reference)
    return result


def credited(held: Sequence[Sample], advantages: Sequence[float]) -> list[Sample]:
    """The samples with the advantages of their units."""
    return [
        Sample(own.prompt, own.completion, advantages[own.unit or 0], own.unit, own.reference)
        for own in held
    ]
