"""A task's candidates as a group: from their trials, back to them, and which of them is kept."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from selfedit.errors import StoreError
from selfedit.seams import Domain
from selfedit.store import Store
from selfedit.types import Candidate, Group, Task, TrainingPlan, Trial

_NOISE = 1e-9  # rewards are fractions of a few questions; smaller differences are rounding

# Groups whose trials, with answers and losses, are read from the store at the same time.
_GROUPS_AT_ONCE = 50


def group_of(task: Task, baseline: float | None, candidates: Sequence[Sequence[Trial]]) -> Group:
    """A group from the trials of each candidate, one trial per seed."""
    return Group(task, baseline, tuple(map(candidate_of, candidates)))


def candidate_of(trials: Sequence[Trial]) -> Candidate:
    """A candidate from its trials, one per seed."""
    worst = next((trial for trial in trials if trial.status != "scored"), trials[0])
    return Candidate(
        trials[0].edit,
        tuple(trial.reward for trial in trials),
        worst.status,
        worst.reason,
        tuple(trial.key for trial in trials),
    )


def last_trials(trials: Iterable[Trial]) -> list[Trial]:
    """Of a run's trials, in the order of arrival, the last of each task, edit and seed: where a heat
    was held, a finalist's is that of its full training (`learning.contest`)."""
    return list({(trial.task_id, trial.edit.index, trial.seed): trial for trial in trials}.values())


def trials_of(store: Store, groups: Iterable[Group]) -> Iterator[tuple[tuple[Trial, ...], ...]]:
    """The trials of each group, as [candidate][seed], without their plans; read some at a time.

    Raises StoreError if a trial is no longer in the store.
    """
    left = iter(groups)
    while part := list(islice(left, _GROUPS_AT_ONCE)):
        found = store.trials(key for group in part for c in group.candidates for key in c.trials)
        for group in part:
            yield tuple(
                tuple(_own(found, key, candidate) for key in candidate.trials)
                for candidate in group.candidates
            )


def _own(found: dict[str, Trial], key: str, candidate: Candidate) -> Trial:
    """The trial as this candidate's: candidates that say the same share a trial."""
    if key not in found:
        raise StoreError(f"the trial {key} is no longer in the store; run the command again")
    return replace(found[key], task_id=candidate.edit.task_id, edit=candidate.edit)


def choose(group: Group) -> Group:
    """The group with the candidate that has the best mean reward, if it beats the baseline.

    The first wins a tie (as in the paper's selection). A candidate with a trial that failed or was
    invalid has no reward. Without questions (baseline None) the first sound candidate is kept.
    """
    if group.baseline is None:
        sound = (i for i, one in enumerate(group.candidates) if one.status == "scored")
        kept = next(sound, None)
    else:
        kept = best_of([one.reward for one in group.candidates], above=group.baseline)
    return replace(group, kept=() if kept is None else (kept,))


def kept_plan(domain: Domain, group: Group) -> TrainingPlan | None:
    """The training plan of the kept candidate; None if none was kept."""
    if not group.kept:
        return None
    return domain.parse(group.task, group.candidates[group.kept[0]].edit)


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
