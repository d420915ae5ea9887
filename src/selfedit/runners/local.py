"""Trials in this process: a trial that is in the store is never run again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from selfedit.config import InnerSettings
from selfedit.loops.groups import group_of
from selfedit.loops.inner import Keep, run_trials
from selfedit.loops.policies import Policies
from selfedit.progress import Part, Progress
from selfedit.seams import Domain, Model, PolicyRef
from selfedit.show.wording import percent
from selfedit.store import Store
from selfedit.types import Group, Proposal, Trial

# Contexts whose trials, with answers, losses and training texts, are in memory at the same time.
CONTEXTS_AT_ONCE = 200


class LocalRunner:
    """Implements `seams.TrialRunner` with one model at a time and the store of a library.

    run_id: the run that new trials belong to. on_trials: called with new trials as they finish; keep:
    with them and their adapters, before they are stored.
    """

    def __init__(
        self,
        policies: Policies,
        store: Store,
        run_id: int,
        on_trials: Callable[[Sequence[Trial]], None] = lambda trials: None,
        keep: Keep = lambda trials, bank: None,
    ) -> None:
        self.policies, self.store, self.run_id = policies, store, run_id
        self.on_trials, self.keep = on_trials, keep

    def run(
        self,
        policy: PolicyRef,
        domain: Domain,
        proposals: Sequence[Proposal],
        settings: InnerSettings,
        progress: Progress,
    ) -> list[Group]:
        """See `seams.TrialRunner`. The groups hold keys of trials: `loops.groups.trials_of` reads
        them, so that a large round takes little memory."""
        model = self.policies.get(policy)
        edits = sum(len(own.edits) for own in proposals)
        progress.start("training and testing self-edits", settings.seeds * edits)
        tally = _Tally(progress)
        groups: list[Group] = []
        for at in range(0, len(proposals), CONTEXTS_AT_ONCE):
            part = proposals[at : at + CONTEXTS_AT_ONCE]
            groups += self._some(model, domain, part, settings, progress, tally)
        progress.note("")  # it says nothing about the stages that follow
        return groups

    def _some(
        self,
        model: Model,
        domain: Domain,
        proposals: Sequence[Proposal],
        settings: InnerSettings,
        progress: Progress,
        tally: _Tally,
    ) -> list[Group]:
        titles = {own.task.id: own.task.title for own in proposals}

        def known(keys: Sequence[str]) -> dict[str, Trial]:
            found = self.store.trials(keys)
            tally.add(found.values(), titles)
            return found

        def sink(done: Sequence[Trial]) -> None:
            self.store.put_trials(self.run_id, done)
            tally.add(done, titles)
            self.on_trials(done)

        pairs = [(own.task, edit) for own in proposals for edit in own.edits]
        part = Part(progress, settings.seeds * len(pairs))
        trials = iter(
            run_trials(
                model, domain, pairs, settings, known=known, sink=sink, keep=self.keep, progress=part
            )
        )
        part.finish()
        return [
            group_of(
                own.task,
                own.baseline,
                [[next(trials) for _ in range(settings.seeds)] for _ in own.edits],
            )
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
