"""Whatever is printed is text: nothing of it reaches the terminal as a command."""

from __future__ import annotations

import io

import pytest
from rich.table import Table
from rich.text import Text

from selfedit.console.literal import console, literal, lose_nothing

EVIL = "A\x1b[31m\x1b]0;owned\x07B\x9b5m\u202eC\udce9\ttab\nline"
SHOWN = r"A\x1b[31m\x1b]0;owned\x07B\x9b5m\u202eC\udce9" + "\ttab\nline"


def test_control_characters_are_written_out_and_all_else_is_kept():
    assert literal(EVIL) == SHOWN
    plain = "Zürich, 東京, עברית \u200f, naïve 👍 — 100 %\n"
    assert literal(plain) == plain


@pytest.mark.parametrize("kind", ["text", "markup off", "table", "style"])
def test_nothing_that_is_printed_moves_the_cursor(kind):
    file = io.StringIO()
    shown = console(file=file, width=200)
    if kind == "text":
        shown.print(Text(EVIL))
    elif kind == "markup off":
        shown.print(f"Error: {EVIL}", markup=False, style="red", soft_wrap=True)
    elif kind == "table":
        table = Table(title=Text(EVIL))
        table.add_column(Text(EVIL))
        table.add_row(Text(EVIL))
        shown.print(table)
    else:
        shown = console(file=file, force_terminal=True, color_system="standard")
        shown.print(Text("\x9b5m", style="red"))
        assert file.getvalue() == "\x1b[31m\\x9b5m\x1b[0m\n"
        return
    assert not set(file.getvalue()) & set("\x1b\x07\x9b\u202e\udce9")
    assert r"\x1b[31m" in file.getvalue()


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_what_an_encoding_lacks_is_escaped(encoding):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    lose_nothing(stream, io.StringIO())  # the second cannot be changed, and needs not be
    stream.write("Młyn \udce9")
    stream.flush()
    written = raw.getvalue().decode(encoding)
    assert written in ("Młyn \\udce9", "M\\u0142yn \\udce9")
