"""Which of a passage's candidates is kept: mean rewards, and the best of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from selfedit.seams import Domain
from selfedit.types import (
    Candidate,
    CandidateResult,
    Group,
    PassageResult,
    Task,
    TrainingPlan,
    Trial,
    mean_of,
)

_NOISE = 1e-9  # rewards are fractions of a few questions; what is smaller is rounding


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


def group_of(task: Task, baseline: float | None, candidates: Sequence[Sequence[Trial]]) -> Group:
    """A group out of the trials of each candidate, one trial a seed."""
    return Group(task, baseline, tuple(map(_candidate, candidates)))


def _candidate(trials: Sequence[Trial]) -> Candidate:
    worst = _worst(trials)
    return Candidate(
        trials[0].edit,
        tuple(trial.reward for trial in trials),
        worst.status,
        worst.reason,
        tuple(trial.key for trial in trials),
    )


def _worst(trials: Sequence[Trial]) -> Trial:
    """The first that was not scored; else the first."""
    return next((trial for trial in trials if trial.status != "scored"), trials[0])


def choose(task: Task, baseline: float | None, groups: Sequence[tuple[Trial, ...]]) -> Choice:
    """The candidate with the best mean reward over its seeds, if it beats the baseline.

    The first wins a tie (as in the paper's selection). A candidate with a trial that failed or was
    invalid has no reward. Without questions (baseline None) the first sound candidate is kept.
    """
    if baseline is None:
        sound = (i for i, group in enumerate(groups) if all(t.status == "scored" for t in group))
        kept = next(sound, None)
    else:
        kept = best_of([mean_reward(group) for group in groups], above=baseline)
    return Choice(task, baseline, tuple(groups), kept)


def best_of(rewards: Sequence[float | None], above: float | None = None) -> int | None:
    """Index of the highest reward, the first in a tie; None if no candidate has one, or if it is not
    above the bar. A bar is passed by more than _NOISE: the mean of 0.2, 0.2 and 0.2 is not above 0.2.
    """
    best: int | None = None
    highest = -math.inf if above is None else above + _NOISE
    for index, reward in enumerate(rewards):
        if reward is not None and reward > highest:
            best, highest = index, reward
    return best


def mean_reward(group: Sequence[Trial]) -> float | None:
    """Mean over the seeds of one candidate; None if one of them has no reward."""
    return mean_of([trial.reward for trial in group])


def passage_result(choice: Choice) -> PassageResult:
    """What the report shows of a passage."""
    candidates = []
    for index, group in enumerate(choice.candidates):
        worst = _worst(group)
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
