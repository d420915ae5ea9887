"""Conversations: each turn of the user with the reply to it is a question.

{"messages": [{"role", "content"}]}, ShareGPT's {"conversations": [{"from", "value"}]}, Gemini's
{"contents": [{"role", "parts"}]}, what ChatGPT exports ({"mapping": {...}}), prompts and completions of
turns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from selfedit.data.roles import Role, find
from selfedit.endpoints.replies import without_thoughts
from selfedit.types import Query

_ROLES: tuple[Role, ...] = ("messages", "question", "input", "answer")
USER = ("user", "human", "prompter")
_ASSISTANT = ("assistant", "gpt", "bot", "model", "chatgpt")

NO_REPLY = "in conversations without a reply"
NO_TEXT = "without text (pictures or calls of tools)"


def turns_of(record: Mapping[str, Any]) -> list[Any] | None:
    """The turns of a conversation; a prompt and its completion may be lists of turns, too."""
    if isinstance(record.get("mapping"), dict):
        nodes = record["mapping"].values()
        messages = [node.get("message") for node in nodes if isinstance(node, dict)]
        return [message for message in messages if isinstance(message, dict) and speaker(message)]
    turns: list[Any] = []
    for role in _ROLES:
        part = find(record, role)
        if isinstance(part, list) and part and all(isinstance(t, dict) and speaker(t) for t in part):
            turns += part
            if role == "messages":
                return turns
        elif turns and role == "answer" and isinstance(part, str):  # OpenAI's evals
            turns.append({"role": "assistant", "content": part})
    # A completion by itself may be a list of one turn: then it is a plain answer.
    return turns if any(speaker(turn) in USER for turn in turns) else None


def speaker(turn: Mapping[str, Any]) -> str:
    """Who says it, in small letters; "" for what is no turn."""
    author = turn.get("author")
    who = turn.get("role", turn.get("from", author.get("role") if isinstance(author, dict) else None))
    return who.lower() if isinstance(who, str) else ""


def questions_of(turns: list[Any]) -> tuple[tuple[Query, ...], tuple[str, ...]]:
    """The questions, and why others were left out, once for each."""
    queries: list[Query] = []
    skipped: list[str] = []
    asked: str | None = None
    waiting = False
    for turn in turns:
        who = speaker(turn)
        said = turn.get("content", turn.get("value", turn.get("parts")))
        if who in USER:
            if waiting:
                skipped.append(NO_REPLY)
            asked, waiting = _said(said), True
        elif who in _ASSISTANT and waiting:
            reply = without_thoughts(_said(said)).strip()
            if asked and reply:
                queries.append(Query(asked, (reply,)))
            else:
                skipped.append(NO_TEXT)
            waiting = False
    if waiting or not (queries or skipped):
        skipped.append(NO_REPLY)
    return tuple(queries), tuple(skipped)


def _said(content: Any) -> str:
    """The text of a turn; contents of several parts have a type each."""
    if isinstance(content, dict):
        content = content.get("parts", content.get("text"))
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) else part for part in content]
        texts = [part for part in parts if isinstance(part, str)]
        # A question about a picture is none without it.
        content = "\n".join(texts) if len(texts) == len(parts) else ""
    return content.strip() if isinstance(content, str) else ""
