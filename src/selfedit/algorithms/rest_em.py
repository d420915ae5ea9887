"""ReST-EM: keep the self-edits that were good, and finetune the policy on them.

Method: Singh et al., "Beyond Human Data: Scaling Self-Training for Problem-Solving with Language
Models", arXiv 2312.06585, as Zweiger et al. use it, arXiv 2506.10943, section 3.1 and algorithm 1.
E-step: sample self-edits from the current policy and score each by training on it. M-step: supervised
finetuning of the policy on the kept ones. With a reward of 0 or 1 for "kept", that is one step of
policy-gradient ascent in which the gradient does not pass through the reward.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from selfedit.algorithms.policy import update_policy
from selfedit.config import PolicySettings
from selfedit.loops.candidates import best_of
from selfedit.progress import Progress, by_steps
from selfedit.seams import Model
from selfedit.types import Group, SelfEdit, Task

Rule = Literal["positive", "best", "all-correct"]


@dataclass(frozen=True, slots=True)
class Selected:
    """A candidate that is kept: the policy is to write `edit` when it is given `task`."""

    task: Task
    index: int
    edit: SelfEdit
    reward: float
    baseline: float | None


class ReSTEM:
    """The M-step on the kept edits. Implements `outer.Algorithm`."""

    def __init__(self, rule: Rule, margin: float, settings: PolicySettings, seed: int) -> None:
        self.rule, self.margin, self.settings, self.seed = rule, margin, settings, seed

    def improve(
        self, model: Model, groups: Sequence[Group], folder: Path, progress: Progress
    ) -> tuple[list[SelfEdit], list[float]]:
        """Select, finetune, merge into `folder`; nothing is written if nothing is selected.

        Tasks without questions have no rewards and choose nothing.
        """
        edits = [kept.edit for kept in select(groups, self.rule, self.margin)]
        if not edits:
            return [], []
        progress.start("updating the policy", 100)
        on_step = by_steps(progress, 100)
        return edits, update_policy(model, edits, self.settings, self.seed, folder, on_step)


def select(groups: Iterable[Group], rule: Rule = "positive", margin: float = 0.0) -> list[Selected]:
    """The candidates that are kept, in the order of the groups and, within one, of the candidates.

    best: the highest mean reward of each task, the first in a tie, even if every edit hurts (the
        paper's rule: always one for each task).
    positive: the same, if it beats the task's baseline by more than `margin`.
    all-correct: every candidate whose reward is 1 with every seed (few-shot tasks: solved or not).

    A candidate without reward is never kept; a task in which none has a reward is skipped. ValueError
    for `positive` where there are rewards but no baseline.
    """
    kept: list[Selected] = []
    for group in groups:
        rewards = [candidate.reward for candidate in group.candidates]
        for index in _kept(group, rewards, rule, margin):
            reward = rewards[index]
            assert reward is not None
            edit = group.candidates[index].edit
            kept.append(Selected(group.task, index, edit, reward, group.baseline))
    return kept


def _kept(group: Group, rewards: Sequence[float | None], rule: Rule, margin: float) -> Iterable[int]:
    if rule == "all-correct":
        return [i for i, reward in enumerate(rewards) if reward is not None and reward >= 1.0]
    if rule == "best":
        best = best_of(rewards)
    elif rule != "positive":
        raise ValueError(f'no rule "{rule}"; there are positive, best and all-correct')
    elif group.baseline is None:
        if any(reward is not None for reward in rewards):
            raise ValueError(f"task {group.task.id} has no baseline to be compared with")
        best = None
    else:
        best = best_of(rewards, above=group.baseline + margin)
    return [] if best is None else [best]
