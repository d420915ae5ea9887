"""Tasks of ARC in reports: as grids, with what each condition of an evaluation predicted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from selfedit.domains.arc.predict import Attempts
from selfedit.domains.arc.svg import task_svg
from selfedit.domains.arc.task_section import task_section
from selfedit.domains.arc.tasks import ArcTask
from selfedit.domains.conditions import TaskOutcome, solves
from selfedit.domains.evaluable import OwnRun
from selfedit.show.page import Notes, Plot, Section, Table
from selfedit.show.wording import duration, plural
from selfedit.types import Trial

if TYPE_CHECKING:
    from selfedit.domains.arc.domain import Arc


def picture(task: ArcTask) -> Plot:
    """Demonstrations, test inputs and their outputs."""
    shown = plural(len(task.train), "demonstration")
    tests = plural(len(task.test_inputs), "test input")
    return Plot(task_svg(task), f"{shown} and {tests} of task {task.id}")


def drawn(
    domain: Arc, outcomes: Iterable[TaskOutcome], conditions: Sequence[str], total: int
) -> list[Section]:
    """The tasks in pictures, each folded."""
    sections = [_drawn(domain, outcome, conditions) for outcome in outcomes]
    if not sections:
        return []
    said = [
        "demonstrations, and for each condition: test input, prediction, truth and difference",
        "a task may have been solved by another edit, seed or attempt than the one shown",
    ]
    if total > len(sections):
        said.append(f"the first {len(sections)} of {total:,} tasks")
    return [Section("Grids", (Notes(tuple(said)),), in_terminal=False), *sections]


def _drawn(domain: Arc, outcome: TaskOutcome, conditions: Sequence[str]) -> Section:
    from selfedit.domains.arc.as_task import with_outputs

    predictions: dict[str, tuple[Attempts, ...]] = {}
    notes = []
    said = []
    for name in conditions:
        if name in outcome.scores:
            score = outcome.scores[name]
            predictions[name] = domain.attempts(score)
            said.append(f"{name} {'solved' if solves(score) else 'not solved'}")
            continue
        trials = outcome.trials.get(name, ())
        solved = sum(solves(trial.score) for trial in trials)
        said.append(f"{name} {solved} of {len(trials)} solved")
        shown = _shown(trials)
        if shown is None:
            reason = f": {trials[0].reason}" if trials else ""
            notes.append(f"{name}: nothing was trained, so nothing was predicted{reason}")
            continue
        assert shown.score is not None
        label = name if len(trials) == 1 else f"{name} (edit {shown.edit.index + 1})"
        predictions[label] = domain.attempts(shown.score)
        notes.append(f"{label}, trained as {domain.canonical(outcome.task, shown.edit)}")
    task = with_outputs(outcome.task, domain.settings.grid)
    heading = f"Task {task.id}: {', '.join(said)}"
    return task_section(task, predictions, heading, folded=True, notes=notes)


def _shown(trials: Sequence[Trial]) -> Trial | None:
    """The first model that solves the task; else the first that answered."""
    scored = [trial for trial in trials if trial.score is not None]
    solved = (trial for trial in scored if solves(trial.score))
    return next(solved, scored[0] if scored else None)


# -- `selfedit arc solvable` -----------------------------------------------------------------------


def _headline(result: Mapping[str, Any]) -> str:
    return f"{len(result['solvable'])} of {len(result['tried'])} tasks solvable"


def _sections(result: Mapping[str, Any]) -> tuple[Section, ...]:
    rows = tuple(
        (
            one["id"],
            "solved" if one["in_context"] else "—",
            "solved" if one["solved"] else "—",
            duration(one["seconds"]),
            one["reason"] or "—",
        )
        for one in result["tried"]
    )
    table = Table(("task", "in context", "oracle", "a training", "reason"), rows)
    said = f"{len(result['solvable'])} of {len(rows)} tasks solved by {result['filter']}"
    return (Section("Tasks", (table, Notes((said,)))),)


SOLVABLE = OwnRun("selfedit arc solvable", "Tasks that can be learned", _headline, _sections)
