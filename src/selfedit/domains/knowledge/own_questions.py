"""Rewards without labels: questions about a context that nobody had to write.

The authors propose it as the way out of labelled contexts (arXiv 2506.10943, limitations). What such a
reward is worth is measured: docs/rewards.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from selfedit.domains.base import Said
from selfedit.domains.knowledge.cloze import cloze_items
from selfedit.domains.knowledge.self_quiz import question_prompts, usable_questions
from selfedit.show.wording import plural
from selfedit.types import Query, QuestionKind, Task

if TYPE_CHECKING:
    from selfedit.domains.knowledge.domain import Knowledge


def with_own_questions(
    domain: Knowledge, tasks: Sequence[Task], kind: QuestionKind, write: Said
) -> tuple[list[Task], tuple[str, ...]]:
    """Each task with questions that the model wrote about it and answers right with the passage alone
    (`self_quiz`), or with blanks in its sentences; those without either have none.

    notes: how many contexts have which.
    """
    if kind == "given":
        return list(tasks), ()
    written = _written(domain, tasks, write) if kind == "own" else {}
    made = [replace(task, queries=written.get(task.id) or _blanks(task)) for task in tasks]
    blank = [task for task in made if task.queries and task.id not in written]
    notes = []
    if written:
        count = sum(map(len, written.values()))
        notes.append(
            f"{plural(len(written), 'context')} asked by {plural(count, 'question')} that the model "
            "wrote itself"
        )
    if blank:
        notes.append(f"{plural(len(blank), 'context')} asked by blanks in their own sentences")
    if nothing := sum(not task.queries for task in made):
        notes.append(f"{plural(nothing, 'context')} with nothing to ask about, which choose nothing")
    return made, tuple(notes)


def _written(domain: Knowledge, tasks: Sequence[Task], write: Said) -> dict[str, tuple[Query, ...]]:
    """The usable questions by the task's id."""
    unique = {task.id: task for task in tasks}
    asked = [(task, *pair) for task in unique.values() for pair in question_prompts(task)]
    found: dict[str, tuple[Query, ...]] = {}
    for task, _, query in usable_questions(asked, write, write, domain.question, domain.grader):
        found[task.id] = (*found.get(task.id, ()), replace(query, topic=task.title))
    return found


def _blanks(task: Task) -> tuple[Query, ...]:
    return tuple(item.query for item in cloze_items([task]))
