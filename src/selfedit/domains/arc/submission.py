"""Attempts in ARC's own form: {task id: [{"attempt_1": grid, "attempt_2": grid}, one per test
input]}."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfedit.domains.arc.grids import Grid
from selfedit.domains.arc.predict import Attempts
from selfedit.domains.arc.sources import read_json
from selfedit.domains.arc.tasks import grid_from_json
from selfedit.errors import InputError
from selfedit.show.files import write_whole
from selfedit.types import Task

if TYPE_CHECKING:
    from selfedit.domains.arc.domain import Arc
    from selfedit.domains.conditions import Outcome

_FORM = '{"007bbfb7": [{"attempt_1": [[0, 1]], "attempt_2": [[1, 0]]}]}'
_KEYS = ("attempt_1", "attempt_2")


@dataclass(frozen=True, slots=True)
class SubmissionScore:
    """Shares in [0, 1], NaN where nothing has a known output.

    first, either: of the test outputs that the first attempt, or one of the two, gets right.
    tasks: of the tasks, all of whose outputs one of the two gets right.
    num_outputs, num_tasks: how many have a known output. num_solved: of the tasks. num_missing: tasks
    that the submission lacks; they count as wrong.
    """

    first: float
    either: float
    tasks: float
    num_outputs: int
    num_tasks: int
    num_solved: int
    num_missing: int

    def summary(self) -> dict[str, Any]:
        """A JSON value."""
        return asdict(self)


def submission_to_json(attempts: Mapping[str, Sequence[Attempts]]) -> dict[str, Any]:
    """A missing attempt is an empty list, which no output equals."""
    return {
        task_id: [dict(zip(_KEYS, (_rows(own.first), _rows(own.second)), strict=True)) for own in given]
        for task_id, given in attempts.items()
    }


def write_submission(path: Path, attempts: Mapping[str, Sequence[Attempts]]) -> None:
    """Raises StoreError if the file cannot be written."""
    write_whole(path, json.dumps(submission_to_json(attempts)) + "\n")


def write_predictions(path: Path, domain: Arc, tasks: Sequence[Task], outcome: Outcome) -> None:
    """Two attempts at each test input: of each task's first edit that was trained (none: attempts that
    are no grids). Raises StoreError if the file cannot be written."""
    made = {}
    for task, scores in zip(tasks, outcome.scores, strict=True):
        score = next((score for score in scores if score is not None), None)
        none = tuple(Attempts(None, None) for _ in task.queries)
        made[task.id] = none if score is None else domain.attempts(score)
    write_submission(path, made)


def read_submission(path: Path) -> dict[str, tuple[Attempts, ...]]:
    """The attempts of a file, ours or another's. Raises InputError with the place and the form."""
    data = read_json(path)
    if not isinstance(data, dict):
        raise InputError(f"{path}: not a submission; expected {_FORM}")
    found = {}
    for task_id, given in data.items():
        if not isinstance(given, list):
            raise InputError(f"{path}, task {task_id}: not a list; expected {_FORM}")
        found[task_id] = tuple(
            read_attempts(f"{path}, task {task_id}, test input {number}", pair)
            for number, pair in enumerate(given, start=1)
        )
    return found


# Outputs of each task's test inputs, None where one is unknown.
Truths = Mapping[str, Sequence[Grid | None]]


def score_submission(truths: Truths, attempts: Mapping[str, Sequence[Attempts]]) -> SubmissionScore:
    """Scores of the tasks whose outputs are known; attempts at other tasks do not count.

    Raises InputError if a task's numbers of test inputs and attempts differ.
    """
    first: list[bool] = []
    either: list[bool] = []
    solved: list[bool] = []
    missing = 0
    for task_id, outputs in truths.items():
        known = [(i, truth) for i, truth in enumerate(outputs) if truth is not None]
        if not known:
            continue
        own = attempts.get(task_id)
        missing += own is None
        if own is None:
            own = [Attempts(None, None)] * len(outputs)
        if len(own) != len(outputs):
            raise InputError(
                f"task {task_id}: attempts at {len(own)} test inputs; it has {len(outputs)}"
            )
        first += [own[i].first == truth for i, truth in known]
        right = [own[i].solve(truth) for i, truth in known]
        either += right
        solved.append(all(right))
    return SubmissionScore(
        _share(first), _share(either), _share(solved), len(first), len(solved), sum(solved), missing
    )


def _share(right: Sequence[bool]) -> float:
    return sum(right) / len(right) if right else float("nan")


def _rows(grid: Grid | None) -> list[list[int]]:
    return [] if grid is None else grid.rows()


def read_attempts(where: str, pair: Any) -> Attempts:
    """One pair as a submission holds it. Raises InputError with the place."""
    if not isinstance(pair, dict) or not pair.keys() >= set(_KEYS):
        raise InputError(f"{where}: expected attempt_1 and attempt_2, as in {_FORM}")
    first, second = (
        None if pair[key] in (None, []) else grid_from_json(f"{where}, {key}", pair[key])
        for key in _KEYS
    )
    return Attempts(first, second)
