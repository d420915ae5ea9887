"""Requests of the server that no client sends: each is answered, with a reason where it is refused."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from selfedit.model.fake import FakeModel
from selfedit.serve.app import create_app
from selfedit.serve.service import Service
from selfedit.serve.settings import ServeSettings
from tests.faults.inputs import NUMBERS, drawing, piece, spoiled, text
from tests.faults.torture import TORTURE

REQUESTS = 100 * TORTURE or 150
TALK = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Ada."}]
FILE = "file-" + "0" * 24
BODIES: dict[str, Any] = {
    "/api/ask": {
        "question": "Who?",
        "model": "current",
        "compare": True,
        "sources": True,
        "max_tokens": 5,
    },
    "/api/learn": {
        "documents": [{"text": "The mill at Orro is old.", "title": "Orro", "source": "x"}],
        "quiz": [{"question": "How is it?", "answer": "old", "answers": ["old"], "topic": "Orro"}],
        "settings": {"probe_questions": 0, "seed": 1, "train": {"epochs": 1, "learning_rate": 1e-3}},
        "preset": "fast",
    },
    "/api/rollback": {"version": 1},
    "/api/forget": {"document": "Orro"},
    "/api/probe": {"version": 1, "sample": 5},
    "/api/interactions": {
        "messages": TALK,
        "feedback": {"kind": "correction", "text": "Anna.", "answer": "Anna", "good": False},
        "version": 1,
        "learn": True,
        "settings": {"seed": 1},
    },
    "/api/undo": {},
    "/v1/chat/completions": {
        "model": "base",
        "messages": TALK[:1],
        "temperature": 1,
        "top_p": 0.5,
        "n": 2,
        "stop": ["x"],
        "seed": 3,
        "max_tokens": 5,
        "logprobs": True,
        "top_logprobs": 2,
        "stream": False,
        "stream_options": {"include_usage": True},
        "response_format": {"type": "text"},
    },
    "/v1/completions": {"model": "base", "prompt": ["a", "b"], "max_tokens": 5, "logprobs": 1, "n": 2},
    "/v1/load_lora_adapter": {"lora_name": "a", "lora_path": "."},
    "/v1/unload_lora_adapter": {"lora_name": "a"},
    "/v1/fine_tuning/jobs": {
        "model": "base",
        "training_file": FILE,
        "validation_file": FILE,
        "hyperparameters": {"n_epochs": 1, "batch_size": 1, "learning_rate_multiplier": 1.0},
        "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": "auto"}}},
        "seed": 1,
        "suffix": "s",
        "metadata": {"a": "b"},
        "selfedit": {"documents": [FILE], "preset": "fast", "settings": {"train": {"epochs": 1}}},
    },
}
PATHS = (
    *("/", "/health", "/metrics", "/openapi.json", "/page/index.html", "/page/{}", "/favicon.ico"),
    *("/api/versions", "/api/versions/{}/report", "/api/versions/{}/edits", "/api/runs?limit={}"),
    *("/api/runs/{}/report", "/api/jobs", "/api/jobs/{}", "/api/interactions", "/api/interactions/{}"),
    *("/v1/models", "/v1/models/{}", "/v1/files", "/v1/files/{}", "/v1/files/{}/content"),
    *("/v1/files?purpose={}", "/v1/fine_tuning/jobs?after={}", "/v1/fine_tuning/jobs?limit={}"),
    *("/v1/fine_tuning/jobs/{}", "/v1/fine_tuning/jobs/{}/events", "/{}", "/api/{}"),
)
IN_PATHS = (
    *("%00", "..%2f..%2fetc%2fpasswd", "%2e%2e", "1", "0", "-1", "1e9", "v1", "%ff", "%ed%a0%80"),
    *(FILE.replace("0", "1"), "%1b%5b2J", "<script>"),
)


@pytest.fixture
def client(tmp_path) -> Iterator[TestClient]:
    """A server whose jobs stay in their queue: what they read is held by other tests."""
    service = Service(FakeModel(), tmp_path / "lib", ServeSettings(adapter_folders=(tmp_path,)))
    made = service.files.add(b"The mill at Orro is old.", "orro.txt", "x")
    (service.files.folder / made.id).rename(service.files.folder / FILE)  # an id that bodies can know
    try:
        yield TestClient(
            create_app(service), base_url="http://127.0.0.1", raise_server_exceptions=False
        )
    finally:
        service.close()


def sent(client: TestClient, draw: random.Random) -> Any:
    """One request, drawn, and its answer."""
    if draw.random() < 0.25:
        method = draw.choice(("GET", "GET", "GET", "POST", "DELETE", "PUT", "HEAD"))
        number = draw.choice(NUMBERS)
        path = draw.choice(PATHS).format(draw.choice((*IN_PATHS, number, 2**63, "a" * 5000)))
        return (method, path), client.request(method, path)
    path = draw.choice(list(BODIES))
    body = spoiled(draw, BODIES[path], draw.choice((0.02, 0.1, 0.3)))
    data = json.dumps(body).encode()
    if draw.random() < 0.05:
        data = draw.choice(
            (
                b"[" * 50_000,
                b'{"a":' * 50_000,
                b"1" * 6000,
                b"\xff\xfe",
                b"",
                text(draw).encode("utf-8", "replace"),
            )
        )
    kind = "application/json" if draw.random() < 0.95 else piece(draw).encode("utf-8", "replace")
    headers = {"content-type": kind, "accept": "*/*"}
    return (path, data[:3000]), client.post(path, content=data, headers=headers)


def test_each_is_answered(client):
    for number in range(REQUESTS):
        request, reply = sent(client, drawing("request", number))
        told = (number, request, reply.status_code, reply.text[:300])
        assert reply.status_code < 500, told
        if reply.status_code >= 400 and reply.request.method != "HEAD":
            assert set(reply.json()["error"]) == {"message", "type", "param", "code"}, told
            assert len(reply.text) < 3000, told
