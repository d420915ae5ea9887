"""What stands before every request: the key, the size and the time of its body, what its answer's
headers forbid a browser, and a count."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.exceptions import HTTPException

from selfedit.serve.metrics import Metrics
from selfedit.serve.settings import ServeSettings, is_loopback

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# Served without a key: whether it lives, and the page itself, which holds nothing of the library.
_OPEN = ("/health", "/", "/favicon.ico")
_OPEN_FOLDER = "/page/"
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


class Refused(HTTPException):
    """The request may not go on. The connection is closed behind the answer, as its body was not
    read."""

    def __init__(self, status: int, message: str) -> None:
        headers = {"connection": "close"}
        if status == 401:
            headers["www-authenticate"] = "Bearer"
        super().__init__(status, message, headers)


class Guard:
    """ASGI middleware. It reads no body itself: limits hold while the application reads."""

    def __init__(self, app: App, settings: ServeSettings, metrics: Metrics) -> None:
        self.app, self.settings, self.metrics = app, settings, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, begun = time.monotonic(), False
        status = 500

        async def answer(message: MutableMapping[str, Any]) -> None:
            nonlocal begun, status
            if message["type"] == "http.response.start":
                begun, status = True, message["status"]
                given = {name.lower() for name, _ in message["headers"]}
                new = [(name, value) for name, value in _HEADERS if name not in given]
                message["headers"] = [*message["headers"], *new]
            await send(message)

        try:
            self._check(scope)
            await self.app(scope, self._limited(scope, receive), answer)
        except Refused as refused:
            if begun:
                raise
            await refuse(answer, refused)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.requests.labels(route, str(status)).inc()
            self.metrics.seconds.labels(route).observe(time.monotonic() - started)

    def _check(self, scope: Scope) -> None:
        headers = {name.lower(): value for name, value in scope["headers"]}
        # A page of another site that a browser on this machine has open may name this address under
        # its own name (DNS rebinding), or send it a form.
        host = headers.get(b"host", b"").decode("latin-1")
        if is_loopback(self.settings.host) and host and not is_loopback(_without_port(host)):
            raise Refused(403, "this server answers to localhost alone")
        origin = headers.get(b"origin", b"").decode("latin-1")
        own = headers.get(b"host", b"").decode("latin-1")
        if origin and origin.partition("://")[2] != own:
            raise Refused(403, "requests from other sites' pages are not answered")
        path = scope["path"]
        if self.settings.api_key is None or path in _OPEN or path.startswith(_OPEN_FOLDER):
            return
        given = headers.get(b"authorization", b"").decode("latin-1")
        kind, _, key = given.partition(" ")
        right = hmac.compare_digest(key.strip().encode(), self.settings.api_key.encode())
        if kind.lower() != "bearer" or not right:
            raise Refused(401, "a valid API key is needed: Authorization: Bearer KEY")

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        """The body, as long as it is not too big and not too slow."""
        most, seen, whole = self.settings.max_body, 0, False
        end = time.monotonic() + self.settings.body_seconds
        headers = {name.lower(): value for name, value in scope["headers"]}
        too_big = f"the request's body is larger than {most} bytes"
        said = headers.get(b"content-length", b"0")
        if said.isdigit() and int(said) > most:
            raise Refused(413, too_big)

        async def limited() -> MutableMapping[str, Any]:
            nonlocal seen, whole
            if whole:  # what comes now is that the client has gone
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(0.0, end - time.monotonic()))
            except TimeoutError:
                raise Refused(408, "the request's body did not arrive in time") from None
            seen += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if seen > most:
                raise Refused(413, too_big)
            return message

        return limited


def _without_port(host: str) -> str:
    if host.startswith("["):  # an IPv6 address
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


async def refuse(send: Send, refused: Refused) -> None:
    """The answer, in OpenAI's shape."""
    body = json.dumps(error_body(refused.status_code, str(refused.detail))).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *((name.encode(), value.encode()) for name, value in (refused.headers or {}).items()),
    ]
    await send({"type": "http.response.start", "status": refused.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": body})


_KINDS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


def error_body(
    status: int, message: str, *, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """An error as OpenAI's clients read it."""
    kind = _KINDS.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
