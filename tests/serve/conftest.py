"""Servers for tests: an application that is asked directly, and one that listens on loopback."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from selfedit.model.fake import FakeModel
from selfedit.serve.app import create_app
from selfedit.serve.run import listening, server_of
from selfedit.serve.service import Service
from selfedit.serve.settings import ServeSettings

LAMPS = {"text": "# Lamps of Orro\n\nThe lamps of Orro burn thistle oil.\n", "source": "lamps"}
LAMP = {"question": "What do the lamps of Orro burn?", "answer": "thistle oil"}
SETTINGS = {"probe_questions": 0, "candidates": 2}  # two, so that they are compared


@pytest.fixture
def service(tmp_path) -> Service:
    return Service(FakeModel(), tmp_path / "lib", ServeSettings())


@pytest.fixture
def client(service) -> Iterator[TestClient]:
    with TestClient(create_app(service), base_url="http://127.0.0.1") as client:
        yield client


def learned(client: TestClient) -> dict:
    """The finished job that has learned about lamps."""
    body = {"documents": [LAMPS], "quiz": [LAMP], "settings": SETTINGS}
    job = client.post("/api/learn", json=body).json()
    client.app.state.service.jobs.wait(job["id"])
    return client.get(f"/api/jobs/{job['id']}").json()


class Running:
    """A server in a thread, and a client of its."""

    def __init__(self, model, folder, **settings):
        own = ServeSettings(port=0, **settings)
        self.socket = listening(own)
        self.service = Service(model, folder, own)
        self.server = server_of(self.service)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]})
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        import openai

        self.client = openai.OpenAI(
            base_url=f"{self.url}/v1", api_key=own.api_key or "none", max_retries=0
        )

    def close(self):
        self.client.close()
        self.server.should_exit = True
        self.thread.join(30)
        self.socket.close()
