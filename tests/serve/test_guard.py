"""What stands before a request: keys, hosts, sizes and times; and one server for a library."""

from __future__ import annotations

import logging
import socket

import pytest
from fastapi.testclient import TestClient

from selfedit.cli.serve import _key
from selfedit.errors import InputError
from selfedit.model.fake import FakeModel
from selfedit.serve.app import create_app
from selfedit.serve.service import Service
from selfedit.serve.settings import ServeSettings
from selfedit.show import files as show_files
from tests.serve.conftest import LAMP, LAMPS, Running, learned

KEY = "a-key-of-this-server"


@pytest.fixture
def keyed(tmp_path):
    settings = ServeSettings(host="0.0.0.0", api_key=KEY, max_body=10_000)  # noqa: S104
    with TestClient(create_app(Service(FakeModel(), tmp_path / "lib", settings))) as client:
        yield client


def test_other_machines_need_a_key(keyed):
    with pytest.raises(InputError, match="--api-key-file"):
        ServeSettings(host="0.0.0.0")  # noqa: S104
    with pytest.raises(InputError, match="too short"):
        ServeSettings(api_key="short")
    for path in ("/api/versions", "/v1/models", "/metrics", "/openapi.json", "/api/jobs/x/events"):
        for given in (None, "Bearer wrong", f"Basic {KEY}", f"Bearer {KEY}x", "Bearer", "Bearer \xe9"):
            headers = {} if given is None else {"authorization": given.encode("latin-1")}
            refused = keyed.get(path, headers=headers)
            assert refused.status_code == 401, (path, given)
            assert refused.json()["error"]["type"] == "authentication_error"
        if not path.endswith("events"):
            allowed = keyed.get(path, headers={"authorization": f"bearer {KEY}"})
            assert allowed.status_code == 200
    assert keyed.get("/health").status_code == 200
    assert KEY not in repr(ServeSettings(api_key=KEY))


def test_blanks_around_a_key_are_none_of_it(monkeypatch):
    monkeypatch.setenv("SELFEDIT_API_KEY", f" {KEY}\n")  # as a secret made from a file has it
    assert _key(None) == KEY
    with pytest.raises(InputError, match="blanks"):
        ServeSettings(api_key=f"{KEY}\n")


def test_other_sites_pages_are_not_answered(client):
    for headers in (
        {"origin": "https://evil.example"},
        {"host": "evil.example:80"},
        {"origin": "null"},
    ):
        refused = client.post("/api/rollback", json={}, headers=headers)
        assert refused.status_code == 403, headers
        assert "access-control-allow-origin" not in refused.headers
    own = client.get("/health", headers={"origin": "http://127.0.0.1"})
    assert own.status_code == 200
    assert own.headers["x-content-type-options"] == "nosniff"
    for host in ("localhost:1", "[::1]:8321", "[::1]", "127.0.0.2"):
        assert client.get("/health", headers={"host": host}).status_code == 200, host
    assert client.options("/api/ask", headers={"origin": "http://evil.example"}).status_code == 403


def test_a_large_body_is_refused_announced_or_not(keyed):
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    large = keyed.post("/api/learn", content=b"x" * 20_000, headers=headers)
    assert large.status_code == 413
    drips = keyed.post("/api/learn", content=(b"x" * 1000 for _ in range(20)), headers=headers)
    assert drips.status_code == 413


def test_a_slow_body_is_given_up(tmp_path):
    running = Running(FakeModel(), tmp_path / "lib", body_seconds=0.5)
    try:
        with socket.create_connection(running.socket.getsockname()) as slow:
            slow.sendall(
                b"POST /api/ask HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
                b"content-length: 100\r\n\r\n{"
            )
            slow.settimeout(60)
            assert b" 408 " in slow.recv(4096)
        half = socket.create_connection(running.socket.getsockname())
        half.sendall(b"POST /api/ask HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-le")
        half.close()
        assert running.client.models.list().data
    finally:
        running.close()


def test_paths_lead_nowhere_else(client):
    for path in (
        "/page/..%2f..%2fservice.py",
        "/page/%2e%2e/app.py",
        "/v1/files/..%2f..%2f..%2fstore.sqlite/content",
        "/api/jobs/..%2f..%2fserve.lock",
        "/v1/fine_tuning/jobs/..%2fx",
        "/api/versions/..%2f1/report",
    ):
        assert client.get(path).status_code in (400, 404, 405, 422), path


def test_a_library_has_one_server(tmp_path, service):
    with pytest.raises(InputError, match="another server is working on the library"):
        Service(FakeModel(), tmp_path / "lib", ServeSettings())
    service.close()
    Service(FakeModel(), tmp_path / "lib", ServeSettings()).close()


def test_a_full_disk_is_said_and_nothing_is_acknowledged(client, service, monkeypatch):
    learned(client)

    def full(*args, **more):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(show_files.os, "fsync", full)
        for refused in (
            client.post("/api/learn", json={"documents": [LAMPS], "quiz": [LAMP]}),
            client.post("/v1/files", files={"file": ("a.md", b"text")}),
        ):
            assert refused.status_code == 507, refused.text
            assert "No space left" in refused.json()["error"]["message"]
    assert len(client.get("/api/jobs").json()["jobs"]) == 1
    assert client.get("/v1/files").json()["data"][0]["purpose"] == "fine-tune-results"
    asked = client.post("/api/ask", json={"question": LAMP["question"]}).json()
    assert "thistle" in asked["answers"][0]["answer"]


def test_logs_hold_no_document_and_no_key(keyed, caplog):
    caplog.set_level(logging.DEBUG)
    headers = {"authorization": f"Bearer {KEY}"}
    document = {"text": "# Secret\n\nThe vault of Orro opens with quince.", "source": "vault"}
    keyed.post("/api/learn", json={"documents": [document]}, headers=headers)
    keyed.post("/api/learn", json={"documents": [{**document, "x": 1}]}, headers=headers)
    keyed.post("/api/ask", json={"question": "quince?"}, headers=headers)
    keyed.get("/api/versions", headers={"authorization": f"Bearer {KEY}-wrong"})
    keyed.app.state.service.jobs.wait(keyed.app.state.service.jobs.list()[0].id)
    said = " ".join(record.getMessage() for record in caplog.records if record.name != "httpx")
    assert "quince" not in said
    assert KEY not in said
    assert "quince" not in keyed.get("/metrics", headers=headers).text
