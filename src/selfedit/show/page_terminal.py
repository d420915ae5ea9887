"""A page in the terminal. Plots are left out and long texts cut; the files have everything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from selfedit.show.page import Block, Column, Entry, Look, Notes, Page, Passage, Plot, SideBySide
from selfedit.show.page import Table as PageTable
from selfedit.show.terminal import literal

STYLES: dict[Look, str] = {"": "", "good": "green", "warn": "yellow", "bad": "red"}
LONGEST_TEXT = 700
MOST_ROWS = 40


def print_page(page: Page, console: Console) -> None:
    """Title, facts, verdict, and every section that can be shown as text."""
    console.print(literal(page.title, console, "bold"))
    for name, value in page.facts:
        console.print(literal(f"{name}: {value}", console), soft_wrap=True)
    if page.verdict:
        console.print(literal(page.verdict, console, f"bold {STYLES[page.look]}".strip()))
    for section in page.sections:
        plots = all(isinstance(block, Plot) for block in section.blocks)
        if plots or not section.in_terminal:
            continue
        console.print()
        console.print(literal(section.heading, console, "bold underline"))
        for block in section.blocks:
            for part in _block(block, console):
                console.print(part)


def _block(block: Block, console: Console) -> Iterator[RenderableType]:
    match block:
        case PageTable():
            if block.caption:
                yield literal(block.caption, console, "italic")
            yield table(block.headings, block.rows, console)
        case Passage():
            yield _text(block.text, console)
        case Notes():
            yield from (literal(f"- {line}", console) for line in block.lines)
        case SideBySide():
            yield literal(block.caption, console, "italic")
            yield _side_by_side(block, console)


def table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    console: Console,
    most: int = MOST_ROWS,
) -> Table:
    """A table of literal cells; the first `most` rows."""
    shown = _empty()
    for heading in headings:
        shown.add_column(literal(heading, console), overflow="fold")
    for row in rows[:most]:
        shown.add_row(*(literal(cell, console) for cell in row))
    if len(rows) > most:
        shown.add_row(literal(f"… {len(rows) - most} more", console, "dim"))
    return shown


def _side_by_side(block: SideBySide, console: Console) -> Table:
    shown = _empty()
    shown.expand, shown.show_lines = True, True
    for column in block.columns:
        shown.add_column(literal(column.heading, console), ratio=1, overflow="fold")
    shown.add_row(*(literal(column.line, console) for column in block.columns))
    for place in range(block.depth):
        shown.add_row(*(_entry(column, place, console) for column in block.columns))
    return shown


def _entry(column: Column, place: int, console: Console) -> Text:
    if place >= len(column.entries):
        return Text()
    entry: Entry = column.entries[place]
    head = literal(f"{entry.name}: {entry.tag}", console, STYLES[entry.look] or "bold")
    lines = [head, literal(entry.line, console)]
    if entry.reason:
        lines.append(literal(entry.reason, console, "dim"))
    return Text("\n").join([*lines, _text(entry.text, console)])


def _text(text: str, console: Console) -> Text:
    """The text's own lines, literal; long ones are cut."""
    kept = text.strip()
    if len(kept) > LONGEST_TEXT:
        kept = kept[:LONGEST_TEXT].rstrip() + " …"
    return Text("\n").join(literal(line, console) for line in kept.splitlines())


def _empty() -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
