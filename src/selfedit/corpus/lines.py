"""The lines of a corpus: JSON objects that trainers read as they are (docs/how-to/corpus.md)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from selfedit.config import stable_hash
from selfedit.corpus.passages import Passage
from selfedit.corpus.writing import Statement
from selfedit.domains.knowledge.degenerate import comparable

Form = Literal["text", "messages"]


@dataclass(frozen=True, slots=True)
class Stamp:
    """What every line says of its origin. policy: its name or folder; revision: of its weights."""

    strategy: str
    policy: str
    revision: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line that may be added. exact, alike: what equal texts, and texts that differ in case,
    punctuation, spacing or numbering alone, have in common."""

    data: bytes
    tokens: int
    exact: bytes
    alike: bytes


def line_of(passage: Passage, statement: Statement, stamp: Stamp) -> Line:
    """The statement in the form that it was made in: `text`, or the `messages` of a chat."""
    values: dict[str, Any] = {"text": statement.text}
    if statement.prompt:
        turns = (("user", statement.prompt), ("assistant", statement.text))
        values = {"messages": [{"role": role, "content": text} for role, text in turns]}
    values |= {
        "kind": statement.kind,
        "title": passage.task.title,
        "document": passage.document,
        "passage": passage.task.id,
        "position": passage.position,
        "edit": statement.edit,
        "strategy": stamp.strategy,
        "policy": stamp.policy,
        "revision": stamp.revision,
        "tokens": statement.tokens,
    }
    text = json.dumps(values, ensure_ascii=False)
    said = [statement.prompt, statement.text]
    alike = ["\n".join(comparable(line) or line.strip() for line in part.split("\n")) for part in said]
    # Half a character (an odd file name) is what no reader takes: it becomes a question mark.
    return Line(f"{text}\n".encode("utf-8", "replace"), statement.tokens, _key(said), _key(alike))


def _key(parts: list[str]) -> bytes:
    return bytes.fromhex(stable_hash(parts)[:32])
