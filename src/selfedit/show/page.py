"""What a report says, apart from how it looks: the same page as HTML, Markdown and terminal output."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

# What XML cannot hold, and what no report needs.
CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")

Look = Literal["", "good", "warn", "bad"]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of printable cells; the first of each row names it."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Plot:
    """An <svg> element from `plots.py`, and what it shows in words, for media without pictures."""

    svg: str
    words: str


@dataclass(frozen=True, slots=True)
class Passage:
    """A longer text by a document or a model, shown as it is."""

    text: str


@dataclass(frozen=True, slots=True)
class Notes:
    """Sentences, one per line."""

    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A self-edit in a column. line: its reward in words; tag: its state in a word or two."""

    name: str
    tag: str
    look: Look
    line: str
    text: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """What one round wrote."""

    heading: str
    line: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Columns beside each other, entry by entry."""

    caption: str
    columns: tuple[Column, ...]

    @property
    def depth(self) -> int:
        return max((len(column.entries) for column in self.columns), default=0)


Block = Table | Plot | Passage | Notes | SideBySide


@dataclass(frozen=True, slots=True)
class Section:
    """Blocks under a heading. folded: closed at first in HTML; in_terminal: shown there, too."""

    heading: str
    blocks: tuple[Block, ...]
    folded: bool = False
    in_terminal: bool = True


@dataclass(frozen=True, slots=True)
class Page:
    """A report. eyebrow: the command that it is about; verdict: the one sentence to take away."""

    eyebrow: str
    title: str
    facts: tuple[tuple[str, str], ...]
    verdict: str
    look: Look
    sections: tuple[Section, ...]
