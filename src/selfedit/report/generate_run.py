"""The report of a corpus that was written (`selfedit generate`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from selfedit.report.runs import (
    Report,
    facts,
    failure,
    generate_line,
    run_values,
    settings_section,
)
from selfedit.show.page import Notes, Page, Section, Table
from selfedit.show.wording import plural
from selfedit.store import RunRecord, Store


def generate_report(store: Store, run: RunRecord) -> Report:
    """What was written about what, and what was left out."""
    result = run.result
    data = ", ".join(map(str, run.inputs.get("data", ())))
    more = [("Documents", data), ("Corpus", str(run.inputs.get("out", "")))]
    sections = []
    if result is not None:
        rows = [
            ("lines", f"{result['lines']:,}"),
            ("tokens of them", f"{result['tokens']:,}"),
            ("tokens of all replies", f"{result['written']:,}"),
            ("passages", f"{result['passages_done']:,} of {result['passages']:,}"),
            ("documents", f"{result['documents']:,}"),
            ("workers", f"{run.inputs.get('workers', 1)}"),
        ]
        sections.append(Section("Corpus", (Table(("what", "number"), tuple(rows)),)))
        sections.append(Section("Notes", (Notes(tuple(sentences(result) + list(result["notes"]))),)))
    page = Page(
        "selfedit generate",
        "A corpus of self-edits",
        facts(run, *more),
        failure(run) if result is None else generate_line(result),
        "warn" if result is None else "good",
        (*sections, settings_section(run)),
    )
    return Report(page, run_values(store, run) | {"result": result})


def sentences(result: Mapping[str, Any]) -> list[str]:
    """What was written and what was left out, a sentence each."""
    lines = [
        f"{result['out']}: {plural(result['lines'], 'line')}, {result['tokens']:,} tokens, about "
        f"{result['passages_done']:,} of {plural(result['passages'], 'passage')} "
        f"({plural(result['documents'], 'document')}), by {result['policy']}."
    ]
    left_out = [
        f"{result['same']:,} that were there already" if result["same"] else "",
        f"{result['alike']:,} that differ in case, punctuation or spacing alone"
        if result["alike"]
        else "",
    ]
    if any(left_out):
        lines.append(f"Texts left out: {', '.join(filter(None, left_out))}.")
    if result["repeated"]:
        lines.append(f"Repeated passages, which were written about once: {result['repeated']:,}.")
    if result["invalid"]:
        total = sum(result["invalid"].values())
        why = sorted(result["invalid"].items(), key=lambda pair: -pair[1])[:3]
        said = "; ".join(f"{count:,} x {reason}" for reason, count in why)
        lines.append(f"Self-edits without anything to train on: {total:,} ({said}).")
    if result["budget_used_up"]:
        lines.append("The budget is used up; the same command with a larger one goes on from here.")
    return lines
