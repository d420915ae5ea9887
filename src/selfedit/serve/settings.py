"""How a server behaves, apart from its model and library."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from selfedit.errors import InputError


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """host, port: where it listens (port 0: a free one). api_key: needed by every request but
    /health and the page's own files; None: no key, which only loopback may have.

    max_body: bytes of a request, uploads included. max_rows: texts that are written together; more
    wait, at most max_waiting of them. max_tokens: most new tokens of one text. request_seconds: after
    which an answer is given up. body_seconds: in which a request's body has to arrive.
    adapter_folders: under which /v1/load_lora_adapter finds PEFT folders; none: it is off.
    learning_share: share of the time that a training takes while answers are being written. vllm_url:
    of a vLLM server that writes the answers; None: this process does.
    """

    host: str = "127.0.0.1"
    port: int = 8321
    api_key: str | None = field(default=None, repr=False)
    max_body: int = 64_000_000
    max_rows: int = 32
    max_waiting: int = 512
    max_tokens: int = 4096
    request_seconds: float = 600.0
    body_seconds: float = 60.0
    adapter_folders: tuple[Path, ...] = ()
    learning_share: float = 0.5
    vllm_url: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.learning_share <= 1:  # NaN is neither
            raise InputError(f"--learning-share {self.learning_share}: use a number from 0.05 to 1")
        if self.api_key is None and not is_loopback(self.host):
            raise InputError(
                f"--host {self.host} can be reached from other machines: give an API key with "
                "--api-key-file FILE (or in SELFEDIT_API_KEY), or listen on 127.0.0.1."
            )
        if self.api_key is not None and self.api_key != self.api_key.strip():  # no request can send it
            raise InputError("the API key begins or ends with blanks: take them away")
        if self.api_key is not None and len(self.api_key) < _SHORTEST_KEY:
            raise InputError(f"the API key is too short: it needs at least {_SHORTEST_KEY} characters")


_SHORTEST_KEY = 16


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on the host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
