"""`selfedit arc score`: what a submission gets right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from selfedit.console import options
from selfedit.console.common import err, out, print_json
from selfedit.errors import InputError

if TYPE_CHECKING:
    from selfedit.domains.arc.predict import Attempts
    from selfedit.domains.arc.submission import SubmissionScore, Truths
    from selfedit.domains.arc.tasks import ArcTask


def score(
    submission: Annotated[
        Path,
        typer.Argument(help="Attempts in ARC's format, as `selfedit eval arc --submission` writes."),
    ],
    solutions: Annotated[
        Path | None, typer.Option(help="The right outputs: {id: [grid, ...]}, all of which count.")
    ] = None,
    tasks: Annotated[
        Path | None,
        typer.Option(help="Tasks with their outputs, all of which count: a JSON file or folder."),
    ] = None,
    show: Annotated[
        str | None, typer.Option(metavar="TASK", help="Draw the attempts at this task, too.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Score two attempts at each test input, as ARC does: one of them has to be right.

    Without --solutions and --tasks, the tasks of the submission are looked for in ARC-AGI-1 and
    ARC-AGI-2, and no others count. Tasks that count but are not in the submission are wrong.
    """
    from selfedit.domains.arc.sources import read_solutions
    from selfedit.domains.arc.submission import read_submission, score_submission

    attempts = read_submission(submission)
    known = _known(solutions, tasks, attempts) if tasks or show or not solutions else []
    truths: Truths = {task.id: task.test_outputs for task in known}
    if solutions is not None and tasks is None:
        truths = read_solutions(solutions)
    found = score_submission(truths, attempts)
    if not found.num_tasks:
        raise InputError(f"{submission}: none of its tasks has known outputs; see --solutions")
    if as_json:
        print_json(found.summary())
    else:
        _show(found)
    if show is not None:
        _draw(show, known, attempts)


def _known(solutions: Path | None, tasks: Path | None, ids: Iterable[str]) -> list[ArcTask]:
    """The tasks that are known by more than their solutions: of the file, else of the datasets."""
    from selfedit.domains.arc.sources import known_tasks, read_tasks

    return known_tasks(ids) if tasks is None else read_tasks(tasks, solutions)


def _draw(name: str, tasks: list[ArcTask], attempts: Mapping[str, Sequence[Attempts]]) -> None:
    """Each attempt beside what is right."""
    from selfedit.domains.arc.pictures import prediction_view

    task = next((task for task in tasks if task.id == name), None)
    if task is None or name not in attempts:
        raise InputError(f"--show {name}: the submission has no such task whose inputs are known.")
    pairs = zip(task.test_inputs, task.test_outputs, attempts[name], strict=True)
    for number, (given, truth, own) in enumerate(pairs, start=1):
        for which, grid in (("first", own.first), ("second", own.second)):
            err.print(f"{name}, test input {number}, {which} attempt", markup=False)
            err.print(prediction_view(given, grid, truth))


def _show(found: SubmissionScore) -> None:
    from selfedit.show.wording import percent

    outputs, tasks = found.num_outputs, found.num_tasks
    out.print(Text(f"tasks solved          {percent(found.tasks)} ({found.num_solved} of {tasks})"))
    for name, share in (("one attempt right", found.either), ("first attempt right", found.first)):
        right = round(share * outputs)
        out.print(Text(f"{name:<21} {percent(share)} ({right} of {outputs} test outputs)"))
    if found.num_missing:
        out.print(Text(f"not in the submission {found.num_missing} of {tasks} tasks, which are wrong"))
