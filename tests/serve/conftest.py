"""A server over the fake model, asked through its application."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from selfedit.model.fake import FakeModel
from selfedit.serve.app import create_app
from selfedit.serve.service import Service
from selfedit.serve.settings import ServeSettings

LAMPS = {"text": "# Lamps of Orro\n\nThe lamps of Orro burn thistle oil.\n", "source": "lamps"}
LAMP = {"question": "What do the lamps of Orro burn?", "answer": "thistle oil"}
SETTINGS = {"probe_questions": 0}


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
