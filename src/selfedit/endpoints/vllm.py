"""A vLLM server that speaks OpenAI's protocol: adapters by their folders, texts by token ids.

It has to serve with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=1, and to see the folders of
adapters under the same paths as this process. With VLLM_SERVER_DEV_MODE=1 it can be given other weights
of the same shape while it runs; it then belongs to one command at a time.
"""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from selfedit.config import stable_hash
from selfedit.endpoints.connection import LARGEST_REPLY
from selfedit.errors import EndpointError, InputError

_SECONDS = 600.0  # without a byte: a whole reply comes at once, and others may be before it
_MOST_LOADED = 16  # adapters that vLLM is to know at a time
_RPC = "/collective_rpc"  # of every worker; there in development mode alone


class NotThere(EndpointError):
    """The server has no such path."""


class VllmServer:
    """url: without /v1. base: vLLM's name of the bare model; None: the first that it lists. root: what
    it loaded that model from, a folder or a hub id. seconds: without a byte, at most.

    Several threads may ask. Raises InputError for an address that is none, EndpointError where nobody
    answers.
    """

    def __init__(self, url: str, *, base: str | None = None, seconds: float = _SECONDS) -> None:
        self._host, self._port = _address(url)
        self._seconds = seconds
        listed = self.get("/v1/models")
        models = listed.get("data") if isinstance(listed, dict) else None
        if not isinstance(models, list) or not all(isinstance(m, dict) and "id" in m for m in models):
            raise EndpointError(f"what answers at {self.url} is no vLLM server: it lists no models")
        own = [one for one in models if one.get("parent") is None and base in (None, one["id"])]
        if not own:
            raise InputError(f"vLLM serves no model {base}")
        self.base, self.root = str(own[0]["id"]), str(own[0].get("root") or own[0]["id"])
        self._held: str | None = None  # what this process had it load; None: nothing yet
        self._loaded: OrderedDict[str, Path] = OrderedDict()
        self._asked: dict[str, int] = {}  # texts that are being written by each
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self._port}"

    # -- weights --

    @cached_property
    def reloads(self) -> bool:
        """Whether it can be given other weights. What it holds is not known before `hold`: an earlier
        command may have given it some, and it does not tell."""
        try:
            self.post(_RPC, {"method": "check_health"})
        except NotThere:
            return False
        return True

    def hold(self, source: str) -> None:
        """Have it load the weights of a folder or hub id, unless this process did so last. No text may
        be asked for meanwhile. Raises EndpointError."""
        with self._lock:
            if self._held == source:
                return
            self._held = None  # until it is done
            for name in list(self._loaded):
                self._unload(name)
            self.post(_RPC, {"method": "reload_weights", "kwargs": {"weights_path": source}})
            if not json.loads(self.post("/reset_prefix_cache", {}))["success"]:
                raise EndpointError(
                    f"vLLM at {self.url} is writing for somebody else, and cannot be given other "
                    "weights: with VLLM_SERVER_DEV_MODE=1 it belongs to one command at a time"
                )
            self._held = source

    # -- adapters --

    @contextmanager
    def speaker(self, folder: Path | None, key: str = "") -> Iterator[str]:
        """The name under which vLLM knows an adapter, which it is given if it does not, for as long as
        a text is written; None: the bare model. key: tells the weights in a folder from others."""
        name = self._named(folder, key)
        try:
            yield name
        finally:
            with self._lock:
                self._asked[name] -= 1

    def forget(self, folder: Path) -> None:
        """vLLM need not know a folder's adapter any more."""
        with self._lock:
            for name in [name for name, own in self._loaded.items() if own == folder]:
                self._unload(name)

    def _named(self, folder: Path | None, key: str) -> str:
        with self._lock:  # one at a time: two asks for a new adapter load it once
            if folder is None:
                name = self.base
            else:
                name = f"selfedit-{stable_hash([str(folder), key])[:16]}"
                if name not in self._loaded:
                    self._make_room()
                    self.post("/v1/load_lora_adapter", {"lora_name": name, "lora_path": str(folder)})
                    self._loaded[name] = folder
                self._loaded.move_to_end(name)
            self._asked[name] = self._asked.get(name, 0) + 1
            return name

    def _make_room(self) -> None:
        for name in list(self._loaded):
            if len(self._loaded) < _MOST_LOADED:
                return
            if not self._asked.get(name):
                self._unload(name)

    def _unload(self, name: str) -> None:
        self.post("/v1/unload_lora_adapter", {"lora_name": name})
        del self._loaded[name]

    # -- http --

    def get(self, path: str) -> Any:
        """A JSON value."""
        with closing(self.connection()) as connection:
            data = self.whole(connection, path, None)
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            raise EndpointError(f"what answers at {self.url} is no vLLM server: no JSON") from None

    def post(self, path: str, body: dict[str, Any]) -> bytes:
        with closing(self.connection()) as connection:
            return self.whole(connection, path, body)

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._host, self._port, timeout=self._seconds)

    def whole(
        self, connection: http.client.HTTPConnection, path: str, body: dict[str, Any] | None
    ) -> bytes:
        """A reply to its end, bounded in size, and in time to twice the seconds that it may be silent.
        Raises EndpointError."""
        late = threading.Event()

        def cut(opened: socket.socket) -> None:
            late.set()
            with suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)

        timer = None
        try:
            connection.connect()
            timer = threading.Timer(2 * self._seconds, cut, [connection.sock])
            timer.daemon = True
            timer.start()
            data = self.sent(connection, path, body).read(LARGEST_REPLY + 1)
        except (OSError, http.client.HTTPException, EndpointError) as error:
            if late.is_set():
                raise EndpointError(f"vLLM at {self.url} sends no whole reply") from None
            if isinstance(error, EndpointError):
                raise
            raise EndpointError(f"vLLM does not answer at {self.url}: {error}") from error
        finally:
            if timer is not None:
                timer.cancel()
        if late.is_set() or len(data) > LARGEST_REPLY:
            raise EndpointError(f"vLLM at {self.url} sends no whole reply, or too large a one")
        return data

    def sent(
        self, connection: http.client.HTTPConnection, path: str, body: dict[str, Any] | None
    ) -> http.client.HTTPResponse:
        """The beginning of a reply. Raises EndpointError with what vLLM says."""
        data = None if body is None else json.dumps(body).encode()
        method = "GET" if body is None else "POST"
        try:
            connection.request(method, path, data, {"content-type": "application/json"})
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise EndpointError(f"vLLM does not answer at {self.url}: {error}") from error
        if response.status == http.client.NOT_FOUND and path == _RPC:
            raise NotThere(f"vLLM at {self.url} cannot be given other weights")
        if response.status != http.client.OK:
            hint = ""
            if path.endswith("load_lora_adapter") and response.status == http.client.NOT_FOUND:
                hint = " (start it with VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 and --enable-lora)"
            raise EndpointError(f"vLLM: {said(response.read(4096))}{hint}")
        return response


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
