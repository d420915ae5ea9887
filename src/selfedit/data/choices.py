"""Multiple choice: what a record offers, and which of it is right."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from selfedit.data.roles import find, key
from selfedit.errors import InputError

_SHOWN = 60
# Columns of their own: A, B, C; option_a; Answer 1.
_COLUMN = re.compile(r"(option|choice|answer|opt)?([a-h]|[1-9])")


def choices(record: Mapping[str, Any], answers: Sequence[str]) -> tuple[dict[str, str], bool] | None:
    """The text of each choice by its label, and whether the record says that they are choices; None
    where there are none. answers: its keys for the answer."""
    value = find(record, "choices")
    labels: Any = None
    if isinstance(value, dict):  # ARC, CommonsenseQA: {"label": [...], "text": [...]}
        if isinstance(value.get("text"), list):
            value, labels = value["text"], value.get("label")
        elif value and all(isinstance(text, str) for text in value.values()):
            return {str(label): text for label, text in value.items()}, True
    if (
        isinstance(value, list)
        and value
        and all(isinstance(one, dict) and "text" in one for one in value)
    ):
        labels = [one.get("label", one.get("key")) for one in value]
        value = [one["text"] for one in value]
    if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
        columns = _columns(record, answers)
        return (columns, False) if columns else None
    if not isinstance(labels, list) or len(labels) != len(value) or None in labels:
        labels = [chr(ord("A") + place) for place in range(len(value))]
    return {str(label): text for label, text in zip(labels, value, strict=True)}, True


def _columns(record: Mapping[str, Any], answers: Sequence[str]) -> dict[str, str]:
    """Choices in columns of their own, if the answer has one besides them."""
    found: dict[str, dict[str, str]] = {}
    own = set()
    for name, value in record.items():
        column = _COLUMN.fullmatch(key(name))
        if column and isinstance(value, str | int | float) and str(value).strip():
            found.setdefault(column[1] or "", {})[column[2].upper()] = str(value).strip()
            own.add(name)
    labelled = next((each for each in found.values() if len(each) > 1), {})
    is_whole = {"A", "B"} <= set(labelled) or {"1", "2"} <= set(labelled)
    return labelled if is_whole and any(name not in own for name in answers) else {}


def chosen(where: str, name: str, value: Any, offered: Mapping[str, str], is_sure: bool) -> Any:
    """The right choice in words. An answer is its text, its label, or (MMLU) its place from 0; several
    labels have a comma between them. Raises InputError for what is none of them, if `is_sure`."""
    if isinstance(value, int) and not isinstance(value, bool) and str(value) not in offered:
        if 0 <= value < len(offered):
            return list(offered.values())[value]
    elif isinstance(value, str | int) and not isinstance(value, bool):
        text = str(value).strip()
        if text in offered.values():
            return text
        by_label = {label.casefold(): choice for label, choice in offered.items()}
        labels = [part.strip(" ().").casefold() for part in text.split(",")]
        if all(label in by_label for label in labels):
            return [by_label[label] for label in labels]
    if isinstance(value, list | dict) or not is_sure:
        return value
    raise InputError(f'{where}: "{name}" is {str(value)[:_SHOWN]!r}, which is none of the choices')
