"""OpenAI's API for texts: models, chat completions, completions; vLLM's for adapters."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import PlainTextResponse, Response
from pydantic import BaseModel, Field

from selfedit.errors import InputError
from selfedit.serve.answers import Answers, Wanted
from selfedit.serve.engine import Ask, Piece
from selfedit.serve.messages import Conversation
from selfedit.serve.native import Own
from selfedit.serve.openai_shapes import (
    chat_chunk,
    chat_reply,
    completion_chunk,
    completion_reply,
    model_json,
    usage_of,
)
from selfedit.serve.openai_types import Chat, Completing, Drawing
from selfedit.serve.routes import Route
from selfedit.serve.service import Service
from selfedit.serve.streams import gathered, merged, sent

router = APIRouter(prefix="/v1", route_class=Route)
# Most new tokens where the client names no limit; fewer where the model has no room for them.
CHAT_TOKENS = 512
COMPLETION_TOKENS = 16


@router.get("/models")
def models(service: Own) -> dict[str, Any]:
    """Every name that answers: the bare model's, versions, documents."""
    return {"object": "list", "data": [model_json(voice) for voice in service.voices.list()]}


@router.get("/models/{name:path}")
def model(service: Own, name: str) -> dict[str, Any]:
    return model_json(service.voices.get(name))


@router.post("/chat/completions")
async def chat(service: Own, request: Request, body: Chat) -> Response:
    """The next turn of a conversation."""
    said = Conversation(turns=tuple(message.turn for message in body.messages))
    _ = said.prompt  # refused now, where nothing can be answered
    asks = await _asks(service, body, [said], body.most_tokens, CHAT_TOKENS, body.top)
    head = _head("chatcmpl", "chat.completion", body)
    if body.stream:
        lines = _stream(service, asks, head, body, chat_chunk)
        return await sent(request, lines)
    pieces = await gathered(request, [Answers(service).whole(ask) for ask in asks])
    return _json(chat_reply(head, pieces, usage_of(asks[:1], pieces)))


@router.post("/completions")
async def completions(service: Own, request: Request, body: Completing) -> Response:
    """Texts that continue the prompts as they stand."""
    prompts = body.prompts()
    if not prompts:
        raise InputError("the prompt is empty")
    said = [Conversation.continued(text, ids) for text, ids in prompts]
    asks = await _asks(service, body, said, body.max_tokens, COMPLETION_TOKENS, body.logprobs)
    head = _head("cmpl", "text_completion", body)
    if body.stream:
        lines = _stream(service, asks, head, body, completion_chunk)
        return await sent(request, lines)
    pieces = await gathered(request, [Answers(service).whole(ask) for ask in asks])
    return _json(completion_reply(head, pieces, usage_of(asks[:: body.n or 1], pieces)))


class LoadBody(BaseModel):
    """vLLM's; lora_path: a PEFT folder on the server's disk."""

    lora_name: str = Field(min_length=1, max_length=200)
    lora_path: str = Field(min_length=1, max_length=4096)


class UnloadBody(BaseModel):
    lora_name: str = Field(min_length=1, max_length=200)


@router.post("/load_lora_adapter", response_class=PlainTextResponse)
def load_lora_adapter(service: Own, body: LoadBody) -> PlainTextResponse:
    """Answer under a new name with a PEFT folder."""
    service.voices.load(body.lora_name, body.lora_path)
    return PlainTextResponse(f"Success: LoRA adapter '{body.lora_name}' added successfully.")


@router.post("/unload_lora_adapter", response_class=PlainTextResponse)
def unload_lora_adapter(service: Own, body: UnloadBody) -> PlainTextResponse:
    service.voices.unload(body.lora_name)
    return PlainTextResponse(f"Success: LoRA adapter '{body.lora_name}' removed successfully.")


async def _asks(
    service: Service,
    body: Drawing,
    said: Sequence[Conversation],
    limit: int | None,
    default: int,
    top: int | None,
) -> list[Ask]:
    """What the engine is asked: n texts for each prompt, each with a seed of its own. limit: of new
    tokens, None where the client names none."""
    voice = await run_in_threadpool(service.voices.get, body.model)
    seed = secrets.randbits(62) if body.seed is None else body.seed
    asks: list[Ask] = []
    for own in said:
        for _ in range(body.n or 1):
            wanted = Wanted(
                default if limit is None else limit,
                limit_named=limit is not None,
                temperature=body.temperature or 0.0,
                top_p=1.0 if body.top_p is None else body.top_p,
                seed=(seed + len(asks)) % 2**63,
                stops=body.stops,
                top=top,
            )
            asks.append(await Answers(service).ask(voice, own, wanted))
    return asks


def _head(prefix: str, kind: str, body: Drawing) -> dict[str, Any]:
    return {
        "id": f"{prefix}-{secrets.token_hex(12)}",
        "object": kind,
        "created": int(time.time()),
        "model": body.model,
    }


async def _stream(
    service: Service, asks: Sequence[Ask], head: dict[str, Any], body: Drawing, chunk: Any
) -> AsyncIterator[dict[str, Any]]:
    """Chunks of all texts as they come, then their usage, if that was asked for."""
    answers = Answers(service)
    whole: list[list[Piece]] = [[] for _ in asks]
    offsets = [0] * len(asks)
    async for n, piece in merged([answers.pieces(ask) for ask in asks]):
        for one in chunk(head, n, piece, first=not whole[n], offset=offsets[n]):
            yield {**one, "usage": None} if body.usage_wanted else one
        offsets[n] += sum(len(token.text) for token in piece.tokens)
        whole[n].append(piece)
    if body.usage_wanted:
        pieces = [piece for own in whole for piece in own]
        prompts = asks[:1] if isinstance(body, Chat) else asks[:: body.n or 1]
        yield {**chunk(head, 0, None, first=False, offset=0)[0], "usage": usage_of(prompts, pieces)}


def _json(value: dict[str, Any]) -> Response:
    return Response(json.dumps(value), media_type="application/json")
