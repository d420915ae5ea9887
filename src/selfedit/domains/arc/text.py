"""Grids as text and back; the one place that knows how a model sees a grid.

"rows" is the paper's form, nested lists on one line: [[0, 1], [2, 3]]. "compact" takes the fewest
characters: a digit a cell, a line a row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal

from selfedit.domains.arc.grids import MAX_SIDE, Grid, MalformedGrid
from selfedit.domains.arc.tasks import Example

GridFormat = Literal["rows", "compact"]
Turn = tuple[Literal["user", "assistant"], str]

_SPACE = " \t\r\n"
# Digits of ASCII alone: \d and str.isdigit would take those of other scripts.
_DIGITS = {str(digit): digit for digit in range(10)}
_LINE = re.compile(r"[0-9]+")
_PARTS = re.compile(rf"[{_SPACE}\[\],0-9]*+")
_TOKEN = re.compile(r"[\[\],]|[0-9]+")


def grid_to_text(grid: Grid, form: GridFormat = "rows") -> str:
    """The grid as text, without a newline at the end."""
    if form == "rows":
        return str(grid.rows())
    return "\n".join("".join(map(str, row)) for row in grid.rows())


def parse_grid(text: str, form: GridFormat = "rows") -> Grid:
    """The grid that a text is. Time is linear in its length.

    White space around the grid and, in "rows", between its parts does not count; anything else beside
    the grid does. Raises MalformedGrid with the reason. A "compact" answer that was cut off after a
    whole row cannot be told from a smaller grid.
    """
    stripped = text.strip(_SPACE)
    if not stripped:
        raise MalformedGrid("empty")
    return Grid.of(_rows_of_lists(stripped) if form == "rows" else _rows_of_lines(stripped))


def turns(examples: Sequence[Example], query: Grid, form: GridFormat = "rows") -> tuple[Turn, ...]:
    """A conversation: the user gives inputs, the assistant their outputs; the query's input is last."""
    said: list[Turn] = []
    for example in examples:
        said.append(("user", grid_to_text(example.input, form)))
        said.append(("assistant", grid_to_text(example.output, form)))
    return (*said, ("user", grid_to_text(query, form)))


def one_prompt(examples: Sequence[Example], query: Grid, form: GridFormat = "rows") -> str:
    """Demonstrations and query as one text; the reply is the query's output grid."""
    parts = ["Each input grid becomes its output grid by one and the same rule."]
    if examples:
        parts.append(demonstrations(examples, form))
    number = len(examples) + 1
    parts.append(f"Input {number}:\n{grid_to_text(query, form)}\nOutput {number}:")
    return "\n\n".join(parts)


def demonstrations(examples: Sequence[Example], form: GridFormat = "rows") -> str:
    """The examples as one text, numbered from 1."""
    return "\n\n".join(
        f"Input {number}:\n{grid_to_text(example.input, form)}\n"
        f"Output {number}:\n{grid_to_text(example.output, form)}"
        for number, example in enumerate(examples, start=1)
    )


def _rows_of_lists(text: str) -> list[list[int]]:
    parts = _PARTS.match(text)
    if parts is not None and parts.end() < len(text):
        raise MalformedGrid(f"{text[parts.end()]!r} is no part of a grid")
    tokens = iter(_TOKEN.findall(text))
    _expect(next(tokens, ""), "[", "the grid")
    rows: list[list[int]] = []
    following = ","
    while following == ",":
        if len(rows) == MAX_SIDE:
            raise MalformedGrid(f"more than {MAX_SIDE} rows")
        rows.append(_row_of_list(tokens, len(rows) + 1))
        following = next(tokens, "")
    _expect(following, "]", "the grid")
    if next(tokens, ""):
        raise MalformedGrid("text after the grid")
    return rows


def _row_of_list(tokens: Iterator[str], number: int) -> list[int]:
    where = f"row {number}"
    _expect(next(tokens, ""), "[", where)
    row: list[int] = []
    following = ","
    while following == ",":
        if len(row) == MAX_SIDE:
            raise MalformedGrid(f"{where} has more than {MAX_SIDE} cells")
        cell = next(tokens, "")
        if cell not in _DIGITS:
            raise _misplaced(cell, "a digit", where)
        row.append(_DIGITS[cell])
        following = next(tokens, "")
    _expect(following, "]", where)
    return row


def _expect(token: str, wanted: str, where: str) -> None:
    if token != wanted:
        raise _misplaced(token, repr(wanted), where)


def _misplaced(token: str, wanted: str, where: str) -> MalformedGrid:
    """token: "" at the end of the text."""
    if not token:
        return MalformedGrid(f"cut off in {where}")
    return MalformedGrid(f"{where} has {token[:8]!r} where {wanted} belongs")


def _rows_of_lines(text: str) -> list[list[int]]:
    rows: list[list[int]] = []
    # Not splitlines, which also splits at characters that no grid has.
    for number, line in enumerate(text.split("\n", MAX_SIDE), start=1):
        row = line.strip(_SPACE)
        if number > MAX_SIDE:
            raise MalformedGrid(f"more than {MAX_SIDE} rows")
        if len(row) > MAX_SIDE:
            raise MalformedGrid(f"row {number} has more than {MAX_SIDE} characters")
        if not _LINE.fullmatch(row):
            raise MalformedGrid(
                f"row {number} is {row!r}, not digits" if row else f"row {number} is empty"
            )
        rows.append([int(digit) for digit in row])
    return rows
