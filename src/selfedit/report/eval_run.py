"""The report of an `eval` run: its rows, every pair of them, and what has to be known to read them."""

from __future__ import annotations

from selfedit.evaluation.evaluate import Evaluation
from selfedit.evaluation.table import (
    PAIR_HEADINGS,
    ROW_HEADINGS,
    note_lines,
    pair_cells,
    row_cells,
    title,
)
from selfedit.report.runs import Report, facts, failure, run_values, settings_section, trials_section
from selfedit.show.page import Notes, Page, Section, Table
from selfedit.store import RunRecord, Store


def eval_report(store: Store, run: RunRecord) -> Report:
    sections = []
    values = run_values(store, run) | {"result": run.result}
    if run.result is None:
        sections.append(trials_section(store, run))
    else:
        found = Evaluation.of(run.result)
        rows = tuple(tuple(row_cells(row)) for row in found.rows)
        sections.append(Section("Conditions", (Table(ROW_HEADINGS, rows, title(found)),)))
        if found.pairs:
            pairs = tuple(tuple(pair_cells(pair)) for pair in found.pairs)
            sections.append(Section("Pair by pair", (Table(PAIR_HEADINGS, pairs),)))
        sections.append(Section("Notes", (Notes(tuple(note_lines(found))),)))
    page = Page(
        "selfedit eval",
        "Ways to know a text, compared",
        facts(run, ("Contexts", str(run.inputs.get("contexts", "—")))),
        failure(run),
        "warn" if run.status != "failed" else "bad",
        (*sections, settings_section(run)),
    )
    return Report(page, values)
