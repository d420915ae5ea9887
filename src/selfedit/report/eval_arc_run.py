"""The reports of `eval arc` and `arc solvable` runs."""

from __future__ import annotations

from collections.abc import Sequence

from selfedit.domains.arc.domain import Arc, with_outputs
from selfedit.domains.arc.predict import Attempts
from selfedit.domains.arc.settings import ArcSettings
from selfedit.evaluation.arc import ArcEvaluation
from selfedit.evaluation.arc_outcome import TaskOutcome, solves, stored_outcomes
from selfedit.evaluation.arc_table import blocks
from selfedit.report.arc_task import task_section
from selfedit.report.runs import Report, facts, failure, run_values, settings_section, trials_section
from selfedit.show.page import Notes, Page, Section, Table
from selfedit.show.wording import duration, percent
from selfedit.store import RunRecord, Store
from selfedit.types import Trial

MOST_DRAWN = 40  # tasks; a page with the grids of 400 would be too large to open


def eval_arc_report(store: Store, run: RunRecord) -> Report:
    if run.result is None:
        sections: tuple[Section, ...] = (trials_section(store, run),)
    else:
        found = ArcEvaluation.of(run.result)
        sections = (Section("Conditions", blocks(found)), _tasks(found), *_grids(store, run))
    return _report(store, run, "selfedit eval arc", "Few-shot learning, by condition", sections)


def solvable_report(store: Store, run: RunRecord) -> Report:
    if run.result is None:
        sections: tuple[Section, ...] = (trials_section(store, run),)
    else:
        rows = tuple(
            (
                one["id"],
                "solved" if one["in_context"] else "—",
                "solved" if one["solved"] else "—",
                duration(one["seconds"]),
                one["reason"] or "—",
            )
            for one in run.result["tried"]
        )
        table = Table(("task", "in context", "oracle", "a training", "reason"), rows)
        said = f"{len(run.result['solvable'])} of {len(rows)} tasks solved by {run.result['filter']}"
        sections = (Section("Tasks", (table, Notes((said,)))), *_grids(store, run))
    return _report(store, run, "selfedit arc solvable", "Tasks that can be learned", sections)


def _tasks(found: ArcEvaluation) -> Section:
    """Each task's share of models that solve it."""
    rows = tuple(
        (task, *(percent(row.by_task[place]) for row in found.rows))
        for place, task in enumerate(found.task_ids)
    )
    headings = ("task", *(row.condition for row in found.rows))
    return Section("Task by task", (Table(headings, rows),))


# -- grids -----------------------------------------------------------------------------------------


def _grids(store: Store, run: RunRecord) -> tuple[Section, ...]:
    """The tasks in pictures, each folded; an earlier version of selfedit kept none."""
    domain = Arc(ArcSettings.model_validate(run.settings["inner"]["arc"]))
    count = int(run.inputs["contexts"])
    drawn = [
        _drawn(domain, outcome, run.settings["conditions"])
        for outcome in stored_outcomes(store, run, min(count, MOST_DRAWN))
    ]
    if not drawn:
        return ()
    said = ["demonstrations, and for each condition: test input, prediction, truth and difference"]
    said.append("a task may have been solved by another edit, seed or attempt than the one shown")
    if count > len(drawn):
        said.append(f"the first {len(drawn)} of {count:,} tasks")
    return (Section("Grids", (Notes(tuple(said)),), in_terminal=False), *drawn)


def _drawn(domain: Arc, outcome: TaskOutcome, conditions: Sequence[str]) -> Section:
    predictions: dict[str, tuple[Attempts, ...]] = {}
    notes = []
    said = []
    for name in conditions:
        if name in outcome.scores:
            score = outcome.scores[name]
            predictions[name] = domain.attempts(score)
            said.append(f"{name} {'solved' if score.value == 1.0 else 'not solved'}")
            continue
        trials = outcome.trials.get(name, ())
        said.append(f"{name} {sum(map(solves, trials))} of {len(trials)} solved")
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
    """The first that solves the task; else the first that answered."""
    scored = [trial for trial in trials if trial.score is not None]
    return next(filter(solves, scored), scored[0] if scored else None)


def _report(
    store: Store, run: RunRecord, eyebrow: str, title: str, sections: tuple[Section, ...]
) -> Report:
    page = Page(
        eyebrow,
        title,
        facts(run, ("Tasks", str(run.inputs.get("contexts", "—")))),
        failure(run),
        "warn" if run.status != "failed" else "bad",
        (*sections, settings_section(run)),
    )
    return Report(page, run_values(store, run) | {"result": run.result})
