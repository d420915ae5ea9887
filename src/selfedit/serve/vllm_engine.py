"""The engine of another server: texts are written by vLLM, which is given the adapters that they need.

vLLM has to serve the same weights, with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=1, and to
see the library's folder under the same path. Prompts go there as token ids, so that the same is asked.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

from selfedit.endpoints.connection import LARGEST_REPLY
from selfedit.endpoints.vllm import VllmServer
from selfedit.endpoints.vllm_http import said
from selfedit.errors import EndpointError, InputError
from selfedit.serve.engine import Ask, Busy, Piece, Ticket, Token
from selfedit.serve.text_stream import Shown

_SECONDS = 120.0  # without a byte


class VllmEngine:
    """Implements `engine.Engine`. url: vLLM's, without /v1. base: its name of the bare model; None: the
    first that it lists. Raises InputError for an address that is none, EndpointError where nobody
    answers."""

    def __init__(
        self, url: str, *, base: str | None = None, rows: int = 32, most_waiting: int = 512
    ) -> None:
        self._server = VllmServer(url, base=base, seconds=_SECONDS)
        self._most_waiting, self._rows = most_waiting, rows
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(rows, thread_name_prefix="selfedit-vllm")
        self._running = self._waiting = 0

    def submit(self, ask: Ask, tell: Callable[[Piece], None]) -> Ticket:
        if ask.ids is None:
            raise InputError("a model without tokens cannot be asked through vLLM")
        if ask.speaker.adapters is not None and ask.speaker.folder is None:
            raise InputError("vLLM takes no sums of adapters: use --engine own for this library")
        ticket = Ticket(ask, tell)
        with self._lock:
            if self._waiting >= self._most_waiting:
                raise Busy(f"{self._waiting} requests wait already: try again later")
            self._waiting += 1
        self._pool.submit(self._write, ticket)
        return ticket

    @property
    def load(self) -> tuple[int, int]:
        return self._running, self._waiting

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._server.close()

    def _write(self, ticket: Ticket) -> None:
        with self._lock:
            self._waiting -= 1
            self._running += 1
        try:
            if not ticket.cancelled.is_set():
                for piece in self._pieces(ticket):
                    ticket.tell(piece)
        except EndpointError as error:
            ticket.tell(Piece(error=error))
        except Exception as error:
            what = type(error).__name__
            ticket.tell(Piece(error=EndpointError(f"vLLM's reply cannot be read ({what})")))
        finally:
            with self._lock:
                self._running -= 1

    # -- texts --

    def _pieces(self, ticket: Ticket) -> Iterator[Piece]:
        """The last one is told when vLLM has counted the tokens."""
        ask = ticket.ask
        shown, told, last = Shown(ask.stops, raw=ask.raw), 0, None
        for chunk in self._chunks(ticket):
            if chunk.get("usage") and last is not None:
                yield replace(last, num_tokens=chunk["usage"]["completion_tokens"] - told)
                return
            for choice in chunk["choices"] if last is None else ():
                text, stopped = shown.add(choice["text"])
                tokens = _tokens(choice.get("logprobs"), ask.top)
                finish = "stop" if stopped else choice.get("finish_reason")
                if finish is None:
                    told += 1
                    yield Piece(text, tokens, 1)
                    continue
                text += "" if stopped else shown.finish()
                last = Piece(text, tokens, 0, "length" if finish == "length" else "stop")
                if stopped:  # vLLM does not know of this end, and goes on: it is told by closing
                    yield replace(last, num_tokens=1)
                    return
        if last is None and not ticket.cancelled.is_set():
            raise EndpointError("vLLM ended its reply in the middle")
        if last is not None:
            yield last

    def _chunks(self, ticket: Ticket) -> Iterator[dict[str, Any]]:
        """A stream, until it ends or nobody reads it any more: closing it tells vLLM."""
        ask = ticket.ask
        with (
            closing(self._server.http.connection()) as connection,
            self._server.writing(connection, _body(ask), ask.speaker.folder, ask.speaker.key) as reply,
        ):
            for line in iter(partial(reply.readline, LARGEST_REPLY), b""):
                if ticket.cancelled.is_set():
                    return
                data = line.removeprefix(b"data: ").strip()
                if not line.startswith(b"data: ") or data == b"[DONE]":
                    continue
                chunk = json.loads(data)
                if "error" in chunk:
                    raise EndpointError(f"vLLM: {said(data)}")
                yield chunk


def _body(ask: Ask) -> dict[str, Any]:
    body: dict[str, Any] = {
        "prompt": list(ask.ids or ()),
        "max_tokens": ask.max_tokens,
        "temperature": ask.temperature,
        "top_p": ask.top_p,
        "seed": ask.seed,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if ask.stops and ask.raw:  # stripped texts are cut here: a first blank line is no end
        body["stop"] = list(ask.stops)
    if ask.top is not None:
        body["logprobs"] = ask.top
    return body


def _tokens(logprobs: dict[str, Any] | None, top: int | None) -> tuple[Token, ...]:
    if not logprobs or top is None:
        return ()
    likeliest = logprobs.get("top_logprobs") or [{}] * len(logprobs["tokens"])
    return tuple(
        Token(text, float(logprob), tuple(list((own or {}).items())[:top]))
        for text, logprob, own in zip(
            logprobs["tokens"], logprobs["token_logprobs"], likeliest, strict=True
        )
    )
