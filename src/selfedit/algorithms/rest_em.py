"""ReST-EM: keep the self-edits that were good, and finetune the policy on them.

Method: Singh et al., "Beyond Human Data: Scaling Self-Training for Problem-Solving with Language
Models", arXiv 2312.06585, as Zweiger et al. use it, arXiv 2506.10943, section 3.1 and algorithm 1.
E-step: sample self-edits from the current policy and score each by training on it. M-step: supervised
finetuning of the policy on the kept ones. With a reward of 0 or 1 for "kept", that is one step of
policy-gradient ascent in which the gradient does not pass through the reward.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

from selfedit.algorithms.policy import update_policy
from selfedit.config import PolicySettings, Rule, stable_hash
from selfedit.loops.groups import best_of
from selfedit.progress import Progress, by_steps
from selfedit.seams import Model, Update
from selfedit.types import Group


class ReSTEM:
    """The M-step on the kept edits. Implements `seams.Algorithm`.

    rule, margin: see `select`. settings: of the finetuning, with the given seed.
    """

    def __init__(self, rule: Rule, margin: float, settings: PolicySettings, seed: int) -> None:
        self.rule, self.margin, self.settings, self.seed = rule, margin, settings, seed

    @property
    def identity(self) -> str:
        return "rest-em " + stable_hash([self.rule, self.margin, self.settings.digest(), self.seed])

    def improve(self, policy: Model, groups: Sequence[Group], out: Path, progress: Progress) -> Update:
        """Select, finetune, merge into `out`; nothing is written if nothing is selected.

        Tasks without questions have no rewards and choose nothing.
        """
        edits = [
            replace(group.candidates[place].edit, drawn=())  # the texts alone are learned from
            for group in groups
            for place in _kept(group, self.rule, self.margin)
        ]
        if not edits:
            return Update(None)
        progress.start("updating the policy", 100)
        on_step = by_steps(progress, 100)
        losses, left_out = update_policy(policy, edits, self.settings, self.seed, out, on_step)
        return Update(out, tuple(edits), tuple(losses), note=left_out)


def select(groups: Iterable[Group], rule: Rule = "positive", margin: float = 0.0) -> list[Group]:
    """The groups, each with its kept candidates.

    best: the highest mean reward of each task, the first in a tie, even if every edit hurts (the
        paper's rule: always one for each task).
    positive: the same, if it beats the task's baseline by more than `margin`.
    all-correct: every candidate whose reward is 1 with every seed (few-shot tasks: solved or not).
    distinct-correct: the first of each text among those (Yuan et al., arXiv 2308.01825). Equal edits
        share one training, so that its luck would count as often as the policy repeats itself.

    A candidate without a reward is never kept. ValueError for `positive` if there are rewards but no
    baseline.
    """
    return [replace(group, kept=tuple(_kept(group, rule, margin))) for group in groups]


def _kept(group: Group, rule: Rule, margin: float) -> Iterable[int]:
    rewards = [candidate.reward for candidate in group.candidates]
    if rule in ("all-correct", "distinct-correct"):
        correct = [i for i, reward in enumerate(rewards) if reward is not None and reward >= 1.0]
        if rule == "all-correct":
            return correct
        first = {group.candidates[i].edit.text: i for i in reversed(correct)}
        return sorted(first.values())
    if rule == "best":
        best = best_of(rewards)
    elif rule != "positive":
        raise ValueError(f'no rule "{rule}"; there are {", ".join(get_args(Rule))}')
    elif group.baseline is None:
        if any(reward is not None for reward in rewards):
            raise ValueError(f"task {group.task.id} has no baseline to be compared with")
        best = None
    else:
        best = best_of(rewards, above=group.baseline + margin)
    return [] if best is None else [best]
