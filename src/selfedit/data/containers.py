"""Objects that hold records in other ways than a list: columns, pandas' tables, a key for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from selfedit.data.roles import named
from selfedit.errors import InputError

ASKING = ("?", "\uff1f", "\u061f")  # what a question ends with


def is_table(value: Mapping[str, Any]) -> bool:
    """pandas' to_json: {"question": {"0": ...}, ...}, or {"columns": [...], "data": [[...]]}."""
    if isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):
        return True
    return bool(value) and all(
        isinstance(column, dict) and column and all(str(at).isdigit() for at in column)
        for column in value.values()
    )


def rows_of(where: str, value: Mapping[str, Any]) -> list[dict[str, Any]]:
    if isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):
        names = [str(name) for name in value["columns"]]
        rows = [row for row in value["data"] if isinstance(row, list) and len(row) == len(names)]
        if len(rows) != len(value["data"]):
            raise InputError(f'{where}: each row of "data" must have one value for each of "columns"')
        return [dict(zip(names, row, strict=True)) for row in rows]
    places = dict.fromkeys(at for column in value.values() for at in column)
    return [{name: column.get(at) for name, column in value.items()} for at in places]


def records_of(given: Mapping[str, Any]) -> Any:
    """A list of records from an object of columns, as `datasets` makes of a list of objects."""
    lengths = {len(column) for column in given.values() if isinstance(column, list)}
    if len(lengths) != 1 or not all(isinstance(column, list) for column in given.values()):
        return given
    return [dict(zip(given, row, strict=True)) for row in zip(*given.values(), strict=True)]


def is_columns(value: Mapping[str, Any]) -> bool:
    """{"question": [...], "answer": [...]}: a list for each column, as `to_dict` of data sets gives."""
    asked = next((value[name] for name in named(value, "question")), None)
    if not (isinstance(asked, list) and asked and all(isinstance(one, str) for one in asked)):
        return False
    columns = list(value.values())
    return all(isinstance(column, list) and len(column) == len(asked) for column in columns)


def is_record(value: Mapping[str, Any]) -> bool:
    """Whether an object is a question, a context or a conversation."""
    if "mapping" in value:
        return True
    return any(named(value, role) for role in ("question", "context", "messages"))


def by_key(value: Mapping[str, Any]) -> dict[str, Any] | None:
    """Records under a key each (DROP; pandas' orient="index"), or questions with their answers."""
    if is_record(value) or not value:
        return None
    if all(
        isinstance(one, dict) and (is_record(one) or named(one, "questions")) for one in value.values()
    ):
        return dict(value)
    if all(name.rstrip().endswith(ASKING) for name in value):
        return {name: {"question": name, "answer": answer} for name, answer in value.items()}
    return None
