"""An evaluation on ARC as cells of a table, for the terminal, Markdown and the report."""

from __future__ import annotations

import math

from selfedit.evaluation.arc import CONDITIONS, ArcEvaluation, ArcRow
from selfedit.evaluation.table import PAIR_HEADINGS, pair_cells
from selfedit.show.page import Block, Notes, Table
from selfedit.show.wording import UNKNOWN, duration, percent, plural

HEADINGS = (
    "condition", "success", "95 % interval", "models", "tasks", "valid edits", "failed",
    "a training",
)  # fmt: skip
_REASONS_SHOWN = 3


def blocks(found: ArcEvaluation) -> tuple[Block, ...]:
    """Rows, pairs, notes."""
    title = (
        f"{found.model}: share of adapted models that solve their task; "
        f"{plural(found.candidates, 'edit')} a task, {plural(found.seeds, 'seed')} from {found.seed}, "
        f"{found.prediction} answers"
    )
    rows = Table(HEADINGS, tuple(map(row_cells, found.rows)), title)
    pairs = Table(PAIR_HEADINGS, tuple(tuple(pair_cells(pair)) for pair in found.pairs))
    return (rows, *([pairs] if found.pairs else []), Notes(tuple(notes(found))))


def row_cells(row: ArcRow) -> tuple[str, ...]:
    """Under HEADINGS."""
    trained = row.condition != "in-context"
    known = math.isfinite(row.low + row.high)
    return (
        row.condition,
        percent(row.success),
        f"{percent(row.low)} to {percent(row.high)}" if known else UNKNOWN,
        f"{row.solved} of {row.models}",
        str(row.tasks),
        f"{row.valid} of {row.models}" if trained else "—",
        str(row.failed) if trained else "—",
        "—" if row.seconds is None else duration(row.seconds),
    )


def notes(found: ArcEvaluation) -> list[str]:
    """What has to be known to read the numbers."""
    lines = [f"{row.condition}: {CONDITIONS[row.condition]}" for row in found.rows]
    lines.append(
        "success is the mean over tasks, and intervals are a bootstrap over tasks, each for itself; an "
        "invalid edit, and one over the step limit, solves nothing"
    )
    if found.prediction == "voting":
        lines.append("a test input is solved if one of two attempts is right")
    for row in found.rows:
        for reason, count in row.reasons[:_REASONS_SHOWN]:
            lines.append(f"{row.condition}: {count} of {row.models}: {reason}")
        if len(row.reasons) > _REASONS_SHOWN:
            lines.append(f"{row.condition}: and {len(row.reasons) - _REASONS_SHOWN} other reasons")
    return [*lines, *found.notes]
