"""An evaluation as tables. Every number has its n."""

from __future__ import annotations

import math

from selfedit.domains.evaluable import Evaluable, interval
from selfedit.domains.rows import Evaluation, Pair, Row
from selfedit.show.page import Notes, Section, Table
from selfedit.show.wording import UNKNOWN, percent, points

_MOST_SHOWN = 50  # tasks listed in the terminal
PAIR_HEADINGS = ("pair", "difference", "95 % interval", "verdict")


def evaluation_sections(found: Evaluation, domain: Evaluable) -> list[Section]:
    """Rows, every pair of them, notes, and each task's accuracy, if the tasks are known."""
    columns = domain.columns()
    rows = tuple(tuple(column.cell(row) for column in columns) for row in found.rows)
    headings = tuple(column.heading for column in columns)
    sections = [Section("Conditions", (Table(headings, rows, domain.caption(found)),))]
    if found.pairs:
        pairs = tuple(map(pair_cells, found.pairs))
        sections.append(Section("Pair by pair", (Table(PAIR_HEADINGS, pairs),)))
    sections.append(Section("Notes", (Notes(tuple(_notes(found, domain))),)))
    if found.task_ids:
        sections.append(_by_task(found, domain))
    return sections


def cell(row: Row | None) -> str:
    """A row in one cell: accuracy, interval, questions/contexts."""
    if row is None:
        return UNKNOWN
    return f"{percent(row.accuracy)} [{interval(row)}], n={row.questions}/{row.contexts}"


def pair_cells(pair: Pair) -> tuple[str, ...]:
    """Under PAIR_HEADINGS."""
    said = UNKNOWN
    if math.isfinite(pair.low + pair.high):
        said = f"{points(pair.low)} to {points(pair.high)}".replace(" points to", " to")
    return (f"{pair.a} − {pair.b}", points(pair.difference), said, pair.verdict)  # noqa: RUF001


def _notes(found: Evaluation, domain: Evaluable) -> list[str]:
    lines = domain.notes(found)
    if found.without_questions:
        lines.append(f"{found.without_questions} {domain.noun}s without {domain.gold} were left out")
    return [*lines, *found.notes]


def _by_task(found: Evaluation, domain: Evaluable) -> Section:
    rows = tuple(
        (name, *(percent(row.by_context[place]) for row in found.rows))
        for place, name in enumerate(found.task_ids)
    )
    table = Table((domain.noun, *(row.condition for row in found.rows)), rows)
    heading = f"{domain.noun.capitalize()} by {domain.noun}"
    many = len(rows) > _MOST_SHOWN
    return Section(heading, (table,), folded=many, in_terminal=not many)
