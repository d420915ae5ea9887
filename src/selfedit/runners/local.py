"""Trials in this process: a trial that is in the store is never run again."""

from __future__ import annotations

from collections.abc import Sequence

from selfedit.config import InnerSettings
from selfedit.loops.inner import Keep, run_trials
from selfedit.loops.policies import Policies
from selfedit.progress import Part, Progress
from selfedit.runners import stored
from selfedit.runners.stored import OnTrials, StoredTrials, grouped
from selfedit.seams import Domain, PolicyRef
from selfedit.store import Store
from selfedit.types import Group, Proposal


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
        on_trials: OnTrials = lambda trials: None,
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
        trials = StoredTrials(self.store, self.run_id, self.on_trials, progress)
        groups: list[Group] = []
        for at in range(0, len(proposals), stored.CONTEXTS_AT_ONCE):
            part = proposals[at : at + stored.CONTEXTS_AT_ONCE]
            known, sink = trials.of(part)
            shown = Part(progress, settings.seeds * sum(len(own.edits) for own in part))
            done = run_trials(
                model,
                domain,
                [(own.task, edit) for own in part for edit in own.edits],
                settings,
                known=known,
                sink=sink,
                keep=self.keep,
                progress=shown,
            )
            shown.finish()
            groups += grouped(part, done, settings.seeds)
        progress.note("")  # it says nothing about the stages that follow
        return groups
