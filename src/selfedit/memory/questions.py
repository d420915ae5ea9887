"""The shipped questions and prompts of the probe: general knowledge, drift, and neighbours by kind.

They only measure: nothing may train on them. Anchor prompts and neighbours that are trained on must
be others.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from selfedit.types import Query


@dataclass(frozen=True, slots=True)
class GeneralQuestion:
    """A short question of general knowledge.

    field: geography, science ... form: "question", "complete", "instruction" or "yes or no".
    """

    field: str
    form: str
    query: Query


@dataclass(frozen=True, slots=True)
class Kind:
    """Well-known things of one kind.

    words: by which a document about such a thing is recognised, lower case. questions: with {} where
    the name of a thing goes.
    """

    name: str
    words: tuple[str, ...]
    things: tuple[str, ...]
    questions: tuple[str, ...]


@cache
def general_questions() -> tuple[GeneralQuestion, ...]:
    """All shipped questions, field by field."""
    return tuple(
        GeneralQuestion(row["field"], row["form"], Query(row["question"], tuple(row["answers"])))
        for row in _shipped("general_questions.json")["questions"]
    )


@cache
def drift_prompts() -> tuple[str, ...]:
    """Generic prompts that no training sees."""
    return tuple(_shipped("drift_prompts.json")["prompts"])


@cache
def kinds() -> tuple[Kind, ...]:
    """Neighbours by kind."""
    return tuple(
        Kind(row["kind"], tuple(row["words"]), tuple(row["things"]), tuple(row["questions"]))
        for row in _shipped("neighbours.json")["kinds"]
    )


def _shipped(name: str) -> dict[str, Any]:
    return json.loads(files("selfedit.memory").joinpath(name).read_text(encoding="utf-8"))
