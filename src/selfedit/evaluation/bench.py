"""The bench that conditions work at: a model, tasks, and a store that keeps all results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from selfedit.config import EvaluationSettings, InnerSettings
from selfedit.domains.base import BaseDomain
from selfedit.domains.conditions import Condition, Outcome
from selfedit.errors import InputError
from selfedit.loops.groups import trials_of
from selfedit.loops.policies import Policies, ref_of
from selfedit.loops.pulse import Watched
from selfedit.loops.sampler import Writer
from selfedit.progress import Progress
from selfedit.runners.local import LocalRunner
from selfedit.runners.stored import OnTrials, Runners
from selfedit.seams import Domain, Model
from selfedit.store import Store
from selfedit.types import Prompt, Proposal, SelfEdit, Task, Trial


class StoredBench:
    """Implements `domains.conditions.Bench`. load_policy: loads the trained policy. conditions: the
    domain's own by default. on_trials: called with trials as they finish. runner: makes what runs
    them."""

    def __init__(
        self,
        domain: BaseDomain,
        tasks: Sequence[Task],
        model: Model,
        settings: EvaluationSettings,
        store: Store,
        *,
        load_policy: Callable[[], Model] | None = None,
        conditions: Mapping[str, Condition] | None = None,
        progress: Progress | None = None,
        on_trials: OnTrials = lambda trials: None,
        runner: Runners = LocalRunner,
    ) -> None:
        self.domain, self.tasks, self.model = domain, list(tasks), model
        self.settings, self.store = settings, store
        self.conditions = conditions if conditions is not None else domain.conditions()
        self.progress = Watched(progress)
        self.progress.workers = lambda: model.num_workers
        self.outcomes: dict[str, Outcome] = {}
        self.run_id = 0
        self._load_policy, self._on_trials, self._runner = load_policy, on_trials, runner

    def check(self) -> None:
        """Raises InputError if something is missing that a condition of the settings needs."""
        names = self.settings.conditions
        check_names(names, self.conditions)
        if not self.tasks:
            raise InputError(f"there are no {self.domain.noun}s to evaluate on")
        for name in names:
            condition = self.conditions[name]
            if condition.needs_policy and self._load_policy is None:
                raise InputError(
                    f"the condition `{name}` needs --policy FOLDER, as `selfedit train` writes it."
                )
            condition.check(self)

    @property
    def asks_for_policy(self) -> bool:
        """Whether one of the conditions is about the trained policy."""
        return any(self.conditions[name].needs_policy for name in self.settings.conditions)

    def policy(self) -> Model:
        assert self._load_policy is not None, "check"
        return self._load_policy()

    def outcome(self, condition: str) -> Outcome:
        self.outcomes[condition] = self.conditions[condition].answer(self)
        return self.outcomes[condition]

    def answer(self, model: Model, prompts: Sequence[Prompt], stage: str) -> list[str]:
        return Writer(model, self.store, self.progress).answer(prompts, stage)

    def propose(self, model: Model, domain: Domain, settings: InnerSettings) -> list[list[SelfEdit]]:
        return Writer(model, self.store, self.progress).propose(domain, self.tasks, settings)

    def trials(
        self,
        model: Model,
        domain: Domain,
        edits: Sequence[Sequence[SelfEdit]],
        settings: InnerSettings,
        tasks: Sequence[Task] | None = None,
    ) -> list[tuple[Trial, ...]]:
        asked = self.tasks if tasks is None else tasks
        proposals = [Proposal(task, None, tuple(own)) for task, own in zip(asked, edits, strict=True)]
        runner = self._runner(Policies(model), self.store, self.run_id, self._on_trials)
        self.progress.of(runner, model)
        groups = list(runner.run(ref_of(model), domain, proposals, settings, self.progress))
        return [
            tuple(trial for own in candidates for trial in own)
            for candidates in trials_of(self.store, groups)
        ]

    def once(self, key: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        found = self.store.cached([key])
        if key in found:
            return dict(found[key])
        result = work()
        self.store.put_cached("evaluation", {key: result}, self.run_id)
        return result


def check_names(names: Sequence[str], conditions: Mapping[str, Condition]) -> None:
    """Raises InputError for a condition that does not exist, or comes twice."""
    unknown = [name for name in names if name not in conditions]
    if unknown:
        raise InputError(f"--conditions {unknown[0]}: use some of {', '.join(conditions)}.")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(f"--conditions names {twice[0]} twice.")
