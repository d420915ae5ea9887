"""Requests to a vLLM server: bounded in time and size, cut from outside, sent again if cut off."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from selfedit.endpoints.connection import LARGEST_REPLY
from selfedit.errors import EndpointError, InputError

COMPLETIONS = "/v1/completions"
RPC = "/collective_rpc"  # of every worker; there in development mode alone
_FAULTS = (http.client.BAD_REQUEST, http.client.UNPROCESSABLE_ENTITY)
_PAUSES = (0.1, 1.0)  # seconds before a request that was cut off is sent again


class NotThere(EndpointError):
    """The server has no such path or model."""


class Refused(EndpointError):
    """The server finds fault with a prompt or its settings: too long, for instance."""


class VllmConnection(http.client.HTTPConnection):
    """One that another thread can end for good. opened: its socket, which http.client forgets where the
    server closes it behind its reply."""

    opened: socket.socket | None = None
    stopped = False

    def connect(self) -> None:
        super().connect()
        self.opened = self.sock
        if self.stopped:  # meanwhile
            self.cut()

    def cut(self) -> None:
        self.stopped = True
        if self.opened is not None:
            with suppress(OSError):
                self.opened.shutdown(socket.SHUT_RDWR)


class VllmHttp:
    """url: without /v1. seconds: without a byte, at most. Raises InputError for an address that is
    none."""

    def __init__(self, url: str, seconds: float) -> None:
        self._host, self._port = _address(url)
        self.seconds = seconds

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self._port}"

    def connection(self) -> VllmConnection:
        return VllmConnection(self._host, self._port, timeout=self.seconds)

    def get(self, path: str) -> Any:
        """A JSON value."""
        try:
            return json.loads(self._whole(path, None))
        except (ValueError, RecursionError):
            raise EndpointError(f"what answers at {self.url} is no vLLM server: no JSON") from None

    def text(self, path: str) -> str:
        """What is there; "" where nothing is."""
        try:
            return self._whole(path, None).decode("utf-8", "replace")
        except NotThere:
            return ""

    def post(self, path: str, body: dict[str, Any]) -> bytes:
        """The reply as it is."""
        return self._whole(path, body)

    def _whole(self, path: str, body: dict[str, Any] | None) -> bytes:
        with closing(self.connection()) as connection, self.in_time(connection):
            return self.read(self.sent(connection, path, body))

    @contextmanager
    def in_time(self, connection: VllmConnection) -> Iterator[None]:
        """Within twice the seconds that the server may be silent. Raises EndpointError."""
        late = threading.Event()

        def cut() -> None:
            late.set()
            connection.cut()

        timer = threading.Timer(2 * self.seconds, cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        except (OSError, http.client.HTTPException, EndpointError) as error:
            if late.is_set():
                raise EndpointError(f"vLLM at {self.url} sends no whole reply") from None
            if isinstance(error, EndpointError):
                raise
            raise EndpointError(f"vLLM does not answer at {self.url}: {error}") from error
        finally:
            timer.cancel()
        if late.is_set():  # a body without a length just ends where it is cut
            raise EndpointError(f"vLLM at {self.url} sends no whole reply")

    def read(self, reply: http.client.HTTPResponse) -> bytes:
        """A body to its end. Raises EndpointError for one that is too large."""
        data = reply.read(LARGEST_REPLY + 1)
        if len(data) > LARGEST_REPLY:
            raise EndpointError(f"vLLM at {self.url} sends too large a reply")
        return data

    def sent(
        self, connection: VllmConnection, path: str, body: dict[str, Any] | None
    ) -> http.client.HTTPResponse:
        """The beginning of a reply. A request that is cut off before it is sent again: a server may
        refuse one of many at once. Raises EndpointError with what vLLM says."""
        data = None if body is None else json.dumps(body).encode()
        method = "GET" if body is None else "POST"
        for pause in (*_PAUSES, None):
            try:
                connection.request(method, path, data, {"content-type": "application/json"})
                return self._checked(path, connection.getresponse())
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                cut_off = isinstance(error, ConnectionResetError | BrokenPipeError)
                if pause is None or connection.stopped or not cut_off:
                    raise EndpointError(f"vLLM does not answer at {self.url}: {error}") from error
            time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _checked(self, path: str, reply: http.client.HTTPResponse) -> http.client.HTTPResponse:
        if reply.status == http.client.OK:
            return reply
        missing = reply.status == http.client.NOT_FOUND
        if missing and path == RPC:
            raise NotThere(f"vLLM at {self.url} cannot be given other weights")
        text = f"vLLM: {said(reply.read(4096))}"
        if missing and path.endswith("/load_lora_adapter"):
            text += " (start it with VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 and --enable-lora)"
        if missing:
            raise NotThere(text)
        raise Refused(text) if path == COMPLETIONS and reply.status in _FAULTS else EndpointError(text)


def _address(url: str) -> tuple[str, int]:
    """Host and port. Raises InputError, without what may be a password."""
    form = "use an address such as http://127.0.0.1:8000"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        raise InputError(f"--vllm-url: {form}") from None
    if "@" in parts.netloc:
        raise InputError(f"--vllm-url: no user and password are sent; {form}")
    if parts.scheme != "http" or not host:
        raise InputError(f"--vllm-url {url}: {form}")
    return host, port


def said(data: bytes) -> str:
    """The message of an error."""
    try:
        error = json.loads(data)["error"]
        return str(error["message"])[:300]
    except (ValueError, LookupError, TypeError, RecursionError):
        return data.decode("utf-8", "replace")[:300]
