"""What a self-edit is worth: its inner loop, a judge's rating, or the one before the other.

All give `Scored`: a group a task, with one reward a seed for each candidate (None: invalid, failed, or
not scored), and how many trials that took.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from selfedit.config import InnerSettings, JudgeSettings, OuterSettings
from selfedit.endpoints.rubric import RubricJudge
from selfedit.errors import InvalidSelfEdit
from selfedit.loops.candidates import group_of
from selfedit.loops.inner import run_trials
from selfedit.progress import Part, Progress
from selfedit.seams import Domain, Model
from selfedit.store import Store
from selfedit.types import Candidate, Group, Proposal, SelfEdit, Trial

# Contexts whose trials, with answers, losses and training texts, are in memory at the same time.
CONTEXTS_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Scored:
    """The groups, how many trials were made, how many were invalid, and the first one's reason."""

    groups: tuple[Group, ...]
    num_trials: int
    num_invalid: int
    reason: str = ""


class Reward(Protocol):
    """Scores proposals under the current policy. run_id: the run that new trials belong to."""

    def score(
        self, policy: Model, proposals: Sequence[Proposal], run_id: int, progress: Progress
    ) -> Scored: ...

    def digest(self) -> str:
        """Hash of what determines the rewards, apart from the run's settings and domain."""
        ...


class TrueReward:
    """Accuracy after training on the edit, by every seed: the paper's reward (section 3)."""

    def __init__(self, domain: Domain, settings: InnerSettings, store: Store) -> None:
        self.domain, self.settings, self.store = domain, settings, store

    def score(
        self, policy: Model, proposals: Sequence[Proposal], run_id: int, progress: Progress
    ) -> Scored:
        seeds = self.settings.seeds
        progress.start("training and testing self-edits", seeds * sum(len(o.edits) for o in proposals))
        tally = _Tally(progress)
        parts = [
            self._score(policy, proposals[at : at + CONTEXTS_AT_ONCE], run_id, progress, tally)
            for at in range(0, len(proposals), CONTEXTS_AT_ONCE)
        ]
        return Scored(
            tuple(group for part in parts for group in part.groups),
            sum(part.num_trials for part in parts),
            sum(part.num_invalid for part in parts),
            next((part.reason for part in parts if part.reason), ""),
        )

    def _score(
        self,
        policy: Model,
        proposals: Sequence[Proposal],
        run_id: int,
        progress: Progress,
        tally: _Tally,
    ) -> Scored:
        titles = {own.task.id: own.task.title for own in proposals}

        def known(keys: Sequence[str]) -> dict[str, Trial]:
            found = self.store.trials(keys)
            tally.add(found.values(), titles)
            return found

        def sink(done: Sequence[Trial]) -> None:
            self.store.put_trials(run_id, done)
            tally.add(done, titles)

        pairs = [(own.task, edit) for own in proposals for edit in own.edits]
        part = Part(progress, self.settings.seeds * len(pairs))
        trials = run_trials(
            policy, self.domain, pairs, self.settings, known=known, sink=sink, progress=part
        )
        part.finish()
        rest = iter(trials)
        groups = [
            group_of(
                own.task,
                own.baseline,
                [[next(rest) for _ in range(self.settings.seeds)] for _ in own.edits],
            )
            for own in proposals
        ]
        invalid = [trial for trial in trials if trial.status == "invalid"]
        return Scored(tuple(groups), len(trials), len(invalid), _first_reason(invalid))

    def digest(self) -> str:
        return "true"


class _Tally:
    """The mean reward so far, as a note beside the progress."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._sum, self._count = progress, 0.0, 0

    def add(self, trials: Iterable[Trial], titles: Mapping[str, str]) -> None:
        for trial in trials:
            if trial.reward is not None:
                self._sum, self._count = self._sum + trial.reward, self._count + 1
                mean = 100 * self._sum / self._count
                title = titles[trial.task_id]
                self._progress.note(f"mean reward so far {mean:.1f} %, last trained: {title}")


class ProxyReward:
    """A rubric judge's mean rating (length, diversity, quality, correctness: 1 to 5) as 0 to 1.

    The paper's cheap reward (v2: 45.6 % in minutes a round, where inner loops take hours). Without
    training there is nothing to be better than, so the baseline is 0: an edit rated 1 throughout.
    """

    def __init__(self, domain: Domain, judge: RubricJudge) -> None:
        self.domain, self.judge = domain, judge

    def score(
        self, policy: Model, proposals: Sequence[Proposal], run_id: int, progress: Progress
    ) -> Scored:
        reasons = {id(edit): self._invalid(own, edit) for own in proposals for edit in own.edits}
        sound = [(o, e) for o in proposals for e in o.edits if not reasons[id(e)]]
        progress.start("rating self-edits", len(sound))
        ratings = self.judge.score_many([(o.task.context, e.text) for o, e in sound], progress.advance)
        rated = {id(e): (r.mean - 1) / 4 for (_, e), r in zip(sound, ratings, strict=True)}
        groups = [
            Group(
                own.task,
                0.0,
                tuple(_rated(e, rated.get(id(e)), reasons[id(e)]) for e in own.edits),
            )
            for own in proposals
        ]
        bad = [reason for reason in reasons.values() if reason]
        return Scored(tuple(groups), len(reasons), len(bad), bad[0] if bad else "")

    def _invalid(self, own: Proposal, edit: SelfEdit) -> str:
        try:
            self.domain.parse(own.task, edit)
        except InvalidSelfEdit as error:
            return str(error)
        return ""

    def digest(self) -> str:
        return self.judge.digest()


class CascadeReward:
    """The judge first; inner loops only for the `keep` best-rated edits of each task."""

    def __init__(self, proxy: ProxyReward, true: TrueReward, keep: int) -> None:
        self.proxy, self.true, self.keep = proxy, true, keep

    def score(
        self, policy: Model, proposals: Sequence[Proposal], run_id: int, progress: Progress
    ) -> Scored:
        rated = self.proxy.score(policy, proposals, run_id, progress)
        chosen = [_best(group, self.keep) for group in rated.groups]
        fewer = [
            Proposal(own.task, own.baseline, tuple(own.edits[i] for i in best))
            for own, best in zip(proposals, chosen, strict=True)
        ]
        scored = self.true.score(policy, fewer, run_id, progress)
        groups = []
        for before, best, group in zip(rated.groups, chosen, scored.groups, strict=True):
            known = dict(zip(best, group.candidates, strict=True))
            candidates = [known.get(i) or _unscored(c) for i, c in enumerate(before.candidates)]
            groups.append(Group(group.task, group.baseline, tuple(candidates)))
        return Scored(
            tuple(groups), scored.num_trials, rated.num_invalid, rated.reason or scored.reason
        )

    def digest(self) -> str:
        return self.proxy.digest()


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


def _first_reason(invalid: Sequence[Trial]) -> str:
    return invalid[0].reason if invalid else ""


def make_reward(
    settings: OuterSettings, domain: Domain, store: Store, judge: JudgeSettings | None = None
) -> Reward:
    """The reward that the settings name. A judge is checked (package, key) before any work."""
    true = TrueReward(domain, settings.inner, store)
    if settings.reward == "true":
        return true
    rubric = RubricJudge(judge, store)
    rubric.check()
    proxy = ProxyReward(domain, rubric)
    return proxy if settings.reward == "proxy" else CascadeReward(proxy, true, settings.cascade_keep)
