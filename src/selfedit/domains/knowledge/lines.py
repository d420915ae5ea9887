"""Which lines of a text are one paragraph, wrapped, and which stand for themselves: facts, numbered
items, messages of a chat, rows of a table that is drawn with characters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import regex

from selfedit.domains.knowledge.sentences import one_line

MARKS = ".!?:;,\u2026\u3002\uff01\uff1f\uff1a\uff1b\u0964\u06d4\u061f"

_NUMBERED = re.compile(r"(?:\(?\d{1,3}[.)]|\(?[a-zA-Z][.)]|\(?[ivx]{1,5}[.)])\s+(?=\S)")
_KEYED = re.compile(r"[^\s:.!?;,|][^:.!?;|]{0,39}[:\uff1a](?:\s+|(?<=\uff1a))\S")
_TIMED = re.compile(r"[\[(<]?(?:\d{1,4}[./:-]){1,2}\d{1,4}\b")
_RULE = re.compile(r"[-+=|:\u2500-\u257f\s]+")
_BAR = re.compile(r"[|\u2502\u2503]")
_GAP = re.compile(r"(?<=\S)(?: {2,}|\t+) *(?=\S)")
_LOWER = regex.compile(r"\p{Ll}")
_OPEN_ENDS = (",", ";", "-", "\u2010", "\u3001", "\uff0c", "\u060c")  # a line that goes on
_NARROWEST = 25  # characters; prose is not set as narrow
_FEWEST = 3  # lines that show by their shape alone that they stand for themselves


def sentence(text: str) -> str:
    """With a full stop, unless there is a mark at its end."""
    return text if not text or text[-1] in MARKS else f"{text}."


def row_text(header: Sequence[str], row: Sequence[str]) -> str:
    """A table row as one sentence; the header row itself says nothing. Of two cells without a header
    the first names the second."""
    if not any(header) and len(row) == 2 and all(row) and row[0][-1] not in MARKS:
        return sentence(": ".join(row))
    names = [name.rstrip(" :\uff1a") for name in header]
    cells = [
        f"{name}: {cell}" if name and name != cell else cell
        for name, cell in zip([*names, *[""] * len(row)], row, strict=False)
        if cell
    ]
    return sentence("; ".join(cells))


def table_text(rows: Sequence[Sequence[str]]) -> list[str]:
    """A sentence for each row; the first one names the columns if it is all words and others are not,
    or the table is wider than two columns."""
    if not rows:
        return []
    first, *rest = rows
    is_named = all(first) and not any(map(str.isdigit, "".join(first)))
    is_named = is_named and len(set(first)) == len(first)
    figures = any(any(map(str.isdigit, cell)) for row in rest for cell in row)
    if rest and is_named and (figures or len(first) > 2):
        return [row_text(first, row) for row in rest if any(row)]
    return [row_text([], row) for row in rows if any(row)]


def paragraphs_of(lines: Sequence[str]) -> list[str]:
    """The paragraphs of a block of lines without a blank one. Linear in time."""
    lines = [line for line in lines if line.strip()]  # U+2028 alone is white space, too
    if len(lines) < 2:
        return [one_line(line) for line in lines]
    if rows := _drawn(lines):
        return table_text(rows)
    stripped = [line.strip() for line in lines]
    for begins in (_NUMBERED, _KEYED, _TIMED):
        at = [bool(begins.match(line)) for line in stripped]
        if at[0] and sum(at) > 1 and (begins is _NUMBERED or 3 * sum(at) >= 2 * len(at)):
            return _from(stripped, at)
    if _are_apart(stripped):
        return [one_line(line) for line in stripped]
    return [one_line(" ".join(stripped))]


def _from(lines: Sequence[str], begins: Sequence[bool]) -> list[str]:
    items: list[list[str]] = []
    for line, is_first in zip(lines, begins, strict=True):
        if is_first or not items:
            items.append([])
        items[-1].append(line)
    return [one_line(" ".join(item)) for item in items]


def _are_apart(lines: Sequence[str]) -> bool:
    """Whether most lines break though the next word would have fitted, and none goes on in small
    letters."""
    if len(lines) < _FEWEST:
        return False
    width = max(map(len, lines))
    forced = 0
    for at, (line, following) in enumerate(pairwise(lines)):
        heads = at == 0 and line.endswith((":", "\uff1a"))
        if (line.endswith((*MARKS, *_OPEN_ENDS)) and not heads) or _LOWER.match(following):
            return False
        forced += len(line) + 1 + len(following.split(maxsplit=1)[0]) > width > _NARROWEST
    return 5 * forced <= 2 * (len(lines) - 1)


def _drawn(lines: Sequence[str]) -> list[list[str]]:
    """The rows of a table of tabs, bars or columns that stand below each other; [] for other lines."""
    inner = [line.rstrip() for line in lines if not _RULE.fullmatch(line)]
    if len(inner) < 2:
        return []
    if all(line.lstrip()[0] in "|\u2502\u2503" for line in inner):
        rows = [[cell.strip() for cell in _BAR.split(line.strip())[1:]] for line in inner]
        rows = [row[:-1] if row and not row[-1] else row for row in rows]
    elif all("\t" in line.strip() for line in inner):
        rows = [[cell.strip() for cell in line.split("\t")] for line in inner]
    else:
        gaps = [[gap.end() for gap in _GAP.finditer(line)] for line in inner]
        if len(inner) < _FEWEST or not gaps[0] or any(gap != gaps[0] for gap in gaps):
            return []
        rows = [[cell.strip() for cell in _GAP.split(line)] for line in inner]
    return rows if len(rows[0]) > 1 and all(len(row) == len(rows[0]) for row in rows) else []
