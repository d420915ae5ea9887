"""Markdown to plain sentences under section titles, through markdown-it-py (CommonMark, tables)."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from selfedit.domains.knowledge.html_text import HtmlText
from selfedit.domains.knowledge.lines import paragraphs_of, row_text, sentence
from selfedit.domains.knowledge.sentences import one_line

# Larger files are parsed piece by piece, from heading to heading: the tokens take about
# a hundred times the memory of the text.
_CHUNK_CHARACTERS = 1_000_000

_FRONT_MATTER = re.compile(r"\s*(---|\+\+\+)[ \t]*\n((?:.*\n)*?)(?:\1|\.\.\.)[ \t]*(?:\n|\Z)")
_PANDOC = re.compile(r"(?:%[ \t].*\n){1,3}")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_EMBEDS = re.compile(r"!\[\[[^\[\]\n]+\]\]")
_WIKI_LINK = re.compile(r"\[\[([^\[\]|\n]+)(?:\|([^\[\]\n]+))?\]\]")
_NOTE_MARK = re.compile(r"(?<=\S)\[\^[^\[\]\s]{1,60}\](?!:)")
_DEFINES_NOTE = re.compile(r"^ {0,3}\[\^[^\[\]\s]{1,60}\]:?\s+")
# "[^1]: Oak." looks to CommonMark as if it named an address.
_NOTE_LINE = re.compile(r"^( {0,3})\[(\^[^\[\]\s]{1,60})\]:", re.MULTILINE)
_ALERT = re.compile(r"\[!\w+\][+-]?")
_CONTAINER = re.compile(r"\s*:{3,}.*")
_JSX = re.compile(r"^import\s[^\n]+|^export\s(?:[^\n]+\n?)+", re.MULTILINE)
_CHECKBOX = re.compile(r"\[[ xX]\]\s+")

# Keys by which front matter is told from text.
_METADATA = frozenset(
    "title date author authors tags tag categories category layout slug draft lang language "
    "description summary keywords permalink aliases weight id type status toc subtitle created "
    "updated lastmod publish published image url template output cover version license "
    "uid cssclass cssclasses modified permalink redirect_from params menu linktitle series "
    "sidebar_label sidebar_position nav_order parent documentclass geometry css bibliography".split()
)

Parts = list[tuple[str, list[str]]]


def read_markdown(text: str) -> tuple[str, Parts, Counter[str]]:
    """Title ("" if there is none), (section title, paragraphs) in order, and what was left out.

    The first heading is the title (a `title` of the front matter, if that heading is not at the top
    level). Links and inline code keep their text; a list item is a paragraph, and so is a table row
    ("Column: cell; Column: cell."), in HTML as in Markdown. Code blocks and images are left out.
    """
    title, text, fields = _front_matter("\n".join(text.splitlines()) + "\n")
    reader = _Reader(title)
    reader.left_out["front matter field"] += fields
    text = _NOTE_LINE.sub(r"\1[\2] ", text)
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    references: dict[str, Any] = {}  # link definitions hold for the pieces after them
    for chunk in _chunks(text):
        reader.read(parser.parse(chunk, references))
    reader.finish()
    return reader.title, reader.parts, reader.left_out


def without_jsx(text: str) -> str:
    """MDX without its imports, exports and comments."""
    kept, *parts = text.split("{/*")
    for part in parts:
        _, end, rest = part.partition("*/}")
        kept += rest if end else f"{{/*{part}"
    return _JSX.sub("", kept)


def _front_matter(text: str) -> tuple[str, str, int]:
    """Its title, if any, the text after it, and how many of its fields are no usual metadata.

    What stands between two rules is front matter only if it is a mapping with a key that metadata has;
    facts are text.
    """
    block = _FRONT_MATTER.match(text[:20_000])
    if block is None:
        return _title_block(text)
    data = _yaml(block.group(2)) if block.group(1) == "---" else _toml(block.group(2))
    if data is None or not _is_metadata(data):
        # Its second rule is none of a heading.
        return "", f"{block.group(2)}\n{block.group(1)}\n{text[block.end() :]}", 0
    title = next((value for key, value in data.items() if str(key).lower() == "title"), "")
    others = sum(bool(value) and str(key).lower() not in _METADATA for key, value in data.items())
    return (" ".join(str(title).split()) if title else ""), text[block.end() :], others


def _title_block(text: str) -> tuple[str, str, int]:
    """Pandoc's lines of title, authors and date, each behind a "%"."""
    block = _PANDOC.match(text)
    if block is None:
        return "", text, 0
    title, *more = [line.removeprefix("%").strip() for line in block.group().strip().split("\n")]
    return title, "\n\n".join([*(line for line in more if line), text[block.end() :]]), 0


def _yaml(text: str) -> dict[Any, Any] | None:
    try:
        # Values as they are written: a title of 1984 or "yes" is a text.
        data = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506  (makes texts, lists and mappings)
    except yaml.YAMLError:
        return _lines_of_yaml(text)
    return data if isinstance(data, dict) else None


def _lines_of_yaml(text: str) -> dict[str, str] | None:
    """`key: value` lines that are no YAML by a stray colon or bracket ("title: Owls: a book")."""
    pairs = [re.fullmatch(r"([A-Za-z_][\w-]*)[ \t]*:[ \t]*(.*)", line) for line in text.splitlines()]
    if not all(pairs):
        return None
    return {pair.group(1): pair.group(2).strip("'\" ") for pair in pairs if pair is not None}


def _toml(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def _is_metadata(data: dict[Any, Any]) -> bool:
    keys = [str(key) for key in data]
    if any(key in _METADATA for key in keys):
        return True
    # "Title: ..." and "Date: ..." together; "Status: the mill is closed." alone is a sentence.
    return len(keys) > 1 and all(key.lower() in _METADATA for key in keys)


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
        self.left_out: Counter[str] = Counter()
        self._header: list[str] = []  # of the open table
        self._row: list[str] = []
        self._cell_of = ""  # "th" or "td": the open cell
        self._html = HtmlText(self._html_paragraph, self._html_row, self._heading, self.left_out)

    def read(self, tokens: list[Token]) -> None:
        for before, token in zip([None, *tokens], tokens, strict=False):
            if token.type in ("fence", "code_block"):
                self.left_out["code block"] += 1
            elif token.type == "html_block":
                self._html.piece(token.content)
            elif token.type == "inline":
                self._inline(before, inline_text(token, self.left_out))
            else:
                self._table(token)

    def _table(self, token: Token) -> None:
        if token.type == "thead_open":
            self._header = []
        elif token.type in ("th_open", "td_open"):
            self._cell_of = token.type[:2]
        elif token.type in ("th_close", "td_close"):
            self._cell_of = ""
        elif token.type == "tr_close":
            row, self._row = self._row, []
            if _is_header(self._header, row):
                self._header = row
            else:
                self._add(row_text(self._header, row))

    def _inline(self, before: Token | None, text: str) -> None:
        """text: its lines as they are broken."""
        whole = one_line(text)
        if self._cell_of:
            (self._header if self._cell_of == "th" else self._row).append(whole)
        elif before and before.type == "heading_open" and not _is_ruled(before, whole):
            self._heading(int(before.tag[1:]), whole)
        else:
            # Inside lists paragraphs are at a deeper level; an item should be a sentence.
            is_item = before is not None and before.hidden
            for paragraph in self._paragraphs(text):
                self._add(sentence(_CHECKBOX.sub("", paragraph, count=1)) if is_item else paragraph)

    def _paragraphs(self, text: str) -> list[str]:
        lines = [line for line in text.split("\n") if not _CONTAINER.fullmatch(line)]
        if lines and _ALERT.fullmatch(lines[0].strip()):  # "[!NOTE]" of GitHub and Obsidian
            lines = lines[1:]
        return paragraphs_of([_DEFINES_NOTE.sub("", line) for line in lines]) if lines else []

    def finish(self) -> None:
        """The end of the text."""
        self._html.finish()
        self.close_heading(0)

    def _html_paragraph(self, text: str, is_item: bool) -> None:
        for paragraph in paragraphs_of(text.split("\n")):
            self._add(sentence(paragraph) if is_item else paragraph)

    def _html_row(self, header: list[str], cells: list[str]) -> None:
        self._add(row_text(header, cells))

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


def _is_ruled(heading: Token, text: str) -> bool:
    """Whether a heading is a sentence that happens to have a rule right below it."""
    return heading.markup in ("-", "=") and text.endswith((".", "!", "?")) and " " in text


def inline_text(token: Token, left_out: Counter[str]) -> str:
    """The text of a paragraph, its line breaks kept; left_out is told of pictures."""
    pieces: list[str] = []
    written: list[str] = []  # text that is not code, put together: marks may be cut in tokens
    for child in token.children or []:
        is_html = child.type == "html_inline" and child.content[:4].lower() == "<img"
        if child.type == "image" or is_html:
            left_out["image"] += 1
        elif child.type in ("text", "text_special"):
            written.append(child.content)
        elif child.type in ("softbreak", "hardbreak") or child.content.lower().startswith("<br"):
            written.append("\n")
        elif child.type == "code_inline":
            pieces += [_unmarked("".join(written), left_out), child.content]
            written = []
    return "".join([*pieces, _unmarked("".join(written), left_out)])


def _unmarked(text: str, left_out: Counter[str]) -> str:
    """Text without the marks of Obsidian, Pandoc and others that CommonMark does not know."""
    if "[" not in text:
        return text
    left_out["embedded file"] += len(_EMBEDS.findall(text))
    text = _EMBEDS.sub("", text)
    text = _WIKI_LINK.sub(lambda link: link[2] or link[1].replace("#", ": ").lstrip(": "), text)
    return _NOTE_MARK.sub("", text)


def _is_header(header: list[str], row: list[str]) -> bool:
    """Whether a row names the columns of a table whose own header is empty, as converters make it of a
    table that marks none. Of two columns the first may as well be the names."""
    words = len(row) > 2 and all(row) and not any(map(str.isdigit, "".join(row)))
    return words and bool(header) and not any(header)
