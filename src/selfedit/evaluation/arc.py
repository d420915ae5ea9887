"""The paper's few-shot table: which share of adapted models solves its task, by condition.

`seal` follows the paper: the trained policy writes the edits and its own weights are trained on them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from selfedit.config import stable_hash
from selfedit.domains.arc.domain import Arc, is_known, of_task
from selfedit.errors import InputError
from selfedit.evaluation.arc_outcome import Outcome, put_outcomes, solves
from selfedit.evaluation.evaluate import Pair, numbers
from selfedit.evaluation.settings import ArcEvaluationSettings
from selfedit.grading.statistics import accuracy_interval, paired_difference, verdict
from selfedit.loops.groups import trials_of
from selfedit.loops.policies import Policies, ref_of
from selfedit.loops.runs import recorded_run
from selfedit.loops.sampler import Writer
from selfedit.progress import Progress, Silent
from selfedit.runners.local import LocalRunner
from selfedit.seams import Model
from selfedit.store import Store
from selfedit.types import Proposal, Score, SelfEdit, Task, TrainingPlan, Trial

CONDITIONS: dict[str, str] = {
    "in-context": "the demonstrations in the prompt, nothing trained",
    "ttt": "test-time training as the model's own self-edits say, no RL",
    "seal": "as the self-edits of the RL-trained policy say, on the policy's own weights",
    "oracle": "test-time training with the fixed best configuration",
}


@dataclass(frozen=True, slots=True)
class ArcRow:
    """A condition's result. success: share of the adapted models that solve their task, mean over tasks
    in [0, 1], with its 95 % interval over tasks.

    models: adapted models, the invalid and failed edits with them (of `in-context`: answers); each of
    those counts as not solved. valid: edits of the right form. reasons: of those that came to nothing,
    with their number. seconds, tokens: of a training. by_task: each task's share.
    """

    condition: str
    success: float
    low: float
    high: float
    models: int
    tasks: int
    valid: int
    invalid: int
    failed: int
    solved: int
    tokens: int
    seconds: float | None
    learner: str
    reasons: tuple[tuple[str, int], ...] = ()
    by_task: tuple[float, ...] = field(repr=False, default=())


@dataclass(frozen=True, slots=True)
class ArcEvaluation:
    """What `evaluate_arc` found."""

    rows: tuple[ArcRow, ...]
    pairs: tuple[Pair, ...]
    model: str
    candidates: int
    seeds: int
    seed: int
    prediction: str
    task_ids: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def summary(self) -> dict[str, Any]:
        """A JSON value: what `selfedit eval arc --json` prints, and what the store keeps."""
        return asdict(self)

    @classmethod
    def of(cls, summary: Mapping[str, Any]) -> ArcEvaluation:
        """The evaluation whose summary it is, as it comes back out of the store (NaN as None)."""
        rows = tuple(
            ArcRow(
                **{
                    **numbers(row),
                    "by_task": tuple(row["by_task"]),
                    "reasons": tuple((reason, count) for reason, count in row["reasons"]),
                }
            )
            for row in summary["rows"]
        )
        pairs = tuple(Pair(**numbers(pair)) for pair in summary["pairs"])
        lists = {name: tuple(summary[name]) for name in ("task_ids", "notes")}
        return cls(**{**summary, **lists, "rows": rows, "pairs": pairs})


@dataclass
class ArcSubjects:
    """Who learns. load_policy: loads the trained policy when its row comes."""

    model: Model
    load_policy: Callable[[], Model] | None = None


class ArcEvaluator:
    """The conditions on the same tasks; what is stored is not repeated."""

    def __init__(
        self,
        subjects: ArcSubjects,
        tasks: Sequence[Task],
        store: Store,
        settings: ArcEvaluationSettings,
        progress: Progress | None = None,
        on_trials: Callable[[Sequence[Trial]], None] = lambda trials: None,
    ) -> None:
        check_conditions(settings.conditions, subjects)
        if not tasks:
            raise InputError("there are no tasks to evaluate on")
        self.subjects, self.tasks, self.store = subjects, list(tasks), store
        self.settings, self.progress = settings, progress or Silent()
        self.on_trials = on_trials
        self.domain = Arc(settings.inner.arc, settings.inner.train.batch_size)
        self.outcomes: dict[str, Outcome] = {}
        self.run_id = 0

    def run(
        self, on_row: Callable[[ArcRow], None] = lambda row: None, notes: Sequence[str] = ()
    ) -> ArcEvaluation:
        """All conditions. notes: what else a reader of the table must know. Raises SelfEditError."""
        inner, subjects = self.settings.inner, self.subjects
        ids = stable_hash([[task.id, task.context] for task in self.tasks])
        inputs = {"contexts": len(self.tasks), "tasks": ids, "domain": "arc"}
        with recorded_run(self.store, "eval-arc", subjects.model, self.settings, inputs) as run:
            self.run_id = run.id
            rows = []
            for name in self.settings.conditions:
                self.outcomes[name] = self.answer(name)
                rows.append(self._row(name, self.outcomes[name]))
                on_row(rows[-1])
            put_outcomes(self.store, run.id, self.tasks, self.outcomes)
            result = ArcEvaluation(
                tuple(rows),
                tuple(self._pairs(rows)),
                model=subjects.model.name,
                candidates=inner.candidates,
                seeds=inner.seeds,
                seed=inner.seed,
                prediction=inner.arc.prediction,
                task_ids=tuple(task.id for task in self.tasks if is_known(task)),
                notes=tuple(notes),
            )
            run.result = result.summary()
        return result

    def answer(self, condition: str) -> Outcome:
        """What a condition makes of each task."""
        model = self.subjects.model
        if condition == "in-context":
            return Outcome(scores=tuple(self._in_context(model)), learner=model.name)
        if condition == "oracle":
            return Outcome(tuple(self._train(model, self._oracle())), learner=model.name)
        if condition == "seal":
            assert self.subjects.load_policy is not None, "check_conditions"
            model = self.subjects.load_policy()
        writer = Writer(model, self.store, self.progress)
        edits = writer.propose(self.domain, self.tasks, self.settings.inner)
        return Outcome(tuple(self._train(model, edits)), learner=model.name)

    def oracle_plans(self) -> list[TrainingPlan]:
        """What the oracle trains on, for each task; for estimates. Raises InvalidSelfEdit."""
        said = self.domain.oracle()
        return [self.domain.plan(of_task(task), said) for task in self.tasks]

    def _oracle(self) -> list[list[SelfEdit]]:
        said = self.domain.oracle().text()
        return [[SelfEdit(task.id, 0, (), (said,))] for task in self.tasks]

    def _in_context(self, model: Model) -> list[Score]:
        asked = [self.domain.queries(task) for task in self.tasks]
        writer = Writer(model, self.store, self.progress)
        prompts = [prompt for own in asked for prompt in own]
        replies = iter(writer.answer(prompts, "asking the model with the demonstrations"))
        return [
            self.domain.score(task, [next(replies) for _ in own])
            for task, own in zip(self.tasks, asked, strict=True)
        ]

    def _train(self, model: Model, edits: Sequence[Sequence[SelfEdit]]) -> list[tuple[Trial, ...]]:
        """Each task's trials: of every edit with every seed."""
        proposals = [
            Proposal(task, None, tuple(own)) for task, own in zip(self.tasks, edits, strict=True)
        ]
        runner = LocalRunner(Policies(model), self.store, self.run_id, self.on_trials)
        groups = runner.run(ref_of(model), self.domain, proposals, self.settings.inner, self.progress)
        return [
            tuple(trial for own in candidates for trial in own)
            for candidates in trials_of(self.store, groups)
        ]

    def _row(self, name: str, outcome: Outcome) -> ArcRow:
        known = [i for i, task in enumerate(self.tasks) if is_known(task)]
        by_task = [outcome.by_task[i] for i in known]
        seed, resamples = self.settings.inner.seed, self.settings.resamples
        interval = accuracy_interval(by_task, seed, resamples)
        trials = [trial for i in known for trial in (outcome.trials[i] if outcome.trials else ())]
        reasons: dict[str, int] = {}
        for trial in trials:
            if trial.reason:
                reasons[trial.reason] = reasons.get(trial.reason, 0) + 1
        trained = {trial.key: trial for trial in trials if trial.status == "scored"}.values()
        invalid = sum(trial.status == "invalid" for trial in trials)
        return ArcRow(
            condition=name,
            success=interval.value,
            low=interval.low,
            high=interval.high,
            models=len(trials) or len(known),
            tasks=interval.contexts,
            valid=len(trials) - invalid,
            invalid=invalid,
            failed=sum(trial.status == "failed" for trial in trials),
            solved=sum(map(solves, trials)) if trials else round(sum(by_task)),
            tokens=sum(trial.tokens for trial in trained),
            seconds=sum(t.seconds for t in trained) / len(trained) if trained else None,
            learner=outcome.learner,
            reasons=tuple(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
            by_task=tuple(by_task),
        )

    def _pairs(self, rows: Sequence[ArcRow]) -> list[Pair]:
        """Each row against each one above it."""
        seed, resamples = self.settings.inner.seed, self.settings.resamples
        pairs = []
        for b, a in itertools.combinations(rows, 2):
            found = paired_difference(a.by_task, b.by_task, seed, resamples)
            said = verdict(found, a.condition, b.condition)
            pairs.append(Pair(a.condition, b.condition, found.value, found.low, found.high, said))
        return pairs


def check_conditions(names: Sequence[str], subjects: ArcSubjects) -> None:
    """Raises InputError for a condition that does not exist, comes twice, or lacks its policy."""
    unknown = [name for name in names if name not in CONDITIONS]
    if unknown:
        raise InputError(f"--conditions {unknown[0]}: use some of {', '.join(CONDITIONS)}.")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(f"--conditions names {twice[0]} twice.")
    if "seal" in names and subjects.load_policy is None:
        raise InputError("the condition `seal` needs --policy FOLDER, as `selfedit train` writes it.")
