"""What a self-edit is worth: by its inner loop, by a judge's rating, or by both in turn.

Each is a `TrialRunner`, or makes one from another: proposals become groups, with one reward per seed
for each candidate (None: invalid, failed, or not scored).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from selfedit.config import InnerSettings, JudgeSettings, OuterSettings
from selfedit.endpoints.rubric import RubricJudge
from selfedit.errors import InvalidSelfEdit
from selfedit.progress import Progress
from selfedit.seams import Domain, PolicyRef, TrialRunner
from selfedit.store import Store
from selfedit.types import Candidate, Group, Proposal, SelfEdit


class Reward(Protocol):
    """Decides how a runner of trials is used."""

    def over(self, runner: TrialRunner) -> TrialRunner:
        """A runner whose groups carry this reward."""
        ...

    def digest(self) -> str:
        """Hash of what determines the rewards, apart from the run's settings and domain."""
        ...


class TrueReward:
    """Accuracy after training on the edit, by every seed: the paper's reward (section 3)."""

    def over(self, runner: TrialRunner) -> TrialRunner:
        return runner

    def digest(self) -> str:
        return "true"


class ProxyReward:
    """A rubric judge's mean rating (length, diversity, quality, correctness: 1 to 5) as 0 to 1.

    The paper's cheap reward (v2: 45.6 % in minutes per round, where inner loops take hours). Without
    training there is nothing to compare with, so the baseline is 0: an edit rated 1 throughout.
    """

    def __init__(self, judge: RubricJudge) -> None:
        self.judge = judge

    def over(self, runner: TrialRunner) -> TrialRunner:
        return self

    def digest(self) -> str:
        return self.judge.digest()

    def run(
        self,
        policy: PolicyRef,
        domain: Domain,
        proposals: Sequence[Proposal],
        settings: InnerSettings,
        progress: Progress,
    ) -> list[Group]:
        reasons = {id(e): _why_invalid(domain, own, e) for own in proposals for e in own.edits}
        sound = [(own, e) for own in proposals for e in own.edits if not reasons[id(e)]]
        progress.start("rating self-edits", len(sound))
        asked = [(own.task.context, edit.text) for own, edit in sound]
        ratings = self.judge.score_many(asked, progress.advance)
        rated = {id(e): (r.mean - 1) / 4 for (_, e), r in zip(sound, ratings, strict=True)}
        return [
            Group(
                own.task,
                0.0,
                tuple(_rated(e, rated.get(id(e)), reasons[id(e)]) for e in own.edits),
            )
            for own in proposals
        ]


class CascadeReward:
    """The judge first; inner loops only for the `keep` best-rated edits of each task."""

    def __init__(self, proxy: ProxyReward, keep: int) -> None:
        self.proxy, self.keep = proxy, keep

    def over(self, runner: TrialRunner) -> TrialRunner:
        return _Cascade(self.proxy, runner, self.keep)

    def digest(self) -> str:
        return self.proxy.digest()


class _Cascade:
    def __init__(self, proxy: TrialRunner, runner: TrialRunner, keep: int) -> None:
        self.proxy, self.runner, self.keep = proxy, runner, keep

    def run(
        self,
        policy: PolicyRef,
        domain: Domain,
        proposals: Sequence[Proposal],
        settings: InnerSettings,
        progress: Progress,
    ) -> list[Group]:
        rated = self.proxy.run(policy, domain, proposals, settings, progress)
        chosen = [_best(group, self.keep) for group in rated]
        fewer = [
            replace(own, edits=tuple(own.edits[i] for i in best))
            for own, best in zip(proposals, chosen, strict=True)
        ]
        trained = self.runner.run(policy, domain, fewer, settings, progress)
        groups = []
        for before, best, group in zip(rated, chosen, trained, strict=True):
            known = dict(zip(best, group.candidates, strict=True))
            candidates = [known.get(i) or _unscored(c) for i, c in enumerate(before.candidates)]
            groups.append(replace(group, candidates=tuple(candidates)))
        return groups


def _why_invalid(domain: Domain, own: Proposal, edit: SelfEdit) -> str:
    try:
        domain.parse(own.task, edit)
    except InvalidSelfEdit as error:
        return str(error)
    return ""


def _rated(edit: SelfEdit, rating: float | None, reason: str) -> Candidate:
    return Candidate(edit, (rating,), "invalid" if reason else "scored", reason)


def _unscored(rated: Candidate) -> Candidate:
    """A candidate that the cascade did not train on."""
    if rated.status == "invalid":
        return rated
    return Candidate(rated.edit, (None,), "unscored", "the judge rated others higher")


def _best(group: Group, keep: int) -> list[int]:
    """Indices of the best-rated candidates, in their own order; the first wins a tie."""
    rewards = [(i, c.reward) for i, c in enumerate(group.candidates)]
    ranked = sorted((-reward, i) for i, reward in rewards if reward is not None)
    return sorted(i for _, i in ranked[:keep])


def make_reward(settings: OuterSettings, store: Store, judge: JudgeSettings | None = None) -> Reward:
    """The reward that the settings name. A judge is checked (package, key) before any work."""
    if settings.reward == "true":
        return TrueReward()
    rubric = RubricJudge(judge, store)
    rubric.check()
    proxy = ProxyReward(rubric)
    return proxy if settings.reward == "proxy" else CascadeReward(proxy, settings.cascade_keep)
