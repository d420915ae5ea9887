"""The outcome of each task under each condition, stored for reports that draw it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from selfedit.config import stable_hash
from selfedit.domains.conditions import Outcome, TaskOutcome
from selfedit.store import RunRecord, Store
from selfedit.types import GradedAnswer, Query, Score, Task, Trial

_TASKS_AT_ONCE = 100
_KIND = "task outcome"
_FORMER = "arc-task"  # in stores of versions that drew one domain only


def put_outcomes(
    store: Store, run_id: int, tasks: Sequence[Task], outcomes: Mapping[str, Outcome]
) -> None:
    """Store what the run's report needs and the store lacks: each task, and which trials belong to
    it."""
    for start in range(0, len(tasks), _TASKS_AT_ONCE):
        values = {
            _key(_KIND, run_id, place): _entry(tasks[place], place, outcomes)
            for place in range(start, min(start + _TASKS_AT_ONCE, len(tasks)))
        }
        store.put_cached(_KIND, values, run_id)


def stored_outcomes(store: Store, run: RunRecord, count: int) -> Iterator[TaskOutcome]:
    """The first tasks of a run; none if an earlier version of selfedit ran it."""
    keys = {kind: [_key(kind, run.id, place) for place in range(count)] for kind in (_KIND, _FORMER)}
    known = store.cached(itertools.chain(*keys.values()))
    for key, former in zip(keys[_KIND], keys[_FORMER], strict=True):
        values = known.get(key) or known.get(former)
        if values is not None:
            yield _outcome(store, values)


def _key(kind: str, run_id: int, place: int) -> str:
    return stable_hash([kind, run_id, place])


def _entry(task: Task, place: int, outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    return {
        "task": asdict(task),
        "trials": {
            name: [trial.key for trial in outcome.trials[place]]
            for name, outcome in outcomes.items()
            if outcome.trials
        },
        "edits": {  # edits that say the same share a trial, which has the number of one of them
            name: [trial.edit.index for trial in outcome.trials[place]]
            for name, outcome in outcomes.items()
            if outcome.trials
        },
        "answers": {
            name: [asdict(answer) for answer in score.answers]
            for name, outcome in outcomes.items()
            if not outcome.trials and (score := outcome.scores[place][0]) is not None
        },
    }


def _outcome(store: Store, values: Mapping[str, Any]) -> TaskOutcome:
    known = store.trials(key for keys in values["trials"].values() for key in keys)
    numbers = values.get("edits", {})  # earlier versions kept none
    task = values["task"]
    queries = tuple(Query(q["question"], tuple(q["answers"]), q["topic"]) for q in task["queries"])
    return TaskOutcome(
        Task(task["id"], task["title"], task["context"], queries),
        {
            name: tuple(
                _as_edit(known[key], number)
                for key, number in itertools.zip_longest(keys, numbers.get(name, ()))
                if key in known
            )
            for name, keys in values["trials"].items()
        },
        {
            name: Score(tuple(GradedAnswer(**answer) for answer in answers))
            for name, answers in values["answers"].items()
        },
    )


def _as_edit(trial: Trial, number: int | None) -> Trial:
    """The trial as that of this run's edit, counted from 0; None: as it is stored."""
    return trial if number is None else replace(trial, edit=replace(trial.edit, index=number))
