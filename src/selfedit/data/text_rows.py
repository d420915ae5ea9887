"""Rows of a text: CSV, TSV, what Excel, Anki and Quizlet write, tables of Markdown, "Q:" and "A:"."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from selfedit.data.containers import ASKING
from selfedit.data.golds import FORM, cell
from selfedit.data.roles import NAMES, key
from selfedit.errors import InputError

_DELIMITERS = ",\t;|"
_COLUMNS = {name for role in ("question", "context") for name in NAMES[role].split()}
_PLAIN = ("question", "answer")  # what columns without names hold
_LOOKED_AT = 20  # rows that tell whether a column asks
_SAYS_DELIMITER = re.compile(r"sep=(.)\s*\n|#separator:(\S+)[ \t]*\n", re.IGNORECASE)  # Excel; Anki
_ANKI = re.compile(r"#(?:separator|html|tags|columns|notetype|deck|guid)\b[^\n]*\n", re.IGNORECASE)
_DELIMITER_NAMES = {"tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
_MARKDOWN = re.compile(r"\|(.*)\|[ \t]*")
_MARKDOWN_RULE = re.compile(r"[ \t]*\|?(?:[ \t]*:?-+:?[ \t]*\|)+[ \t]*(?::?-+:?)?[ \t]*")
_LABELLED = re.compile(
    r"(?P<q>q|question|frage|pregunta|domanda|pergunta|vraag)?(?(q)|(?:a|answer|antwort|respuesta|"
    r"r\u00e9ponse|risposta|resposta|antwoord))[ \t]*\d*[ \t]*[.:)\uff1a][ \t]*(?P<text>\S.*)",
    re.IGNORECASE,
)


def rows_of_text(name: str, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, row) of each row. Raises InputError with the place."""
    if (asked := _labelled(text)) is not None:
        yield from ((f"{name}, line {line}", row) for line, row in asked)
    else:
        yield from _csv(name, *_told(text))


def _told(text: str) -> tuple[str, int, str]:
    """The text behind what programs write above their rows, how many lines that is, and the delimiter
    that it names ("": none)."""
    text = text.lstrip("\ufeff")
    said = _SAYS_DELIMITER.match(text)
    delimiter = (said[1] or _DELIMITER_NAMES.get(said[2].lower(), said[2])) if said else ""
    lines = 0
    while above := (_ANKI.match(text) or (_SAYS_DELIMITER.match(text) if not lines else None)):
        text, lines = text[above.end() :], lines + 1
    rows = text.split("\n")
    first = next((at for at, row in enumerate(rows) if row.strip()), 0)
    if len(rows) > first + 1 and _MARKDOWN_RULE.fullmatch(rows[first + 1].rstrip("\r")):
        table = [_MARKDOWN.fullmatch(row.strip()) for row in rows]
        inner = [row[1] if row else plain for row, plain in zip(table, rows, strict=True)]
        inner[first + 1] = ""
        return "\n".join("|".join(part.strip() for part in row.split("|")) for row in inner), lines, "|"
    return text, lines, delimiter if len(delimiter) == 1 else ""


def _csv(name: str, text: str, above: int, delimiter: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows as objects: a first line that names the columns, or questions with their answers."""
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    first = next((line for line in text.split("\n") if line.strip()), "")
    rows, names = _reader(text, first, delimiter)
    if names is None:
        found = ", ".join(f'"{column.strip()[:40]}"' for column in next(rows, [])[:6])
        raise InputError(
            f"{name}: neither JSON nor a table with a column for questions; its first line has: "
            f"{found}. Write JSON lines {FORM}, or CSV with the columns question and answer"
        )
    above += len(text[: len(text) - len(text.lstrip())].split("\n")) - 1
    try:
        for row in rows:
            if not any(value.strip() for value in row):
                continue
            where = f"{name}, line {rows.line_num + above}"
            if any(value.strip() for value in row[len(names) :]):
                raise InputError(
                    f"{where}: {len(row)} cells where there are {len(names)} columns; put texts with "
                    "commas into double quotes"
                )
            cells = [*map(cell, row[: len(names)]), *[""] * (len(names) - len(row))]
            yield where, dict(zip(names, cells, strict=True))
    except csv.Error as error:
        raise InputError(f"{name}, line {rows.line_num + above}: invalid CSV ({error})") from None


def _reader(text: str, first: str, told: str) -> tuple[Any, Sequence[str] | None]:
    """A reader of the rows behind the line of names, and the names; None if there are none."""
    text = text.lstrip()
    for delimiter in told or sorted(_DELIMITERS, key=first.count, reverse=True):
        # A text out of a program that does not quote may have a single quotation mark.
        quotes = csv.QUOTE_NONE if delimiter == "\t" and text.count('"') % 2 else csv.QUOTE_MINIMAL

        def rows(delimiter: str = delimiter, quotes: Any = quotes) -> Any:
            return csv.reader(
                io.StringIO(text, newline=""), delimiter=delimiter, quoting=quotes, strict=True
            )

        try:
            names: list[str] = next(reader := rows(), [])
            if len(names) > 1 and not _COLUMNS.isdisjoint(map(key, names)):
                return reader, [name.strip() for name in names]
            head = [row for _, row in zip(range(_LOOKED_AT), rows(), strict=False) if any(row)]
        except csv.Error:
            continue
        if len(names) > 1 and not any(names[2:]) and head and _asks(head):
            return (rows() if names[0].rstrip().endswith(ASKING) else reader), _PLAIN
    return csv.reader(io.StringIO(text, newline="")), None


def _asks(rows: list[list[str]]) -> bool:
    """Whether the first column asks; the first row may name it in whatever language."""
    asking = [row[0].rstrip().endswith(ASKING) for row in rows]
    return asking[0] if len(asking) < 2 else 2 * sum(asking[1:]) > len(asking) - 1


def _labelled(text: str) -> list[tuple[int, dict[str, Any]]] | None:
    """The questions of "Q: ..." with the answer of "A: ..." below each; None for any other text."""
    found: list[tuple[int, dict[str, Any]]] = []
    last = ""
    for number, line in enumerate(text.splitlines(), start=1):
        part = _LABELLED.fullmatch(line.strip().strip("*"))
        if part and part["q"]:
            found.append((number, {"question": part["text"].strip("* ")}))
            last = "question"
        elif part and found:
            found[-1][1]["answer"] = part["text"].strip("* ")
            last = "answer"
        elif not line.strip():
            last = ""
        elif last:
            found[-1][1][last] += f" {line.strip()}"
        elif not line.startswith("#"):
            return None
    return found if found and any("answer" in row for _, row in found) else None
