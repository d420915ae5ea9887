"""Trials in this process: a trial that is in the store is never run again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from selfedit.config import InnerSettings
from selfedit.loops.inner import Keep, run_trials
from selfedit.loops.policies import Policies
from selfedit.progress import Part, Progress
from selfedit.runners.stored import OnTrials, StoredTrials, StreamingRunner, chunked, grouped
from selfedit.seams import Domain, PolicyRef
from selfedit.store import Store
from selfedit.types import Group, Proposal


class LocalRunner(StreamingRunner):
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

    def stream(
        self,
        policy: PolicyRef,
        domain: Domain,
        proposals: Iterable[Proposal],
        settings: InnerSettings,
        progress: Progress,
    ) -> Iterator[Group]:
        """See `StreamingRunner.stream`."""
        model = self.policies.get(policy)
        trials = StoredTrials(self.store, self.run_id, self.on_trials, progress)
        for part in chunked(proposals):
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
            yield from grouped(part, done, settings.seeds)
