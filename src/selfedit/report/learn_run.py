"""The report of a `learn` run, and of kinds of run without their own report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from selfedit.learning.shelf import Shelf
from selfedit.loops.groups import candidate_of, last_trials
from selfedit.report.runs import (
    Report,
    facts,
    failure,
    headline,
    run_values,
    settings_section,
    trials_section,
)
from selfedit.show.page import Block, Column, Entry, Look, Notes, Page, Section, SideBySide, Table
from selfedit.show.wording import flat, known, measured_on, nouns, of_total, percent, quiz_line
from selfedit.store import RunRecord, Store
from selfedit.types import Trial

MOST_TASKS = 20  # passages whose self-edits are shown


def learn_report(store: Store, run: RunRecord) -> Report:
    result = run.result
    more = [("Documents", ", ".join(map(str, run.inputs.get("files", ()))))]
    sections = []
    if result is not None:
        more += [("Version", str(result["version"] or "—"))]
        if result.get("report_path"):
            file = report_file(store, run)
            more += [("Full report", str(file or f"{result['report_path']} (no longer there)"))]
        sections.append(Section("Accuracy", (_accuracies(result, run.settings),)))
        if notes := tuple(result.get("notes") or ()):
            sections.append(Section("Notes", (Notes(notes),)))
    sections += [trials_section(store, run), *_edits(store, run)]
    page = Page(
        "selfedit learn",
        "What the model learned",
        facts(run, *more),
        failure(run) if result is None else _verdict(result),
        "good" if result is not None and result["committed"] else "warn",
        (*sections, settings_section(run)),
    )
    return Report(page, run_values(store, run) | {"result": result})


def report_file(store: Store, run: RunRecord) -> Path | None:
    """The full report that `learn` wrote, if the library still has it, wherever that is by now."""
    if run.kind != "learn" or not (run.result or {}).get("report_path"):
        return None
    path = Shelf(Path(store.name).parent).report(run.id)
    return path if path.is_file() else None


def other_report(store: Store, run: RunRecord) -> Report:
    """Any other kind of run: what the store holds about it."""
    sections = [trials_section(store, run)]
    if run.result:
        rows = tuple(flat(run.result))
        sections.insert(0, Section("Result", (Table(("", "value"), rows),)))
    page = Page(
        f"selfedit {run.kind}",
        f"Run {run.id}",
        facts(run),
        failure(run) or headline(store, run),
        "warn" if run.status != "finished" else "",
        (*sections, settings_section(run)),
    )
    return Report(page, run_values(store, run) | {"result": run.result})


def _verdict(result: dict[str, Any]) -> str:
    said = "Committed" if result["committed"] else "Not committed"
    return f"{said}: {result['reason']}." if result["reason"] else f"{said}."


def _accuracies(result: dict[str, Any], settings: Mapping[str, Any]) -> Table:
    n = result["num_questions"]
    rows = []
    for name, value in (("before", result["accuracy_before"]), ("after", result["accuracy_after"])):
        rows.append((name, percent(value), of_total(value, n)))
    quiz = result.get("quiz", "given")  # runs of before had no other that is recorded
    caption = f"{n} {measured_on(quiz, n, result['held_out'], settings)}"
    if line := quiz_line(quiz):
        caption += f". {line}"
    return Table(("", "accuracy", nouns(quiz, 2)), tuple(rows), caption)


def _edits(store: Store, run: RunRecord) -> list[Section]:
    """The trials that this run stored, passage by passage. Their titles are not stored."""
    own_trials = last_trials(store.iter_trials(run.id))
    trials = sorted(own_trials, key=lambda t: (t.task_id, t.edit.index, t.seed))
    blocks: list[Block] = []
    passages = [list(own) for _, own in groupby(trials, key=lambda t: t.task_id)]
    for own in passages[:MOST_TASKS]:
        name = f"Passage {own[0].task_id[:8]}"
        blocks.append(SideBySide(name, (Column("Self-edits", "", tuple(_entries(own))),)))
    if len(passages) > MOST_TASKS:
        blocks.append(Notes((f"{len(passages) - MOST_TASKS} more passages",)))
    return [Section("Self-edits of this run", tuple(blocks), folded=True)] if blocks else []


def _entries(trials: Sequence[Trial]) -> Iterator[Entry]:
    for index, own in groupby(trials, key=lambda t: t.edit.index):
        one = candidate_of(list(own))
        line = percent(one.reward) if known(one.reward) else "no reward"
        look: Look = "" if one.status == "scored" else "warn"
        yield Entry(f"Edit {index + 1}", one.status, look, line, one.edit.text, one.reason)
