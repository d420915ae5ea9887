"""An evaluation on ARC as a table."""

from __future__ import annotations

from selfedit.domains.evaluable import interval
from selfedit.domains.rows import Column, Evaluation, Row
from selfedit.show.wording import duration, percent, plural

_REASONS_SHOWN = 3


def _valid(row: Row) -> str:
    return f"{row.models - row.invalid} of {row.models}" if row.trained else "—"


def _a_training(row: Row) -> str:
    return duration(row.seconds / row.trainings) if row.seconds is not None else "—"


COLUMNS = (
    Column("condition", lambda row: row.condition),
    Column("success", lambda row: percent(row.accuracy)),
    Column("95 % interval", interval),
    Column("models", lambda row: f"{row.solved} of {row.models}"),
    Column("tasks", lambda row: str(row.contexts)),
    Column("valid", _valid),
    Column("failed", lambda row: str(row.failed) if row.trained else "—"),
    Column("a training", _a_training),
)


def caption(found: Evaluation) -> str:
    return (
        f"{found.model}: share of adapted models that solve their task; "
        f"{plural(found.candidates, 'edit')} a task, {plural(found.seeds, 'seed')} from {found.seed}, "
        f"{found.grader} answers"
    )


def notes(found: Evaluation) -> list[str]:
    """What has to be known to read the numbers, conditions apart."""
    lines = [
        "valid and failed count models: each edit once for each seed",
        "success is the mean over tasks, and intervals are a bootstrap over tasks, each for itself; an "
        "invalid edit, and one over the step limit, solves nothing",
    ]
    if found.grader == "voting":
        lines.append("a test input is solved if one of two attempts is right")
    for row in found.rows:
        for reason, count in row.reasons[:_REASONS_SHOWN]:
            lines.append(f"{row.condition}: {count} of {row.models}: {reason}")
        if len(row.reasons) > _REASONS_SHOWN:
            lines.append(f"{row.condition}: and {len(row.reasons) - _REASONS_SHOWN} other reasons")
    return lines
