"""Endpoints that drip, flood, lead elsewhere or never answer: bounded, the key nowhere else."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from selfedit.config import EndpointSettings, JudgeSettings, SamplingSettings
from selfedit.endpoints import connection
from selfedit.endpoints.judge import Judge
from selfedit.endpoints.vllm import VllmServer
from selfedit.endpoints.writer import EndpointWriter
from selfedit.errors import EndpointError, InputError, JudgeError
from selfedit.store import Store
from selfedit.types import Prompt, Query

JUDGE, WRITER, OPENAI = "sk-judge-5c0a81d9", "sk-writer-77aa10bb", "sk-openai-0c2f9e44"
Talk = Callable[[socket.socket], None]
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


class Raw:
    """A server that does with each connection what it is told, once it has read a request."""

    def __init__(self, talk: Talk) -> None:
        self.talk, self.requests = talk, list[str]()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                threading.Thread(target=self._one, args=[peer], daemon=True).start()

    def _one(self, peer: socket.socket) -> None:
        with suppress(OSError), peer:
            while request := self.read(peer):
                self.requests.append(request)
                self.talk(peer)

    @staticmethod
    def read(peer: socket.socket) -> str:
        got = b""
        while b"\r\n\r\n" not in got:
            if not (piece := peer.recv(65536)):
                return ""
            got += piece
        head, _, body = got.partition(b"\r\n\r\n")
        size = next(
            (int(x.split(b":")[1]) for x in head.split(b"\r\n") if x.startswith(b"Content-L")), 0
        )
        while len(body) < size:
            body += peer.recv(65536)
        return (head + b"\r\n\r\n" + body).decode()

    def close(self) -> None:
        self._listener.close()


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in os.environ if n.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OPENAI_API_KEY", OPENAI)
    monkeypatch.setenv("SELFEDIT_JUDGE_API_KEY", JUDGE)
    monkeypatch.setenv("SELFEDIT_WRITER_API_KEY", WRITER)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-secret")


@pytest.fixture
def serve() -> Iterator[Callable[[Talk], Raw]]:
    servers: list[Raw] = []

    def start(talk: Talk) -> Raw:
        servers.append(Raw(talk))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def completion(text: str) -> bytes:
    body = json.dumps({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}).encode()
    return OK + b"Content-Length: %d\r\n\r\n" % len(body) + body


def judge(server: Raw, **settings: Any) -> Judge:
    values = {"base_url": server.url, "max_retries": 0, "timeout": 60, **settings}
    return Judge(JudgeSettings(**values), sleep=lambda _: None)


def drip(beginning: bytes, piece: bytes) -> Talk:
    def talk(peer: socket.socket) -> None:
        peer.sendall(beginning)
        while True:
            peer.sendall(piece)
            time.sleep(0.02)

    return talk


DRIPS = {
    "status": drip(b"", b"H"),
    "headers": drip(OK, b"X-A: 1"),
    "continue": drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": drip(OK + b"Content-Length: 100000\r\n\r\n", b" "),
    "body to the end": drip(OK + b"Connection: close\r\n\r\n", b" "),
    "chunks": drip(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
}


@pytest.mark.parametrize("talk", DRIPS.values(), ids=DRIPS)
def test_a_reply_that_drips_ends_at_the_deadline(serve, talk):
    server = serve(talk)
    began = time.monotonic()
    with pytest.raises(JudgeError, match=r"no whole reply within 0\.3 s"):
        judge(server, deadline=0.3)("q", ["g"], "a")
    assert time.monotonic() - began < 30


def flood(head: bytes) -> Talk:
    def talk(peer: socket.socket) -> None:
        peer.sendall(OK + head + b"\r\n")
        while True:
            peer.sendall(b" " * 65536)

    return talk


@pytest.mark.parametrize("head", [b"", b"Content-Length: 3000000000\r\n"])
def test_gigabytes_are_not_read(serve, monkeypatch, head):
    monkeypatch.setattr(connection, "LARGEST_REPLY", 2**20)
    server = serve(flood(head))
    with pytest.raises(JudgeError, match="more than 1 MiB"):
        judge(server, max_retries=5)("q", ["g"], "a")
    assert len(server.requests) == 1, "nobody asks for that twice"


def test_a_compressed_reply_is_no_bomb(serve):
    head = OK + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"
    with pytest.raises(JudgeError, match="compressed"):
        judge(serve(lambda peer: peer.sendall(head)))("q", ["g"], "a")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_takes_nothing_elsewhere(serve, status):
    other = serve(lambda peer: peer.sendall(completion("yes")))
    head = f"HTTP/1.1 {status} X\r\nLocation: {other.url}/chat/completions\r\nContent-Length: 0\r\n\r\n"
    with pytest.raises(JudgeError, match=f"{status}.*another address"):
        judge(serve(lambda peer: peer.sendall(head.encode())))("q", ["g"], "a")
    assert not other.requests


def test_each_key_goes_where_it_was_meant(serve):
    server = serve(lambda peer: peer.sendall(completion("yes")))
    judge(server)("q", ["g"], "a")
    EndpointWriter(EndpointSettings(base_url=server.url)).write([Prompt("p")], SamplingSettings(), [0])
    sent = "\n".join(server.requests)
    assert [JUDGE in request for request in server.requests] == [True, False]
    assert [WRITER in request for request in server.requests] == [False, True]
    assert OPENAI not in sent
    assert "org-secret" not in sent


@pytest.mark.parametrize(
    ("url", "variable"),
    [
        ("https://api.openai.com/v1", "OPENAI_API_KEY"),
        ("https://eu.api.openai.com/v1", "OPENAI_API_KEY"),
        ("http://api.openai.com/v1", "SELFEDIT_JUDGE_API_KEY"),
        ("https://api.openai.com.example/v1", "SELFEDIT_JUDGE_API_KEY"),
        ("https://notapi.openai.com/v1", "SELFEDIT_JUDGE_API_KEY"),
        ("https://localhost:8000/v1", "SELFEDIT_JUDGE_API_KEY"),
    ],
)
def test_openais_key_is_for_openai(url, variable):
    assert JudgeSettings(base_url=url).key_variable == variable
    assert JudgeSettings(base_url=url, api_key_env="MINE").key_variable == "MINE"


def test_what_echoes_the_key_is_kept_without_it(serve, tmp_path):
    server = serve(lambda peer: peer.sendall(completion(f"Statement one. Key: {WRITER}.")))
    with Store(tmp_path / "store.db") as store:
        writer = EndpointWriter(EndpointSettings(base_url=server.url), store)
        (text,) = writer.write([Prompt("p")], SamplingSettings(), [0])
    assert text == "Statement one. Key: [key]."
    for path in tmp_path.iterdir():
        assert WRITER.encode() not in path.read_bytes()


def test_ctrl_c_does_not_wait_for_who_never_answers(serve):
    reached, over, gave_up = threading.Event(), threading.Event(), threading.Event()

    def talk(peer: socket.socket) -> None:
        reached.set()
        if not over.wait(60):
            gave_up.set()

    server = serve(talk)

    def interrupt() -> None:
        assert reached.wait(60)
        signal.raise_signal(signal.SIGINT)

    # A shell may have started the tests with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=interrupt, daemon=True).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            judge(server, timeout=120).grade_many(
                [Query(f"q{n}", ("g",)) for n in range(20)], ["a"] * 20
            )
    finally:
        signal.signal(signal.SIGINT, before)
        over.set()
    assert not gave_up.is_set()


@pytest.mark.parametrize(
    ("talk", "said"),
    [
        (drip(OK + b"Content-Length: 999\r\n\r\n", b" "), "no whole reply"),
        (drip(b"HTTP/1.1 200 OK\r\nX-", b"y"), "no whole reply"),
        (flood(OK + b"\r\n"), "too large"),
        (lambda peer: peer.sendall(OK + b"Content-Length: 4\r\n\r\nnull"), "lists no models"),
        (lambda peer: peer.sendall(OK + b"Content-Length: 11\r\n\r\n" + b'{"data":[1]}'), "no JSON"),
        (lambda peer: peer.sendall(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"), "vLLM: "),
        (lambda peer: peer.close(), "does not answer"),
    ],
)
def test_a_vllm_server_that_is_none(serve, monkeypatch, talk, said):
    monkeypatch.setattr("selfedit.endpoints.vllm_http.LARGEST_REPLY", 2**20)
    monkeypatch.setattr("selfedit.endpoints.vllm_http._PAUSES", (0.0, 0.0))
    with pytest.raises(EndpointError, match=said):
        VllmServer(serve(talk).url.removesuffix("/v1"), seconds=0.5)


def test_an_address_of_vllm_that_is_none():
    for url in ("http://u:secret@h", "https://u:secret@h", "http://h:secret", "http://[secret", "x"):
        with pytest.raises(InputError, match="use an address such as") as caught:
            VllmServer(url)
        assert "secret" not in str(caught.value)


def test_a_connection_that_was_closed_meanwhile_is_opened_again(serve):
    served: list[int] = []

    def talk(peer: socket.socket) -> None:
        served.append(1)
        peer.sendall(completion("yes"))
        if len(served) == 1:
            peer.shutdown(socket.SHUT_RDWR)

    asked = judge(serve(talk), concurrency=1)
    queries = [Query(f"q{n}", ("g",)) for n in range(3)]
    assert asked.grade_many(queries, ["a"] * 3) == [True] * 3


def test_through_a_proxy(serve, monkeypatch):
    proxy = serve(lambda peer: peer.sendall(completion("yes")))
    monkeypatch.setenv(
        "http_proxy", proxy.url.replace("http://", "http://me:word@").removesuffix("/v1")
    )
    settings = JudgeSettings(base_url="http://judge.invalid:8000/v1", max_retries=0)
    assert Judge(settings)("q", ["g"], "a")
    (request,) = proxy.requests
    assert request.startswith("POST http://judge.invalid:8000/v1/chat/completions HTTP/1.1")
    assert "Proxy-Authorization: Basic bWU6d29yZA==" in request
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1")
    with pytest.raises(EndpointError, match="proxies"):
        Judge(settings).check()


def test_an_address_with_a_port_that_cannot_be():
    with pytest.raises(ValueError, match="port"):
        JudgeSettings(base_url="http://localhost:99999/v1")
