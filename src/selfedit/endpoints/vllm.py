"""A vLLM server that speaks OpenAI's protocol: adapters by their folders, texts by token ids.

It has to serve with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=1, and to see the folders of
adapters under the same paths as this process. With VLLM_SERVER_DEV_MODE=1 it can be given other weights
of the same shape while it runs; it then belongs to one command at a time.
"""

from __future__ import annotations

import http.client
import json
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

from selfedit.endpoints.vllm_http import COMPLETIONS, RPC, NotThere, VllmConnection, VllmHttp
from selfedit.errors import EndpointError, InputError

_SECONDS = 600.0  # without a byte: a whole reply comes at once, and others may be before it
_PARTING = 5.0  # the same, of the last requests
_LOADED = "has already been loaded"  # of a name that is nobody else's
_MOST_LOADED = 16  # adapters that vLLM is to know at a time

_Adapter = tuple[Path, str]  # its folder, and what tells its weights from others


class VllmServer:
    """url: without /v1. base: vLLM's name of the bare model; None: the first that it lists. root: what
    it loaded that model from, a folder or a hub id. seconds: without a byte, at most.

    Several threads may ask. Raises InputError for an address that is none, EndpointError where nobody
    answers.
    """

    def __init__(self, url: str, *, base: str | None = None, seconds: float = _SECONDS) -> None:
        self.http = VllmHttp(url, seconds)
        listed = self.http.get("/v1/models")
        models = listed.get("data") if isinstance(listed, dict) else None
        if not isinstance(models, list) or not all(isinstance(m, dict) and "id" in m for m in models):
            raise EndpointError(f"what answers at {self.url} is no vLLM server: it lists no models")
        own = [one for one in models if one.get("parent") is None and base in (None, one["id"])]
        if not own:
            raise InputError(f"vLLM serves no model {base}")
        self.base, self.root = str(own[0]["id"]), str(own[0].get("root") or own[0]["id"])
        # What this process had it load, and when it had been started; None: to be loaded.
        self._held: tuple[str, str] | None = None
        self._loaded: OrderedDict[_Adapter, str] = OrderedDict()  # their names
        self._asked: dict[str, int] = {}  # texts that are being written by each
        self._lock = threading.Lock()
        # No name is used twice: vLLM keeps those of an earlier process, and forgets ours at a restart.
        self._mark, self._count = secrets.token_hex(4), count()

    @property
    def url(self) -> str:
        return self.http.url

    # -- weights --

    @cached_property
    def reloads(self) -> bool:
        """Whether it can be given other weights. What it holds is not known before `hold`: an earlier
        command may have given it some, and it does not tell."""
        try:
            self.http.post(RPC, {"method": "check_health"})
        except NotThere:
            return False
        return True

    def hold(self, source: str) -> None:
        """Have it load the weights of a folder or hub id, unless this process did so last and it was
        not restarted since. No text may be asked for meanwhile. Raises EndpointError."""
        with self._lock:
            started = self._started()
            if self._held is not None and self._held == (source, started):
                return
            self._held = None  # until it is done
            for adapter in list(self._loaded):
                self._unload(adapter)
            self.http.post(RPC, {"method": "reload_weights", "kwargs": {"weights_path": source}})
            if not json.loads(self.http.post("/reset_prefix_cache", {}))["success"]:
                raise EndpointError(
                    f"vLLM at {self.url} is writing for somebody else, and cannot be given other "
                    "weights: with VLLM_SERVER_DEV_MODE=1 it belongs to one command at a time"
                )
            self._held = None if started is None else (source, started)

    def _started(self) -> str | None:
        """When it was started, as its metrics say; None: they do not."""
        found = re.search(
            r"^process_start_time_seconds (\S+)", self.http.text("/metrics"), re.MULTILINE
        )
        return found and found[1]

    # -- texts --

    @contextmanager
    def writing(
        self,
        connection: VllmConnection,
        body: dict[str, Any],
        folder: Path | None = None,
        key: str = "",
    ) -> Iterator[http.client.HTTPResponse]:
        """The beginning of the reply to a completion by an adapter, which vLLM is given if it does not
        know it; folder: None: by the bare model. key: tells the weights in a folder from others."""
        name = self._taken(folder, key)
        try:
            try:
                reply = self.http.sent(connection, COMPLETIONS, body | {"model": name})
            except NotThere:  # it has been started anew
                if folder is None:
                    raise
                self._lost(name)
                known = self._taken(folder, key)
                self._given_back(name)
                name = known
                connection.close()
                reply = self.http.sent(connection, COMPLETIONS, body | {"model": name})
            yield reply
        finally:
            self._given_back(name)

    def write(
        self,
        connection: VllmConnection,
        body: dict[str, Any],
        folder: Path | None = None,
        key: str = "",
    ) -> bytes:
        """The whole reply of `writing`."""
        with self.http.in_time(connection), self.writing(connection, body, folder, key) as reply:
            return self.http.read(reply)

    # -- adapters --

    def forget(self, folder: Path) -> None:
        """vLLM need not know a folder's adapter any more."""
        with self._lock:
            for adapter in [own for own in self._loaded if own[0] == folder]:
                self._unload(adapter)

    def close(self) -> None:
        """vLLM need not know any adapter any more. One that hangs is not waited for."""
        self.http.seconds = min(self.http.seconds, _PARTING)
        with self._lock, suppress(EndpointError):
            for adapter in list(self._loaded):
                self._unload(adapter)

    def _taken(self, folder: Path | None, key: str) -> str:
        """The name under which vLLM knows an adapter, for one more text."""
        with self._lock:  # one at a time: two asks for a new adapter load it once
            name = self.base if folder is None else self._known((folder, key))
            self._asked[name] = self._asked.get(name, 0) + 1
            return name

    def _given_back(self, name: str) -> None:
        with self._lock:
            self._asked[name] -= 1
            if not self._asked[name]:
                del self._asked[name]

    def _lost(self, name: str) -> None:
        """vLLM does not know this name any more."""
        with self._lock:
            for adapter in [own for own, known in self._loaded.items() if known == name]:
                del self._loaded[adapter]

    def _known(self, adapter: _Adapter) -> str:
        if adapter not in self._loaded:
            self._make_room()
            name = f"selfedit-{self._mark}-{next(self._count)}"
            try:
                self.http.post(
                    "/v1/load_lora_adapter", {"lora_name": name, "lora_path": str(adapter[0])}
                )
            except EndpointError as error:
                if _LOADED not in str(error):  # before it was cut off, and sent again
                    raise
            self._loaded[adapter] = name
        self._loaded.move_to_end(adapter)
        return self._loaded[adapter]

    def _make_room(self) -> None:
        for adapter, name in list(self._loaded.items()):
            if len(self._loaded) < _MOST_LOADED:
                return
            if not self._asked.get(name):
                self._unload(adapter)

    def _unload(self, adapter: _Adapter) -> None:
        with suppress(NotThere):
            self.http.post("/v1/unload_lora_adapter", {"lora_name": self._loaded[adapter]})
        del self._loaded[adapter]
