"""`selfedit arc score`: what a submission gets right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from selfedit.console import options
from selfedit.console.common import out, print_json
from selfedit.errors import InputError

if TYPE_CHECKING:
    from selfedit.domains.arc.submission import SubmissionScore, Truths


def score(
    submission: Annotated[
        Path, typer.Argument(help="Attempts in ARC's format, as `selfedit eval arc --submission`.")
    ],
    solutions: Annotated[
        Path | None, typer.Option(help="The right outputs: {id: [grid, ...]}, all of which count.")
    ] = None,
    tasks: Annotated[
        Path | None,
        typer.Option(help="Tasks with their outputs, all of which count: a JSON file or folder."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Score two attempts at each test input, as ARC does: one of them has to be right.

    Without --solutions and --tasks, the tasks of the submission are looked for in ARC-AGI-1 and
    ARC-AGI-2, and no others count. Tasks that count and are not in the submission are wrong.
    """
    from selfedit.domains.arc.submission import read_submission, score_submission

    attempts = read_submission(submission)
    found = score_submission(_truths(solutions, tasks, list(attempts)), attempts)
    if not found.num_tasks:
        raise InputError(f"{submission}: none of its tasks has known outputs; see --solutions")
    if as_json:
        print_json(found.summary())
    else:
        _show(found)


def _truths(solutions: Path | None, tasks: Path | None, ids: list[str]) -> Truths:
    from selfedit.domains.arc.sources import known_tasks, read_solutions, read_tasks

    if solutions is not None and tasks is None:
        return read_solutions(solutions)
    found = known_tasks(ids) if tasks is None else read_tasks(tasks, solutions)
    return {task.id: task.test_outputs for task in found}


def _show(found: SubmissionScore) -> None:
    from selfedit.show.wording import percent

    outputs, tasks = found.num_outputs, found.num_tasks
    out.print(Text(f"tasks solved          {percent(found.tasks)} ({found.num_solved} of {tasks})"))
    for name, share in (("one attempt right", found.either), ("first attempt right", found.first)):
        right = round(share * outputs)
        out.print(Text(f"{name:<21} {percent(share)} ({right} of {outputs} test outputs)"))
    if found.num_missing:
        out.print(Text(f"not in the submission {found.num_missing} of {tasks} tasks, which are wrong"))
