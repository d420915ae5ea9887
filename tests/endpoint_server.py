"""A small OpenAI-compatible server on this machine that also misbehaves, as it is told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reply:
    """What the server does with a request. raw: the body; None: a completion with `content`."""

    content: str | None = "yes"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: str | None = None
    how: str = "whole"  # or "cut" (the connection closes mid-reply), "hang"
    seconds: float = 0.0
    finish: str = "stop"

    def body(self) -> bytes:
        if self.raw is not None:
            return self.raw.encode()
        message = {"role": "assistant", "content": self.content}
        choice = {"index": 0, "message": message, "finish_reason": self.finish}
        return json.dumps({"id": "x", "object": "chat.completion", "choices": [choice]}).encode()


def error(
    status: int, message: str = "no", headers: dict[str, str] | None = None, **more: Any
) -> Reply:
    return Reply(
        status=status,
        headers=headers or {},
        raw=json.dumps({"error": {"message": message, **more}}),
    )


class EndpointServer:
    """`answer(n, prompt)` gives the reply to the n-th request, from 0. requests: what was sent."""

    def __init__(self, answer: Callable[[int, str], Reply]) -> None:
        self.answer = answer
        self.requests: list[dict[str, Any]] = []
        self.authorisations: list[str | None] = []
        self.busiest = self._busy = 0
        self._lock, self._closing = threading.Lock(), threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer._serve(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self._thread.start()

    def received(self, number: int) -> None:
        """Wait until so many requests are here: a client that gives up may be faster than we are."""
        end = time.monotonic() + 60
        while len(self.requests) < number and time.monotonic() < end:
            time.sleep(0.01)

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        sent = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        with self._lock:
            number = len(self.requests)
            self.requests.append(sent)
            self.authorisations.append(handler.headers["Authorization"])
            self._busy += 1
            self.busiest = max(self.busiest, self._busy)
        reply = self.answer(number, sent["messages"][0]["content"])
        time.sleep(reply.seconds)
        with self._lock:
            self._busy -= 1
        if reply.how == "hang":
            self._closing.wait(10)
            handler.close_connection = True
            return
        body = reply.body()
        handler.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: len(body) // 2] if reply.how == "cut" else body)
        handler.close_connection = True
