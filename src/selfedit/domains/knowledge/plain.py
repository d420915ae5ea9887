"""Plain text and source code to a title and paragraphs."""

from __future__ import annotations

import re

from selfedit.domains.knowledge.lines import paragraphs_of
from selfedit.domains.knowledge.sentences import one_line

_BULLET = re.compile(r"[-*\u2022\u2023\u25aa\u25cf\u2013]\s+(?=\S)")
_BARS = ("|", "+", "\u2502", "\u251c", "\u2503")  # of a table that is drawn
_IS_ROW = re.compile(r"\S(?:\t| {3,})\s*\S")
_RULE = re.compile(r"[-=~_*#\s]+")


def read_plain(text: str) -> tuple[str, list[tuple[str, list[str]]]]:
    """Title ("" if the first line is none) and the paragraphs, as one section.

    Blank lines end a paragraph; a line that begins with a bullet is a paragraph of its own, and so are
    facts, numbered items and rows of tables (`lines.py`).
    """
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if line.strip())
    title = ""
    if _is_title(lines, first):
        title = one_line(lines[first])
        lines[: first + 1] = []
    paragraphs: list[str] = []
    block: list[str] = []
    for line in (*lines, ""):
        bullet = _BULLET.match(line.strip())
        is_rule = bool(_RULE.fullmatch(line)) and not (block and block[-1].lstrip().startswith(_BARS))
        if block and (not line.strip() or bullet or is_rule):
            paragraphs += paragraphs_of(block)
            block = []
        if line.strip() and not is_rule:
            block.append(line.strip()[bullet.end() :] if bullet else line)
    return title, [("", paragraphs)]


def _is_title(lines: list[str], first: int) -> bool:
    """Whether a line is a title: short, no final punctuation, and text below it."""
    line = lines[first].strip()
    if len(line) > 100 or len(line.split()) > 12 or line[-1] in ".!?:;,\u2026" or line[0] in "-*":
        return False
    if not any(character.isalnum() for character in line) or _IS_ROW.search(line):
        return False
    rest = (other.strip() for other in lines[first + 1 :])
    below = next((other for other in rest if other and not _RULE.fullmatch(other)), "")
    if not below:
        return False
    next_line = lines[first + 1].strip()
    if not next_line or _RULE.fullmatch(next_line):
        return True
    # Directly above text: a title, unless it is the first line of a wrapped sentence.
    return (
        len(line) <= 60
        and len(line) < 0.8 * len(below)
        and not (below[0].islower() or below[0].isdigit())
    )


def read_code(text: str) -> list[tuple[str, list[str]]]:
    """Source code as one section: each line that is not blank a paragraph, with its indentation."""
    return [("", [line.rstrip() for line in text.splitlines() if line.strip()])]
