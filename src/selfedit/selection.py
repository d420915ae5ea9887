"""Which of a passage's candidates is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from selfedit.types import (
    CandidateResult,
    Domain,
    PassageResult,
    Task,
    TrainingPlan,
    Trial,
)


@dataclass(frozen=True, slots=True)
class Choice:
    """A passage with its trials (candidates x seeds) and the candidate that is kept, if one is."""

    task: Task
    baseline: float | None
    candidates: tuple[tuple[Trial, ...], ...]
    kept: int | None

    @property
    def plan(self) -> TrainingPlan | None:
        return None if self.kept is None else self.candidates[self.kept][0].plan


def choose(task: Task, baseline: float | None, groups: Sequence[tuple[Trial, ...]]) -> Choice:
    """The candidate with the best mean reward over its seeds, if it beats the baseline.

    The first wins a tie (as in the paper's selection). A candidate with a trial that failed or was
    invalid has no reward. Without questions (baseline None) the first sound candidate is kept.
    """
    kept, best = None, -1.0 if baseline is None else baseline
    for index, group in enumerate(groups):
        reward = mean_reward(group)
        if baseline is None and kept is None and all(t.status == "scored" for t in group):
            kept = index
        elif reward is not None and reward > best:
            kept, best = index, reward
    return Choice(task, baseline, tuple(groups), kept)


def mean_reward(group: Sequence[Trial]) -> float | None:
    rewards = [trial.reward for trial in group]
    known = [reward for reward in rewards if reward is not None]
    return sum(known) / len(known) if known and len(known) == len(rewards) else None


def passage_result(choice: Choice) -> PassageResult:
    """What the report shows of a passage."""
    candidates = []
    for index, group in enumerate(choice.candidates):
        worst = next((trial for trial in group if trial.status != "scored"), group[0])
        candidates.append(
            CandidateResult(
                text=group[0].edit.text,
                status=worst.status,
                reason=worst.reason,
                reward=mean_reward(group),
                kept=index == choice.kept,
                seconds=sum(trial.seconds for trial in group),
                losses=group[0].losses,
            )
        )
    task = choice.task
    return PassageResult(
        task.title, task.context, choice.baseline, len(task.queries), tuple(candidates)
    )


def with_plan(domain: Domain, task: Task, trial: Trial) -> Trial:
    """The trial with its plan, which the store leaves out: it follows from the edit."""
    if trial.status == "invalid" or trial.plan is not None:
        return trial
    return replace(trial, plan=domain.parse(task, trial.edit))
