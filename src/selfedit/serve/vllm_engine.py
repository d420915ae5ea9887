"""The engine of another server: texts are written by vLLM, which is given the adapters that they need.

vLLM has to serve the same weights, with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=1, and to
see the library's folder under the same path. Prompts go there as token ids, so that the same is asked.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from selfedit.config import stable_hash
from selfedit.errors import EndpointError, InputError
from selfedit.serve.engine import Ask, Busy, Piece, Ticket, Token
from selfedit.serve.text_stream import Shown

_SECONDS = 120.0  # without a byte
_MOST_LOADED = 16  # adapters that vLLM is to know at a time


class VllmEngine:
    """Implements `engine.Engine`. url: vLLM's, without /v1. base: its name of the bare model; None: the
    first that it lists. Raises InputError for an address that is none, EndpointError where nobody
    answers."""

    def __init__(
        self, url: str, *, base: str | None = None, rows: int = 32, most_waiting: int = 512
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise InputError(f"--vllm-url {url}: use an address such as http://127.0.0.1:8000")
        self._host, self._port = parts.hostname, parts.port or 80
        self._most_waiting, self._rows = most_waiting, rows
        self.base = base or self._first_model()
        self._loaded: OrderedDict[str, Path] = OrderedDict()
        self._asked: dict[str, int] = {}  # texts that are being written by each
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

    def _write(self, ticket: Ticket) -> None:
        with self._lock:
            self._waiting -= 1
            self._running += 1
        name = self.base
        try:
            if not ticket.cancelled.is_set():
                name = self._name(ticket.ask)
                for piece in self._pieces(ticket, name):
                    ticket.tell(piece)
        except EndpointError as error:
            ticket.tell(Piece(error=error))
        except Exception as error:
            what = type(error).__name__
            ticket.tell(Piece(error=EndpointError(f"vLLM's reply cannot be read ({what})")))
        finally:
            with self._lock:
                self._running -= 1
                self._asked[name] = self._asked.get(name, 1) - 1

    # -- adapters --

    def _name(self, ask: Ask) -> str:
        """The name under which vLLM knows the ask's adapter, which it is given if it does not."""
        folder = ask.speaker.folder
        with self._lock:  # one at a time: two asks for a new adapter load it once
            if folder is None:
                name = self.base
            else:
                name = f"selfedit-{stable_hash([str(folder), ask.speaker.key])[:16]}"
                if name not in self._loaded:
                    self._make_room()
                    body = {"lora_name": name, "lora_path": str(folder)}
                    self._post("/v1/load_lora_adapter", body)
                    self._loaded[name] = folder
                self._loaded.move_to_end(name)
            self._asked[name] = self._asked.get(name, 0) + 1
            return name

    def _make_room(self) -> None:
        for name in list(self._loaded):
            if len(self._loaded) < _MOST_LOADED:
                return
            if not self._asked.get(name):
                self._post("/v1/unload_lora_adapter", {"lora_name": name})
                del self._loaded[name]

    # -- texts --

    def _pieces(self, ticket: Ticket, name: str) -> Iterator[Piece]:
        """The last one is told when vLLM has counted the tokens."""
        ask = ticket.ask
        shown, told, last = Shown(ask.stops, raw=ask.raw), 0, None
        for chunk in self._chunks(ticket, _body(ask, name)):
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

    def _chunks(self, ticket: Ticket, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """A stream, until it ends or nobody reads it any more: closing it tells vLLM."""
        with closing(self._connection()) as connection:
            response = self._sent(connection, "/v1/completions", body)
            for line in response:
                if ticket.cancelled.is_set():
                    return
                data = line.removeprefix(b"data: ").strip()
                if not line.startswith(b"data: ") or data == b"[DONE]":
                    continue
                chunk = json.loads(data)
                if "error" in chunk:
                    raise EndpointError(f"vLLM: {_said(data)}")
                yield chunk

    # -- http --

    def _first_model(self) -> str:
        with closing(self._connection()) as connection:
            listed = json.loads(self._sent(connection, "/v1/models", None).read())["data"]
        return next(str(one["id"]) for one in listed if one.get("parent") is None)

    def _post(self, path: str, body: dict[str, Any]) -> None:
        with closing(self._connection()) as connection:
            self._sent(connection, path, body).read()

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._host, self._port, timeout=_SECONDS)

    def _sent(
        self, connection: http.client.HTTPConnection, path: str, body: dict[str, Any] | None
    ) -> http.client.HTTPResponse:
        data = None if body is None else json.dumps(body).encode()
        method = "GET" if body is None else "POST"
        try:
            connection.request(method, path, data, {"content-type": "application/json"})
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise EndpointError(
                f"vLLM does not answer at http://{self._host}:{self._port}: {error}"
            ) from error
        if response.status != http.client.OK:
            hint = ""
            if path.endswith("load_lora_adapter") and response.status == http.client.NOT_FOUND:
                hint = " (start it with VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 and --enable-lora)"
            raise EndpointError(f"vLLM: {_said(response.read(4096))}{hint}")
        return response


def _body(ask: Ask, name: str) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": name,
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


def _said(data: bytes) -> str:
    """The message of an error."""
    try:
        error = json.loads(data)["error"]
        return str(error["message"])[:300]
    except (ValueError, LookupError, TypeError):
        return data.decode("utf-8", "replace")[:300]
