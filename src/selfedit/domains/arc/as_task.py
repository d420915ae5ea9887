"""A task of ARC as it travels through the loops, and back: a `Task` whose context is JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache

from selfedit.domains.arc.tasks import ArcTask, example_to_json, task_from_json
from selfedit.domains.arc.text import GridFormat, grid_to_text, parse_grid
from selfedit.types import Query, Task

UNKNOWN = ""  # gold of a test input whose output is unknown


def to_task(task: ArcTask, form: GridFormat = "rows") -> Task:
    """The task as it travels through the loops: the context is what the model may see, as JSON; a query
    is a test input. If its output is unknown, the gold is UNKNOWN, which no answer equals."""
    shown = {
        "train": [example_to_json(example) for example in task.train],
        "test": [{"input": grid.rows()} for grid in task.test_inputs],
    }
    queries = tuple(
        Query(f"test input {number}", (UNKNOWN if grid is None else grid_to_text(grid, form),))
        for number, grid in enumerate(task.test_outputs, start=1)
    )
    return Task(task.id, task.id, json.dumps(shown, separators=(",", ":")), queries)


@lru_cache(maxsize=1024)
def of_task(task: Task) -> ArcTask:
    """Demonstrations and test inputs of a travelling task, without its outputs."""
    return task_from_json(task.title, task.id, json.loads(task.context))


def with_outputs(task: Task, form: GridFormat = "rows") -> ArcTask:
    """A travelling task with its outputs, in its original form."""
    outputs = tuple(None if q.gold == UNKNOWN else parse_grid(q.gold, form) for q in task.queries)
    return replace(of_task(task), test_outputs=outputs)


def puzzle(task: Task) -> str:
    """What two travelling tasks share exactly when their demonstrations are the same, in the same
    order: a task that is cut into one file for each test input is still one puzzle."""
    return task.context.partition(',"test":')[0]


def is_known(task: Task) -> bool:
    """Whether a travelling task can be scored: it has test inputs, and all their outputs."""
    return bool(task.queries) and all(query.gold != UNKNOWN for query in task.queries)
