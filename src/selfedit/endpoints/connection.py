"""One HTTP connection to an endpoint: bounded in time and size, never led elsewhere, cut from outside.

The standard library's client has what is needed and nothing that would have to be switched off: it
follows no redirect, reads no credentials or organisation from the environment, and its socket can be
shut down by another thread, which a deadline and Ctrl-C need.
"""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

LARGEST_REPLY = 16 * 2**20  # bytes of a body; a reply of 100,000 tokens has about half a million
_PIECE = 64 * 1024


class Broken(Exception):
    """No whole response arrived. The request may be sent again."""


class TooLarge(Broken):
    """More than `LARGEST_REPLY` bytes."""


@dataclass(frozen=True, slots=True)
class Response:
    """headers: with lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Connection:
    """Posts to one address, one request at a time; kept open in between.

    timeout: seconds without a byte. deadline: seconds that one request may take in all.
    Raises ValueError for proxy or certificate variables of the environment that cannot be used.
    """

    def __init__(self, base_url: str, *, timeout: float, deadline: float) -> None:
        self.deadline = deadline
        self._http, self._target, self._extra = _prepared(base_url, min(timeout, deadline))
        # Our own reference: http.client forgets a socket that the server will close after its reply.
        self._socket: socket.socket | None = None
        self._overdue = self._stopped = False

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Response:
        """The response to a body of JSON, whatever its status. Raises Broken."""
        self._overdue = False
        began = time.monotonic()
        timer = threading.Timer(self.deadline, self._expire)
        timer.daemon = True
        timer.start()
        try:
            response = self._post(path, body, headers)
            if self._overdue or self._stopped:  # a body without a length just ends where it is cut
                raise Broken("stopped")
            return response
        except (OSError, http.client.HTTPException, ValueError, Broken) as error:
            self.close()
            if self._overdue or (self.deadline <= time.monotonic() - began):
                raise Broken(f"no whole reply within {self.deadline:g} s") from None
            if isinstance(error, Broken):
                raise
            raise Broken(_said(error)) from None
        finally:
            timer.cancel()

    def cut(self) -> None:
        """End what is on its way, for good; for other threads."""
        self._stopped = True
        self._shut_down()

    def close(self) -> None:
        with suppress(OSError):
            self._http.close()

    def _expire(self) -> None:
        self._overdue = True
        self._shut_down()

    def _shut_down(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # the plain socket's way: a TLS socket's would first say goodbye
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Response:
        sent = {**headers, **self._extra, "Content-Type": "application/json"}
        kept_open = self._http.sock is not None
        try:
            response = self._response(path, body, sent)
        except (ConnectionError, http.client.BadStatusLine):
            if not kept_open or self._overdue or self._stopped:
                raise
            self.close()  # the server had closed it meanwhile
            response = self._response(path, body, sent)
        found = {name.lower(): value for name, value in response.getheaders()}
        if found.get("content-encoding", "identity").lower() not in ("", "identity"):
            raise Broken("a compressed reply, which was not asked for")
        return Response(response.status, found, self._body(response))

    def _response(self, path: str, body: bytes, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        if self._http.sock is None:
            self._http.connect()
            self._socket = self._http.sock
        if self._overdue or self._stopped:  # while it was being connected
            raise Broken("stopped")
        self._http.request("POST", f"{self._target}{path}", body, dict(headers))
        return self._http.getresponse()

    def _body(self, response: http.client.HTTPResponse) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while piece := response.read(_PIECE):
            pieces.append(piece)
            size += len(piece)
            if size > LARGEST_REPLY:
                raise TooLarge(f"a reply of more than {LARGEST_REPLY // 2**20} MiB")
        if response.length:  # what the header promised and did not come
            raise Broken("its reply ended in the middle")
        return b"".join(pieces)


def _prepared(base_url: str, timeout: float) -> tuple[http.client.HTTPConnection, str, dict[str, str]]:
    """A connection that is not open yet, what stands before each path, and a proxy's headers."""
    parts = urlsplit(base_url)
    host, port = parts.hostname or "", parts.port
    proxy = None if proxy_bypass(parts.netloc) else _proxy(parts.scheme)
    if parts.scheme == "http":
        if proxy is None:
            return http.client.HTTPConnection(host, port, timeout=timeout), parts.path, {}
        address, extra = proxy
        through = http.client.HTTPConnection(*address, timeout=timeout)
        return through, f"http://{parts.netloc}{parts.path}", extra
    context = _certificates()
    if proxy is None:
        direct = http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
        return direct, parts.path, {}
    address, extra = proxy
    tunnel = http.client.HTTPSConnection(*address, timeout=timeout, context=context)
    tunnel.set_tunnel(host, port, extra)
    return tunnel, parts.path, {}


def _certificates() -> ssl.SSLContext:
    """The system's certificates, or those of certifi (huggingface-hub needs it) if there are none."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile is None and paths.capath is None:
        with suppress(ImportError):
            import certifi

            return ssl.create_default_context(cafile=certifi.where())
    return ssl.create_default_context()


def _proxy(scheme: str) -> tuple[tuple[str, int], dict[str, str]] | None:
    """Host, port and headers of the environment's proxy (HTTPS_PROXY and the like)."""
    proxies = getproxies()
    address = proxies.get(scheme) or proxies.get("all")
    if not address:
        return None
    parts = urlsplit(address if "://" in address else f"http://{address}")
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(
            f"only proxies with an address such as http://host:port are supported ({scheme})"
        )
    extra = {}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        extra["Proxy-Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return (parts.hostname, parts.port or 80), extra


def _said(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "Request timed out"
    text = str(error) or type(error).__name__
    return f"Connection error: {text}"
