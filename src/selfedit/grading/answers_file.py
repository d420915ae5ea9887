"""Answers to grade, read from JSON lines."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfedit.endpoints.replies import without_thoughts
from selfedit.errors import InputError
from selfedit.home import MOST_ANSWER, check_length

_FORM = '{"question": "...", "gold": "...", "answer": "..."}'
_VERDICTS = {"yes": True, "no": False, "true": True, "false": False, "1": True, "0": False}


@dataclass(frozen=True, slots=True)
class Answered:
    """One line. verdict: another judge's verdict on the answer, None if the line has none."""

    question: str
    golds: tuple[str, ...]
    answer: str
    verdict: bool | None = None


def parse_answers(path: Path, text: str) -> tuple[Answered, ...]:
    """The lines of a file, in order; blank ones are skipped. InputError with the file and the line.

    A line is an object with "question", "gold" (a string, a number, or a list of either), "answer" (may
    be empty) and, where a judge was asked, "verdict": true, false, "yes", "no", 0 or 1.
    """
    # Not splitlines(): JSON text may hold U+2028 and the like.
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not lines:
        raise InputError(f"{path} holds no answers; write one line for each: {_FORM}")
    return tuple(_line(f"{path}, line {number}", line) for number, line in lines)


def _line(where: str, line: str) -> Answered:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError as error:
        why = f"{error.msg}, column {error.colno}"
        raise InputError(f"{where}: invalid JSON ({why}); each line is one answer: {_FORM}") from None
    except (ValueError, RecursionError):
        raise InputError(f"{where}: unusable JSON; each line is one answer: {_FORM}") from None
    if not isinstance(entry, dict):
        raise InputError(f"{where}: not an object; write {_FORM}")
    for name in ("question", "gold", "answer"):
        if entry.get(name) is None:
            raise InputError(f'{where}: "{name}" is missing; write {_FORM}')
    question = _text(where, "question", entry["question"])
    answer = without_thoughts(_text(where, "answer", entry["answer"]))
    golds = entry["gold"] if isinstance(entry["gold"], list) else [entry["gold"]]
    texts = tuple(_text(where, "gold", gold) for gold in golds)
    if not texts or not all(texts):
        raise InputError(f'{where}: "gold" is empty')
    return Answered(question, texts, answer, _verdict(where, entry.get("verdict")))


def _text(where: str, name: str, value: Any) -> str:
    if isinstance(value, bool) and name == "gold":
        return "yes" if value else "no"
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f'{where}: "{name}" is {value}, as pandas writes an empty cell')
    if isinstance(value, float) and value.is_integer():
        return f"{value:.0f}"
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        several = " or a list of strings" if name == "gold" else ""
        raise InputError(f'{where}: "{name}" must be a string{several}')
    text = str(value).strip()
    check_length(f"{where}: the {name}", len(text), MOST_ANSWER, "shorten it, or leave the line out")
    return text


def _verdict(where: str, value: Any) -> bool | None:
    if value is None:
        return None
    verdict = _VERDICTS.get(str(value).strip().lower()) if isinstance(value, str | int) else None
    if verdict is None:
        raise InputError(f'{where}: "verdict" must be true, false, "yes", "no", 0 or 1')
    return verdict
