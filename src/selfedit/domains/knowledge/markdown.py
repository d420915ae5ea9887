"""Markdown to plain sentences under section titles, through markdown-it-py (CommonMark, tables)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

# Larger files are parsed piece by piece, from heading to heading: the tokens take about
# a hundred times the memory of the text.
_CHUNK_CHARACTERS = 1_000_000

_FRONT_MATTER = re.compile(r"\s*(---|\+\+\+)[ \t]*\n((?:.*\n)*?)(?:\1|\.\.\.)[ \t]*(?:\n|\Z)")
_FRONT_TITLE = re.compile(r"^title\s*[:=]\s*(['\"]?)(.+?)\1\s*$", re.MULTILINE)
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_CHECKBOX = re.compile(r"\[[ xX]\]\s+")

Parts = list[tuple[str, list[str]]]


def read_markdown(text: str) -> tuple[str, Parts]:
    """Title ("" if there is none) and (section title, paragraphs) in order.

    The first heading is the title (a `title` of the front matter, if that heading is not at the top
    level). Code blocks, HTML and images are left out; links and inline code keep their text; a list
    item is a paragraph, and so is a table row ("Column: cell; Column: cell.").
    """
    title, text = _front_matter("\n".join(text.splitlines()) + "\n")
    reader = _Reader(title)
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    references: dict[str, Any] = {}  # link definitions hold for the pieces after them
    for chunk in _chunks(text):
        reader.read(parser.parse(chunk, references))
    reader.close_heading(0)
    return reader.title, reader.parts


def _front_matter(text: str) -> tuple[str, str]:
    """Its title, if any, and the text after it."""
    head = text[:20_000]
    block = _FRONT_MATTER.match(head)
    if block is None or not re.search(r"^[\w-]+\s*[:=]", block.group(2), re.MULTILINE):
        return "", text
    title = _FRONT_TITLE.search(block.group(2))
    return (title.group(2).strip() if title else ""), text[block.end() :]


def _chunks(text: str) -> Iterator[str]:
    if len(text) <= _CHUNK_CHARACTERS:
        yield text
        return
    lines: list[str] = []
    size = 0
    fence = ""
    for line in text.splitlines(keepends=True):
        mark = _FENCE.match(line)
        if mark and not fence:
            fence = mark.group(1)
        elif mark and mark.group(1).startswith(fence):
            fence = ""
        if size > _CHUNK_CHARACTERS and not fence and line.startswith("#"):
            yield "".join(lines)
            lines, size = [], 0
        lines.append(line)
        size += len(line)
    yield "".join(lines)


class _Reader:
    """Walks over the tokens and collects sections."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.parts: Parts = [("", [])]
        self._has_heading = False
        self._path: list[tuple[int, str]] = []  # (level, text) of the open headings
        self._bare = False  # the last heading has neither text nor subheading yet

    def read(self, tokens: list[Token]) -> None:
        header: list[str] = []
        row: list[str] = []
        cell_of = ""
        for before, token in zip([None, *tokens], tokens, strict=False):
            if token.type == "thead_open":
                header = []
            elif token.type in ("th_open", "td_open"):
                cell_of = token.type[:2]
            elif token.type in ("th_close", "td_close"):
                cell_of = ""
            elif token.type == "tr_close":
                self._add(_row_text(header, row))
                row = []
            elif token.type == "inline":
                text = _inline_text(token)
                opened = before.type if before else ""
                if cell_of:
                    (header if cell_of == "th" else row).append(text)
                elif opened == "heading_open" and before:
                    self._heading(int(before.tag[1:]), text)
                else:
                    # Inside lists paragraphs are at a deeper level; an item should be a sentence.
                    is_item = before is not None and before.hidden
                    self._add(_sentence(_CHECKBOX.sub("", text, count=1)) if is_item else text)

    def close_heading(self, level: int) -> None:
        """End the headings of this level and below; one without any text becomes text itself."""
        lost = self._path[-1][1] if self._bare and self._path[-1][0] >= level else ""
        self._bare = False
        while self._path and self._path[-1][0] >= level:
            self._path.pop()
        if lost:
            self._open_part()
            self._add(lost)

    def _heading(self, level: int, text: str) -> None:
        is_first, self._has_heading = not self._has_heading, True
        if not text:
            return
        if is_first and (level == 1 or not self.title):
            self.title = text
            return
        self.close_heading(level)
        self._path.append((level, text))
        self._bare = True
        self._open_part()

    def _open_part(self) -> None:
        self.parts.append((": ".join(text for _, text in self._path), []))

    def _add(self, text: str) -> None:
        if any(character.isalnum() for character in text):
            self.parts[-1][1].append(text)
            self._bare = False


def _inline_text(token: Token) -> str:
    pieces = []
    for child in token.children or []:
        if child.type in ("text", "code_inline", "text_special"):
            pieces.append(child.content)
        elif child.type in ("softbreak", "hardbreak") or child.content.lower().startswith("<br"):
            pieces.append(" ")
    return " ".join("".join(pieces).split())


def _sentence(text: str) -> str:
    return text if not text or text[-1] in ".!?:;,\u2026" else f"{text}."


def _row_text(header: list[str], row: list[str]) -> str:
    """A table row as one sentence; the header row itself says nothing."""
    cells = [
        f"{name}: {cell}" if name else cell
        for name, cell in zip([*header, *[""] * len(row)], row, strict=False)
        if cell
    ]
    return _sentence("; ".join(cells))
