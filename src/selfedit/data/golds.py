"""Gold answers out of a record: texts, numbers, booleans, lists of them, and the shapes of SQuAD,
TriviaQA and multiple choice."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from selfedit.data.choices import choices, chosen
from selfedit.data.roles import found_keys, is_missing, key, named
from selfedit.errors import InputError

FORM = '{"question": "...", "answer": "..."}'
_EMPTY_CELL = (
    "which no answer can be: pandas writes NaN for an empty cell; fill it, or leave the question out"
)
_ARRAY = re.compile(r"\barray\((\[.*?\])(?:,\s*dtype=[\w.'\"<>|]+)?\)", re.DOTALL)  # numpy's, in a CSV
_MIDNIGHT = re.compile(r"(\d{4}-\d\d-\d\d)[T ]00:00:00(?:\.0+)?Z?")  # a date, as pandas writes it
_NO_ANSWER = ("cannotanswer", "no answer present.")  # QuAC, MS MARCO
_NOT_A_NUMBER = (
    "nan",
    "NaN",
    "<NA>",
    "NaT",
    "#N/A",
)  # an empty cell, where a program made a text of it
_FINAL = "\n#### "  # GSM8K: the steps, and behind this the answer
_TRUE = ("true", "yes", "1", "1.0")
_FALSE = ("false", "no", "0", "0.0")


def unanswerable(record: Mapping[str, Any]) -> bool:
    """SQuAD 2: a question that the passage does not answer, marked or by an empty list of answers."""
    for name in record:
        if key(name) == "isimpossible" and _says(record[name], _TRUE):
            return True
        if key(name) in ("answerable", "isanswerable", "hasanswer") and _says(record[name], _FALSE):
            return True
    values = [record[name] for name in named(record, "answer")]
    if values and all(map(_says_none, values)):
        return True
    return bool(values) and all(map(_is_empty, values)) and any(map(_lists_nothing, values))


def golds(where: str, record: Mapping[str, Any]) -> tuple[str, ...]:
    """The gold answers, each once. Raises InputError, with the place, if there is none to use."""
    names = named(record, "answer")
    if not names:
        raise InputError(f'{where}: "answer" is missing; found: {found_keys(record)}')
    name = next((name for name in names if not is_missing(record[name])), names[0])
    value = _literal(record[name])
    if (offered := choices(record, names)) is not None:
        value = chosen(where, name, value, *offered)
    texts = list(dict.fromkeys(_text(where, name, one) for one in _several(where, name, value)))
    if not texts:
        raise InputError(f'{where}: "{name}" is empty')
    return tuple(texts)


def _says_none(value: Any) -> bool:
    """A gold that says that there is none."""
    value = _literal(value)
    if isinstance(value, dict):
        value = value.get("text")
    if isinstance(value, list):
        return bool(value) and all(map(_says_none, value))
    return isinstance(value, str) and value.strip().lower() in _NO_ANSWER


def _says(value: Any, words: tuple[str, ...]) -> bool:
    return str(value).strip().lower() in words


def _is_empty(value: Any) -> bool:
    return is_missing(value) or value == "" or _lists_nothing(value)


def _lists_nothing(value: Any) -> bool:
    """[] or {"text": []}, or a list of nothing but empty texts."""
    value = _literal(value)
    if isinstance(value, dict):
        value = value.get("text")
    return isinstance(value, list) and all(
        one == "" or (isinstance(one, dict) and one.get("text") == "") for one in value
    )


def _several(where: str, name: str, value: Any) -> list[Any]:
    """The single answers that a value is made of."""
    if isinstance(value, dict):
        if "text" in value:  # columns of `squad`: {"text": [...], "answer_start": [...]}
            value = value["text"]
        elif "value" in value:  # TriviaQA: {"value": ..., "aliases": [...]}
            aliases = value.get("aliases")
            value = [value["value"], *(aliases if isinstance(aliases, list) else ())]
        elif "input_text" in value:  # CoQA
            value = value["input_text"]
        elif "content" in value:  # a message
            value = value["content"]
        elif "spans" in value:  # DROP: one of a number, a date, spans
            date = value.get("date")
            parts = (
                [date.get(part) for part in ("day", "month", "year")] if isinstance(date, dict) else []
            )
            value = value["spans"] or value.get("number") or " ".join(part for part in parts if part)
        else:
            raise InputError(f'{where}: "{name}" must be a string or a list of strings')
    return value if isinstance(value, list) else [value]


def _date(value: Any) -> str:
    parts = [value.get(part) for part in ("day", "month", "year")] if isinstance(value, dict) else []
    return " ".join(part for part in parts if isinstance(part, str) and part)


def _text(where: str, name: str, value: Any) -> str:
    """One answer as a text. 1802.0 is 1802, which pandas makes a float beside an empty cell; true is
    yes."""
    if isinstance(value, dict):  # SQuAD: [{"text", "answer_start"}]; messages: [{"role", "content"}]
        value = next((value[k] for k in ("text", "input_text", "content") if k in value), None)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InputError(f'{where}: "{name}" is {value}, {_EMPTY_CELL}')
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, int):
        return str(value)
    if value is None:
        raise InputError(f'{where}: "{name}" is empty')
    if not isinstance(value, str):
        raise InputError(f'{where}: "{name}" must be a string or a list of strings')
    text = value.rpartition(_FINAL)[2].strip()
    if not text:
        raise InputError(f'{where}: "{name}" is empty')
    if text in _NOT_A_NUMBER:
        raise InputError(f'{where}: "{name}" is {text}, {_EMPTY_CELL}')
    date = _MIDNIGHT.fullmatch(text)
    return date.group(1) if date else text


def cell(text: str) -> Any:
    """A cell of a CSV file as the value that was written there: pandas writes booleans as True and
    False, and the whole numbers of a column with an empty cell as 1802.0."""
    if text in ("True", "TRUE"):
        return True
    if text in ("False", "FALSE"):
        return False
    return text[:-2] if re.fullmatch(r"-?\d{3,15}\.0", text) else text


def _literal(value: Any) -> Any:
    """A list or an object that a CSV file holds as a text (JSON, or as Python and numpy print it)."""
    if not isinstance(value, str) or value[:1] + value[-1:] not in ("[]", "{}"):
        return value
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(value if read is json.loads else _ARRAY.sub(r"\1", value))
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return found if isinstance(found, list | dict) and found else value if found else found
    return value
