"""What a self-edit is worth: by its inner loop, by a judge's rating, or by both in turn.

Each is a `TrialRunner`, or makes one from another: proposals become groups, with one reward per seed
for each candidate (None: invalid, failed, or not scored).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from selfedit.config import InnerSettings, JudgeSettings, OuterSettings
from selfedit.endpoints.rubric import RubricJudge
from selfedit.errors import InvalidSelfEdit
from selfedit.loops.paged import Paged
from selfedit.progress import Progress
from selfedit.seams import Domain, PolicyRef, TrialRunner
from selfedit.store import Store
from selfedit.types import Candidate, Group, Proposal, SelfEdit

_AT_ONCE = 200  # contexts whose edits are rated together
_NO_EDIT = SelfEdit("", 0, (), ())


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
    ) -> Iterator[Group]:
        progress.start("rating self-edits", sum(len(own.edits) for own in proposals))
        for at in range(0, len(proposals), _AT_ONCE):
            yield from self._rated(domain, proposals[at : at + _AT_ONCE], progress)

    def _rated(
        self, domain: Domain, proposals: Sequence[Proposal], progress: Progress
    ) -> Iterator[Group]:
        reasons = [[_why_invalid(domain, own, edit) for edit in own.edits] for own in proposals]
        sound = [
            (own.task.context, edit.text)
            for own, bad in zip(proposals, reasons, strict=True)
            for edit, reason in zip(own.edits, bad, strict=True)
            if not reason
        ]
        progress.found(sum(map(len, reasons)) - len(sound))
        ratings = iter([(r.mean - 1) / 4 for r in self.judge.score_many(sound, progress.advance)])
        for own, bad in zip(proposals, reasons, strict=True):
            pairs = zip(own.edits, bad, strict=True)
            rated = (_rated(edit, None if why else next(ratings), why) for edit, why in pairs)
            yield Group(own.task, 0.0, tuple(rated))


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
    ) -> Iterator[Group]:
        rated = [
            [replace(one, edit=_NO_EDIT) for one in group.candidates]  # the marks alone are kept
            for group in self.proxy.run(policy, domain, proposals, settings, progress)
        ]
        chosen = [_best(own, self.keep) for own in rated]

        def fewer(places: range) -> list[Proposal]:
            own = [proposals[place] for place in places]
            pairs = zip(own, chosen[places.start : places.stop], strict=True)
            return [replace(one, edits=tuple(one.edits[i] for i in best)) for one, best in pairs]

        trained = self.runner.run(policy, domain, Paged(len(proposals), fewer), settings, progress)
        for own, before, best, group in zip(proposals, rated, chosen, trained, strict=True):
            known = dict(zip(best, group.candidates, strict=True))
            candidates = [
                known.get(i) or _unscored(replace(one, edit=edit))
                for i, (one, edit) in enumerate(zip(before, own.edits, strict=True))
            ]
            yield replace(group, candidates=tuple(candidates))


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


def _best(candidates: Sequence[Candidate], keep: int) -> list[int]:
    """Indices of the best-rated candidates, in their own order; the first wins a tie."""
    rewards = [(i, c.reward) for i, c in enumerate(candidates)]
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
