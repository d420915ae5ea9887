"""What every runner does with trials besides running them: the store, the tally, the groups."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Protocol

from selfedit.config import InnerSettings
from selfedit.loops.groups import group_of
from selfedit.loops.inner import Known
from selfedit.loops.policies import Policies
from selfedit.progress import Progress
from selfedit.seams import Domain, PolicyRef, TrialRunner
from selfedit.show.wording import percent
from selfedit.store import Store
from selfedit.types import Group, Proposal, Trial

# Contexts that are planned together, and whose trials, with answers, losses and training texts, are in
# memory at the same time. Every runner has the same waves because it has the same number.
CONTEXTS_AT_ONCE = 200

OnTrials = Callable[[Sequence[Trial]], None]


class Runners(Protocol):
    """Makes the runner of a run's trials: `runners.local.LocalRunner`, `runners.ray.Cluster.runner`."""

    def __call__(
        self, policies: Policies, store: Store, run_id: int, on_trials: OnTrials = ..., /
    ) -> TrialRunner: ...


class StreamingRunner(ABC):
    """A `seams.TrialRunner` with little in memory."""

    def run(
        self,
        policy: PolicyRef,
        domain: Domain,
        proposals: Sequence[Proposal],
        settings: InnerSettings,
        progress: Progress,
    ) -> Iterator[Group]:
        """See `seams.TrialRunner`. The groups hold keys of trials: `loops.groups.trials_of` reads
        them."""
        edits = sum(len(own.edits) for own in proposals)
        progress.start("training and testing self-edits", settings.seeds * edits)
        yield from self.stream(policy, domain, proposals, settings, progress)
        progress.note("")  # it says nothing about the stages that follow

    @abstractmethod
    def stream(
        self,
        policy: PolicyRef,
        domain: Domain,
        proposals: Iterable[Proposal],
        settings: InnerSettings,
        progress: Progress,
    ) -> Iterator[Group]:
        """Proposals are read, and groups handed out, some hundred at a time, so that their number does
        not matter to the memory."""


class StoredTrials:
    """Finds finished trials in the store and saves new ones as those of a run.

    on_trials: called with new trials, once they are stored.
    """

    def __init__(self, store: Store, run_id: int, on_trials: OnTrials, progress: Progress) -> None:
        self.store, self.run_id, self.on_trials = store, run_id, on_trials
        self._tally = _Tally(progress)

    def of(self, proposals: Sequence[Proposal]) -> tuple[Known, OnTrials]:
        """`known` and `sink` of `loops.inner.run_trials`, for trials of these proposals."""
        titles = {own.task.id: own.task.title for own in proposals}

        def known(keys: Sequence[str]) -> dict[str, Trial]:
            found = self.store.trials(keys)
            self._tally.add(found.values(), titles)
            return found

        def sink(done: Sequence[Trial]) -> None:
            self.store.put_trials(self.run_id, done)
            self._tally.add(done, titles)
            self.on_trials(done)

        return known, sink


def chunked(proposals: Iterable[Proposal]) -> Iterator[list[Proposal]]:
    """Those that are planned together, read as they are needed."""
    left = iter(proposals)
    while part := list(islice(left, CONTEXTS_AT_ONCE)):
        yield part


def grouped(proposals: Sequence[Proposal], trials: Iterable[Trial], seeds: int) -> list[Group]:
    """A group for each proposal. trials: of every edit with every seed, in their order."""
    left = iter(trials)
    return [
        group_of(own.task, own.baseline, [[next(left) for _ in range(seeds)] for _ in own.edits])
        for own in proposals
    ]


class _Tally:
    """The mean reward so far, as a note of the progress."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._sum, self._count = progress, 0.0, 0

    def add(self, trials: Iterable[Trial], titles: Mapping[str, str]) -> None:
        for trial in trials:
            if trial.reward is not None:
                self._sum, self._count = self._sum + trial.reward, self._count + 1
                mean = self._sum / self._count
                title = titles.get(trial.task_id, trial.task_id)
                self._progress.note(f"mean reward so far {percent(mean)}, last trained: {title}")
