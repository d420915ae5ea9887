"""Replies as OpenAI's clients read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from selfedit.errors import InputError
from selfedit.serve.engine import Ask, Piece, Token
from selfedit.serve.voices import Voice

Json = dict[str, Any]


def page_of(found: Sequence[Any], after: str | None, limit: int, name: Any) -> tuple[list[Any], bool]:
    """Those behind `after`, at most `limit`, and whether there are more. Raises InputError."""
    start = 0
    if after is not None:
        places = [n for n, one in enumerate(found) if name(one) == after]
        if not places:
            raise InputError(f"after: there is no {after}")
        start = places[0] + 1
    return list(found[start : start + limit]), len(found) > start + limit


def list_json(data: list[Any], more: bool) -> Json:
    """A page of a list; more: whether another one follows."""
    ids = [one["id"] for one in data]
    return {
        "object": "list",
        "data": data,
        "has_more": more,
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
    }


def model_json(voice: Voice) -> Json:
    """root, parent: as vLLM tells adapters; parent null for the bare model."""
    return {
        "id": voice.id,
        "object": "model",
        "created": voice.created,
        "owned_by": "selfedit",
        "root": voice.root,
        "parent": voice.parent,
    }


def usage_of(prompts: Sequence[Ask], pieces: Sequence[Piece]) -> Json:
    """Tokens of the prompts, each once, and of all texts."""
    read = sum(
        len(ask.ids) if ask.ids is not None else ask.speaker.model.count_tokens(ask.prompt.text)
        for ask in prompts
    )
    written = sum(piece.num_tokens for piece in pieces)
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
    }


def chat_reply(head: Json, pieces: Sequence[Piece], usage: Json) -> Json:
    choices = [
        {
            "index": n,
            "message": {"role": "assistant", "content": piece.text, "refusal": None},
            "logprobs": _chat_logprobs(piece.tokens),
            "finish_reason": piece.finish,
        }
        for n, piece in enumerate(pieces)
    ]
    return {**head, "choices": choices, "usage": usage}


def chat_chunk(head: Json, n: int, piece: Piece | None, *, first: bool, offset: int) -> list[Json]:
    """The chunks of a piece; the first one says whose turn it is. None: one without choices. offset:
    characters of the choice's tokens before."""
    head = {**head, "object": "chat.completion.chunk"}
    if piece is None:
        return [{**head, "choices": []}]
    chunks = []
    if first:
        chunks.append(_chat_delta(n, {"role": "assistant", "content": ""}))
    if piece.text or piece.tokens:
        own = _chat_delta(n, {"content": piece.text})
        chunks.append({**own, "logprobs": _chat_logprobs(piece.tokens)})
    if piece.finish is not None:
        chunks.append({**_chat_delta(n, {}), "finish_reason": piece.finish})
    return [{**head, "choices": [one]} for one in chunks]


def _chat_delta(n: int, delta: Json) -> Json:
    return {"index": n, "delta": delta, "logprobs": None, "finish_reason": None}


def _chat_logprobs(tokens: Sequence[Token]) -> Json | None:
    if not tokens:
        return None
    content = [
        {
            **_token(token.text, token.logprob),
            "top_logprobs": [_token(*own) for own in token.top],
        }
        for token in tokens
    ]
    return {"content": content, "refusal": None}


def _token(text: str, logprob: float) -> Json:
    return {
        "token": text,
        "logprob": max(logprob, _LEAST),
        "bytes": list(text.encode("utf-8", "replace")),
    }


_LEAST = -9999.0  # JSON has no infinity


def completion_reply(head: Json, pieces: Sequence[Piece], usage: Json) -> Json:
    choices = [_text(n, piece) for n, piece in enumerate(pieces)]
    return {**head, "choices": choices, "usage": usage}


def completion_chunk(
    head: Json, n: int, piece: Piece | None, *, first: bool, offset: int
) -> list[Json]:
    if piece is None:
        return [{**head, "choices": []}]
    if not piece.text and not piece.tokens and piece.finish is None:
        return []
    return [{**head, "choices": [_text(n, piece, offset)]}]


def _text(n: int, piece: Piece, offset: int = 0) -> Json:
    return {
        "index": n,
        "text": piece.text,
        "logprobs": _text_logprobs(piece.tokens, offset),
        "finish_reason": piece.finish,
    }


def _text_logprobs(tokens: Sequence[Token], offset: int) -> Json | None:
    if not tokens:
        return None
    offsets, at = [], offset
    for token in tokens:
        offsets.append(at)
        at += len(token.text)
    return {
        "tokens": [token.text for token in tokens],
        "token_logprobs": [max(token.logprob, _LEAST) for token in tokens],
        "top_logprobs": [
            {text: max(logprob, _LEAST) for text, logprob in token.top} for token in tokens
        ],
        "text_offset": offsets,
    }
