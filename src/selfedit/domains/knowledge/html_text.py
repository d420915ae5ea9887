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
_BREAK = "\0"  # <br>: line ends of the source are none
_MOST_SPANNED = 100
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
        self._span = 1, 1  # rows and columns of the open cell
        self._above: dict[int, tuple[int, tuple[bool, str]]] = {}  # cells that reach into rows below
        self._in_term = False
        self._term = ""  # of a list of terms, until something is said of it (<dd>)
        self._explains = False

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
        self._end_term()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT:
            self._silent.append(tag)
            self._count(_SILENT[tag])
        elif not self._silent:
            self._open(tag, dict(attrs))

    def _open(self, tag: str, attrs: dict[str, str | None]) -> None:
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
            self._span = _number(attrs.get("rowspan")), _number(attrs.get("colspan"))
        elif tag == "br":
            self._text.append(" " if self._in_cell else _BREAK)
        elif tag in _BLOCKS and not self._in_cell:
            self._flush()
            self._is_item = tag in _ITEMS
            self._in_term = tag == "dt"
            self._explains = self._explains or tag == "dd"
        elif tag in _BLOCKS:
            self._text.append(" ")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _SILENT and not self._silent:
            self._open(tag, dict(attrs))

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
                self._heading(_HEADINGS[tag], text.replace("\n", " "))
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
        lines = [" ".join(line.split()) for line in "".join(self._text).split(_BREAK)]
        self._text = []
        return "\n".join(line for line in lines if line)

    def _flush(self) -> None:
        """The open text ends here; a term (<dt>) waits for what is said of it."""
        text = self._taken()
        if self._in_term and text:
            self._end_term()
            self._term = text.replace("\n", " ").rstrip(" :")
        elif text:
            if self._term and self._explains:
                text, self._term = f"{self._term}: {text}", ""
            self._end_term()
            self._paragraph(text, self._is_item)
            self._explains = False
        self._is_item = self._in_term = False

    def _end_term(self) -> None:
        term, self._term = self._term, ""
        if term:
            self._paragraph(term, False)

    def _end_cell(self) -> None:
        if self._in_cell and self._cells is not None:
            self._take_from_above()
            high, wide = self._span
            is_header, text = self._in_cell == "th", self._taken()
            for place in range(wide):  # a heading over several columns names each
                cell = (is_header, text if is_header or not place else "")
                if high > 1:
                    self._above[len(self._cells)] = high - 1, cell
                self._cells.append(cell)
            self._in_cell = ""

    def _take_from_above(self) -> None:
        """Cells that reach into this row."""
        while self._cells is not None and len(self._cells) in self._above:
            column = len(self._cells)
            left, cell = self._above.pop(column)
            if left > 1:
                self._above[column] = left - 1, cell
            self._cells.append(cell)

    def _end_row(self) -> None:
        self._end_cell()
        self._take_from_above()
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
        self._above = {}


def _number(text: str | None) -> int:
    """The value of rowspan or colspan."""
    return max(1, min(int(text), _MOST_SPANNED)) if text and text.strip().isdecimal() else 1
