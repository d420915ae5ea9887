"""The text of HTML that stands in Markdown, through the standard library's parser.

A piece may end anywhere: CommonMark closes a block of HTML at a blank line, and its table, list or
<details> goes on in the next one. Whole HTML files go through the converter (`converters.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser

# What begins a paragraph of its own; everything else is part of its line.
_BLOCKS = frozenset(
    "p div details summary section article header footer main aside nav figure figcaption "
    "blockquote ul ol li dl dt dd table caption thead tbody tfoot tr hr pre h1 h2 h3 h4 h5 h6 "
    "center form fieldset address legend option".split()
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
# Nothing of these is text. What is said of them, if anything: nothing is lost with a style sheet.
_SILENT = {
    "script": "",
    "style": "",
    "head": "",
    "template": "",
    "svg": "image",
    "math": "formula",
}
_PICTURES = {
    "img": "image", "video": "video", "audio": "audio", "iframe": "embedded page", "object": "object",
    "embed": "object", "canvas": "image", "picture": "",
}  # fmt: skip
_ITEMS = ("li", "td", "th")


class HtmlText(HTMLParser):
    """Gives paragraphs, table rows and headings to whoever reads, in their order.

    paragraph(text, is_item), row(header, cells), heading(level, text). left_out: what is not text.
    """

    def __init__(
        self,
        paragraph: Callable[[str, bool], None],
        row: Callable[[list[str], list[str]], None],
        heading: Callable[[int, str], None],
        left_out: Counter[str],
    ) -> None:
        super().__init__(convert_charrefs=True)
        self._paragraph, self._row, self._heading = paragraph, row, heading
        self._left_out = left_out
        self._text: list[str] = []
        self._silent: list[str] = []  # open elements whose text is left out
        self._header: list[str] = []
        self._cells: list[tuple[bool, str]] | None = None  # (is a header's, text) of the open row
        self._in_cell = ""
        self._has_rows = True  # whether something of the table was given below its header
        self._is_item = False

    def piece(self, html: str) -> None:
        """One block of HTML; elements that are open at its end may be closed in a later one."""
        self.feed(html)
        if self._cells is None:
            self._flush()

    def finish(self) -> None:
        """The end of the text: what is open ends here."""
        self.close()
        self._end_row()
        self._end_table()
        self._flush()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT:
            self._silent.append(tag)
            self._count(_SILENT[tag])
        elif not self._silent:
            self._open(tag)

    def _open(self, tag: str) -> None:
        self._count(_PICTURES.get(tag, ""))
        if tag == "table":
            self._flush()
            self._end_table()
        elif tag == "tr":
            self._end_row()
            self._cells = []
        elif tag in ("td", "th"):
            self._end_cell()
            self._cells = [] if self._cells is None else self._cells
            self._in_cell = tag
        elif tag == "br":
            self._text.append(" ")
        elif tag in _BLOCKS and not self._in_cell:
            self._flush()
            self._is_item = tag in _ITEMS
        elif tag in _BLOCKS:
            self._text.append(" ")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _SILENT and not self._silent:
            self._open(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._silent:
            if tag == self._silent[-1]:
                self._silent.pop()
        elif tag in ("td", "th"):
            self._end_cell()
        elif tag in ("tr", "thead", "tbody", "table"):
            self._end_row()
            if tag == "table":
                self._end_table()
        elif tag in _HEADINGS and not self._in_cell:
            text = self._taken()
            if text:
                self._heading(_HEADINGS[tag], text)
        elif tag in _BLOCKS and not self._in_cell:
            self._flush()
        elif tag in _BLOCKS:
            self._text.append(" ")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self._text.append(data)

    def _count(self, name: str) -> None:
        if name:
            self._left_out[name] += 1

    def _taken(self) -> str:
        text = " ".join("".join(self._text).split())
        self._text = []
        return text

    def _flush(self) -> None:
        text = self._taken()
        if text:
            self._paragraph(text, self._is_item)
        self._is_item = False

    def _end_cell(self) -> None:
        if self._in_cell and self._cells is not None:
            self._cells.append((self._in_cell == "th", self._taken()))
            self._in_cell = ""

    def _end_row(self) -> None:
        self._end_cell()
        cells, self._cells = self._cells, None
        if not cells:
            return
        texts = [text for _, text in cells]
        if all(is_header for is_header, _ in cells) and len(cells) > 1:
            self._end_table()
            self._header, self._has_rows = texts, False
        else:
            self._row(self._header, texts)
            self._has_rows = True

    def _end_table(self) -> None:
        """A header over nothing is text itself."""
        if not self._has_rows:
            self._row([], self._header)
        self._header, self._has_rows = [], True
