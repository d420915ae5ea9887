"""A page as Markdown. What models and documents wrote cannot become markup in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from selfedit.show.page import (
    CONTROL_CHARACTERS,
    Block,
    Column,
    Entry,
    Notes,
    Page,
    Passage,
    Plot,
    Section,
    SideBySide,
)
from selfedit.show.page import Table as PageTable

_MARKUP = re.compile(r"([\\`*_\[\]<>|~#&])")
# What makes of a line a list, a rule or the heading above it, where it begins one.
_BEGINNING = re.compile(r"^(\s*(?:\d+(?=[.)])|(?=[-+=])))")


def page_markdown(page: Page) -> str:
    """The whole page; plots are given in words."""
    parts = [f"# {_line(page.title)}"]
    parts += ["\n".join(f"- {_line(name)}: {_line(value)}" for name, value in page.facts)]
    if page.verdict:
        parts.append(f"**{_line(page.verdict)}**")
    for section in page.sections:
        parts += _section(section)
    text = "\n\n".join(part for part in parts if part) + "\n"
    return CONTROL_CHARACTERS.sub("\N{REPLACEMENT CHARACTER}", text)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A pipe table of plain cells; line ends become breaks."""
    lines = [_row(headings), _row(["---"] * len(headings), plain=True), *map(_row, rows)]
    return "\n".join(lines)


def escaped(text: str) -> str:
    """The text as a reader sees it, with its line ends."""
    return _MARKUP.sub(r"\\\1", text)


def _section(section: Section) -> Iterator[str]:
    yield f"## {_line(section.heading)}"
    for block in section.blocks:
        yield from _block(block)


def _block(block: Block) -> Iterator[str]:
    match block:
        case PageTable():
            if block.caption:
                yield _line(block.caption)
            yield table(block.headings, block.rows)
        case Plot():
            yield f"*Plot: {_line(block.words)}.*"
        case Passage():
            yield "\n".join(f"> {_quoted(line)}".rstrip() for line in block.text.strip().splitlines())
        case Notes():
            yield "\n".join(f"- {_line(line)}" for line in block.lines)
        case SideBySide():
            yield _line(block.caption)
            yield _side_by_side(block)


def _quoted(line: str) -> str:
    """A line of its own, at whose beginning more is markup than elsewhere."""
    return _BEGINNING.sub(r"\1\\", escaped(line))


def _side_by_side(block: SideBySide) -> str:
    columns = block.columns
    rows = [[column.line for column in columns]]
    rows += [[_entry(column, place) for column in columns] for place in range(block.depth)]
    return table([column.heading for column in columns], rows)


def _entry(column: Column, place: int) -> str:
    if place >= len(column.entries):
        return ""
    entry: Entry = column.entries[place]
    lines = [f"{entry.name} ({entry.tag}): {entry.line}", entry.reason, entry.text.strip()]
    return "\n".join(line for line in lines if line)


def _row(cells: Sequence[str], plain: bool = False) -> str:
    shown = cells if plain else ["<br>".join(map(_line, cell.splitlines())) for cell in cells]
    return "| " + " | ".join(shown) + " |"


def _line(text: str) -> str:
    return escaped(" ".join(text.split()))
