"""The reports of `eval arc` and `arc solvable` runs."""

from __future__ import annotations

from selfedit.evaluation.arc import ArcEvaluation
from selfedit.evaluation.arc_table import blocks
from selfedit.report.page import Notes, Page, Section, Table
from selfedit.report.runs import Report, facts, failure, run_values, settings_section, trials_section
from selfedit.report.wording import duration
from selfedit.store import RunRecord, Store


def eval_arc_report(store: Store, run: RunRecord) -> Report:
    if run.result is None:
        sections: tuple[Section, ...] = (trials_section(store, run),)
    else:
        found = ArcEvaluation.of(run.result)
        sections = (Section("Conditions", blocks(found)), _tasks(found))
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
        sections = (Section("Tasks", (table, Notes((said,)))),)
    return _report(store, run, "selfedit arc solvable", "Tasks that can be learned", sections)


def _tasks(found: ArcEvaluation) -> Section:
    """Each task's share of models that solve it."""
    rows = tuple(
        (task, *(f"{100 * row.by_task[place]:.0f} %" for row in found.rows))
        for place, task in enumerate(found.task_ids)
    )
    headings = ("task", *(row.condition for row in found.rows))
    return Section("Task by task", (Table(headings, rows),))


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
