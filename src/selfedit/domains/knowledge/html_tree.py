"""HTML made ready for the converter, which knows neither cells over several rows, nor tables inside of
tables, nor where elements end that need no end tag; through BeautifulSoup, which it brings.

What a reader does not take for text (menus, marks of footnotes) goes; what is no text is counted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

# What stands on lines of its own, though the converter takes it for a part of a line.
_BLOCKS = (
    "section article header footer main aside figure figcaption details summary form fieldset address "
    "legend label option dialog center hgroup search"
).split()
_NO_TEXT = {
    "svg": "image", "canvas": "image", "iframe": "embedded page", "video": "video", "audio": "audio",
    "object": "object", "embed": "object", "math": "formula",
}  # fmt: skip
_NOTE_ROLES = ("noteref", "footnote-ref", "backlink", "footnote-back")
_BACK = ("\u2191", "\u21a9", "\u21a9\ufe0e")
_NOTE = re.compile(r"\[?\s*(?:\d{1,3}|[a-z*\u2020\u2021]|note \d+)\s*\]?")
_INSIDE = [
    "p",
    "div",
    "ul",
    "ol",
    "dl",
    "table",
    "pre",
    "blockquote",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
]
_EMPTY_MARK = re.compile(r"[\s,]*(?:\[\s*\w{0,3}\s*\][\s,]*)*")
_WIDEST, _HIGHEST = 50, 500  # columns and rows that one cell may cover


def plain_html(html: str, left_out: Counter[str]) -> str:
    """The HTML with plain tables, and without what is no text; left_out is told."""
    from bs4 import BeautifulSoup

    # XHTML closes each element, also <title/>, which HTML would take for the beginning of one.
    is_xml = html.lstrip("\ufeff \n\r\t").startswith("<?xml")
    tree = BeautifulSoup(html, "html.parser" if is_xml else "lxml")
    for element in tree(["script", "style", "template"]):
        element.decompose()
    for element in tree("nav"):
        left_out["navigation menu"] += "toc" not in str(element.get("epub:type", ""))
        element.decompose()
    for element in tree(list(_NO_TEXT)):
        if not element.decomposed:
            left_out[_NO_TEXT[element.name]] += 1
            element.decompose()
    _drop_note_marks(tree)
    for element in tree(_BLOCKS):
        element.name = "div"
    for table in tree("table"):
        if table.find("table"):  # for the layout of a page
            for part in (*table(["tr", "td", "th", "tbody", "thead", "tfoot"]), table):
                if part is table or part.find_parent("table") is table:
                    part.name = "div"
    for table in tree("table"):
        _square(tree, table)
    for listed in tree("dl"):
        _define(tree, listed)
    return str(tree)


def _drop_note_marks(tree: Any) -> None:
    """Marks that lead to a footnote and back from it. A power or an index stays."""
    for link in tree("a"):
        role = f"{link.get('role', '')} {link.get('epub:type', '')} {link.get('class', '')}"
        is_raised = link.find_parent("sup") or link.find("sup")
        leads = bool(is_raised) and str(link.get("href", "")).startswith("#")
        is_mark = leads or any(word in role for word in _NOTE_ROLES)
        text = link.get_text().strip()
        if (is_mark and _NOTE.fullmatch(text)) or text in _BACK:
            link.decompose()
    for raised in tree("sup"):
        if not raised.decomposed and _EMPTY_MARK.fullmatch(raised.get_text()):
            raised.decompose()


# -- tables ------------------------------------------------------------------------------------------


def _square(tree: Any, table: Any) -> None:
    """Each row with a cell for each column: a cell over several of them stands in each."""
    rows = table("tr")
    open_cells: dict[int, tuple[int, Any]] = {}  # by column: rows to go, and the cell
    for row in rows:
        cells = row(["td", "th"], recursive=False)
        placed = list(_placed(tree, cells, open_cells))
        for cell in placed:
            cell.extract()
        row.clear()
        row.extend(placed)
    head = [row for row in rows if row.find("th") and not row.find("td")]
    depth = next((at for at, row in enumerate(rows) if row not in head), len(rows))
    if 1 < depth < len(rows):  # a header of several rows: its names one behind the other
        columns = zip_longest(*(row("th") for row in rows[:depth]))
        for first, *more in columns:
            names = [cell.get_text(" ", strip=True) for cell in (first, *more) if cell is not None]
            if first is not None:
                first.string = " ".join(dict.fromkeys(name for name in names if name))
        for row in rows[1:depth]:
            row.decompose()


def _placed(tree: Any, cells: list[Any], open_cells: dict[int, tuple[int, Any]]) -> Iterator[Any]:
    waiting = iter(cells)
    column = 0
    while True:
        if column in open_cells:
            left, cell = open_cells.pop(column)
            if left > 1:
                open_cells[column] = left - 1, cell
            yield _copy(tree, cell)
            column += 1
            continue
        cell = next(waiting, None)
        if cell is None:
            if not any(other > column for other in open_cells):
                return
            yield tree.new_tag("td")  # a row that is too short
            column += 1
            continue
        height, width = _span(cell, "rowspan", _HIGHEST), _span(cell, "colspan", _WIDEST)
        # A heading over several columns names each; a sentence across a table is said once.
        for place in range(width):
            repeated = cell.name == "th" or place == 0
            yield cell if place == 0 else _copy(tree, cell) if repeated else tree.new_tag("td")
            if height > 1 and repeated:
                open_cells[column] = height - 1, cell
            column += 1


def _copy(tree: Any, cell: Any) -> Any:
    other = tree.new_tag(cell.name)
    other.string = cell.get_text(" ", strip=True)
    return other


def _span(cell: Any, name: str, most: int) -> int:
    text = str(cell.attrs.pop(name, "1"))
    return max(1, min(int(text), most)) if text.isdecimal() else 1


# -- lists of terms ----------------------------------------------------------------------------------


def _define(tree: Any, listed: Any) -> None:
    """Each term with what is said of it as one paragraph: "Miller: Ada Pask".

    In place: to take an element out of a long list takes as long as the list."""
    term: list[str] = []
    parts = list(listed(["dt", "dd", "div"], recursive=False))
    for part in [
        own
        for each in parts
        for own in ([each] if each.name != "div" else each(["dt", "dd"], recursive=False))
    ]:
        if part.name == "dt":
            term += part.get_text(" ", strip=True).rstrip(" :").split()
            part.clear()
        elif part.find(_INSIDE[1:]) or len(part("p", limit=2)) > 1:
            part.insert(0, _paragraph(tree, f"{' '.join(term)}:")) if term else None
            part.name, term = "div", []
            continue
        else:
            said = part.get_text(" ", strip=True)
            part.string = f"{' '.join(term)}: {said}" if term else said
            term = []
        part.name = "p"
    if term:
        listed.append(_paragraph(tree, " ".join(term)))
    listed.name = "div"


def _paragraph(tree: Any, text: str) -> Any:
    paragraph = tree.new_tag("p")
    paragraph.string = text
    return paragraph
