"""An evaluation as a table: in the terminal and in Markdown. Every number stands with its n."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from selfedit.evaluation.conditions import CONDITIONS
from selfedit.evaluation.evaluate import Evaluation, Pair, Row
from selfedit.show.wording import UNKNOWN, duration, percent, points

ROW_HEADINGS = (
    "condition", "accuracy", "95 % interval", "questions", "contexts", "trained tokens", "seconds",
)  # fmt: skip
PAIR_HEADINGS = ("pair", "difference", "95 % interval", "verdict")


def rich_table(evaluation: Evaluation) -> Group:
    """Rows, pairs and notes for the terminal; nothing in them is read as markup."""
    rows, pairs = Table(title=title(evaluation)), Table()
    for table, headings in ((rows, ROW_HEADINGS), (pairs, PAIR_HEADINGS)):
        for heading in headings:
            table.add_column(heading, overflow="fold", no_wrap=heading == "condition")
    for row in evaluation.rows:
        rows.add_row(*map(Text, row_cells(row)))
    for pair in evaluation.pairs:
        pairs.add_row(*map(Text, pair_cells(pair)))
    notes = [Text(f"Note: {note}.") for note in note_lines(evaluation)]
    return Group(rows, *([pairs] if evaluation.pairs else []), *notes)


def markdown(evaluation: Evaluation) -> str:
    """The same as Markdown: two tables and a list of notes."""
    parts = [
        f"**{_escape(title(evaluation))}**",
        _table(ROW_HEADINGS, map(row_cells, evaluation.rows)),
    ]
    if evaluation.pairs:
        parts.append(_table(PAIR_HEADINGS, map(pair_cells, evaluation.pairs)))
    parts.append("\n".join(f"- {_escape(note)}." for note in note_lines(evaluation)))
    return "\n\n".join(parts) + "\n"


def note_lines(evaluation: Evaluation) -> list[str]:
    """What has to be known to read the numbers."""
    lines = [f"{row.condition}: {CONDITIONS[row.condition].what}" for row in evaluation.rows]
    lines.append(
        "accuracy is the mean over contexts, as in the paper's table; intervals are a bootstrap over "
        "contexts, each for itself: among many pairs, some differ by chance"
    )
    for row in evaluation.rows:
        if row.writer:
            lines.append(f"{row.condition}: edits by {row.writer}, learned by {row.learner}")
        if row.invalid or row.failed:
            lines.append(
                f"{row.condition}: {row.invalid} invalid edits and {row.failed} failed trainings "
                "changed nothing; where no training was left, closed-book answers count"
            )
        if row.note:
            lines.append(f"{row.condition}: {row.note}")
    if evaluation.without_questions:
        lines.append(f"{evaluation.without_questions} contexts without questions were left out")
    return [*lines, *evaluation.notes]


def cell(row: Row | None) -> str:
    """A row in one cell: accuracy, interval, questions/contexts."""
    if row is None:
        return UNKNOWN
    return f"{percent(row.accuracy)} [{_range(row.low, row.high)}], n={row.questions}/{row.contexts}"


def title(evaluation: Evaluation) -> str:
    """Model, regime, seeds and grader."""
    trainings = "1 seed" if evaluation.seeds == 1 else f"{evaluation.seeds} seeds"
    return (
        f"{evaluation.model}, {evaluation.regime}, {trainings} from {evaluation.seed}, "
        f"graded by {evaluation.grader}"
    )


def row_cells(row: Row) -> list[str]:
    """Under ROW_HEADINGS."""
    return [
        row.condition,
        percent(row.accuracy),
        _range(row.low, row.high),
        f"{row.questions:,}",
        f"{row.contexts:,}",
        f"{row.tokens:,}",
        "—" if row.seconds is None else duration(row.seconds),
    ]


def pair_cells(pair: Pair) -> list[str]:
    """Under PAIR_HEADINGS."""
    interval = UNKNOWN
    if math.isfinite(pair.low + pair.high):
        interval = f"{points(pair.low)} to {points(pair.high)}".replace(" points to", " to")
    return [f"{pair.a} − {pair.b}", points(pair.difference), interval, pair.verdict]  # noqa: RUF001


def _range(low: float, high: float) -> str:
    return f"{percent(low)} to {percent(high)}" if math.isfinite(low + high) else UNKNOWN


def _table(headings: Sequence[str], rows: object) -> str:
    lines = [list(headings), ["---"] * len(headings), *[list(row) for row in rows]]  # type: ignore[attr-defined]
    return "\n".join("| " + " | ".join(map(_escape, line)) + " |" for line in lines)


def _escape(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
