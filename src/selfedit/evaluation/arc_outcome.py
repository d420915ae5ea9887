"""What came of each task of ARC under each condition, now and out of the store, for the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from selfedit.config import stable_hash
from selfedit.store import RunRecord, Store
from selfedit.types import GradedAnswer, Query, Score, Task, Trial

_TASKS_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Outcome:
    """Each task's trials, or scores where nothing was trained (in the order of the tasks)."""

    trials: tuple[tuple[Trial, ...], ...] = ()
    scores: tuple[Score, ...] = ()
    learner: str = ""

    @property
    def by_task(self) -> list[float]:
        """Share of each task's models that solve it."""
        if not self.trials:
            return [float(score.value == 1.0) for score in self.scores]
        return [sum(solves(trial) for trial in own) / len(own) for own in self.trials]


def solves(trial: Trial) -> bool:
    """Whether the adapted model gives every test output."""
    return trial.reward == 1.0


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """A task with what each condition came to: its trials, or its score where nothing was trained."""

    task: Task
    trials: dict[str, tuple[Trial, ...]] = field(default_factory=dict)
    scores: dict[str, Score] = field(default_factory=dict)


def put_outcomes(
    store: Store, run_id: int, tasks: Sequence[Task], outcomes: Mapping[str, Outcome]
) -> None:
    """Keep for the run's report what is not in the store yet: each task, and which trials are its."""
    for start in range(0, len(tasks), _TASKS_AT_ONCE):
        values = {
            _key(run_id, place): _entry(tasks[place], place, outcomes)
            for place in range(start, min(start + _TASKS_AT_ONCE, len(tasks)))
        }
        store.put_cached("arc-task", values, run_id)


def stored_outcomes(store: Store, run: RunRecord, count: int) -> Iterator[TaskOutcome]:
    """The first tasks of a run; none where an earlier version of selfedit ran it."""
    known = store.cached([_key(run.id, place) for place in range(count)])
    for place in range(count):
        values = known.get(_key(run.id, place))
        if values is not None:
            yield _outcome(store, values)


def _key(run_id: int, place: int) -> str:
    return stable_hash(["arc-task", run_id, place])


def _entry(task: Task, place: int, outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    return {
        "task": asdict(task),
        "trials": {
            name: [trial.key for trial in outcome.trials[place]]
            for name, outcome in outcomes.items()
            if outcome.trials
        },
        "answers": {
            name: [asdict(answer) for answer in outcome.scores[place].answers]
            for name, outcome in outcomes.items()
            if outcome.scores
        },
    }


def _outcome(store: Store, values: Mapping[str, Any]) -> TaskOutcome:
    known = store.trials(key for keys in values["trials"].values() for key in keys)
    task = values["task"]
    queries = tuple(Query(q["question"], tuple(q["answers"]), q["topic"]) for q in task["queries"])
    return TaskOutcome(
        Task(task["id"], task["title"], task["context"], queries),
        {
            name: tuple(known[key] for key in keys if key in known)
            for name, keys in values["trials"].items()
        },
        {
            name: Score(tuple(GradedAnswer(**answer) for answer in answers))
            for name, answers in values["answers"].items()
        },
    )
