"""The native API: learn, ask, versions and the way back."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

import pytest

from selfedit.endpoints.vllm_http import Refused
from selfedit.errors import (
    AdapterError,
    InputError,
    JudgeError,
    ModelError,
    SelfEditError,
    StoreError,
    WorkerError,
)
from selfedit.serve.streams import sent
from selfedit.serve.voices import UnknownVoice
from tests.serve.conftest import LAMP, LAMPS, SETTINGS, learned


def test_what_is_learned_is_answered_with_its_source_and_taken_back(client):
    job = learned(client)
    assert (job["status"], job["result"]["version"]) == ("succeeded", 1)
    assert job["request"]["documents"] == [
        {"text": None, "title": "", "source": "lamps", "characters": len(LAMPS["text"])}
    ]
    asked = {"question": LAMP["question"], "compare": True}
    answer = client.post("/api/ask", json=asked).json()["answers"][0]
    assert "thistle oil" in answer["answer"]
    assert answer["base"] == "I do not know."
    assert answer["sources"][0]["document"] == "Lamps of Orro"
    assert client.get("/api/versions").json()["versions"][0]["current"]
    assert client.post("/api/rollback", json={"version": 0}).json() == {"version": None}
    back = client.post("/api/ask", json=asked).json()["answers"][0]
    assert (back["answer"], back["sources"]) == ("I do not know.", [])
    old = client.post("/api/ask", json={**asked, "model": "v1"}).json()["answers"][0]
    assert "thistle oil" in old["answer"]


def test_events_are_numbered_and_go_on_behind_the_last_one_seen(client):
    job = learned(client)
    events = f"/api/jobs/{job['id']}/events"
    lines = client.get(events).text.splitlines()
    data = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert [event["n"] for event in data[:-1]] == list(range(1, len(data)))
    assert {"status", "stage", "candidate"} <= {event["type"] for event in data[:-1]}
    assert data[-1] == job
    last = data[-2]["n"] - 1
    rest = client.get(events, headers={"last-event-id": str(last)}).text
    assert rest.startswith(f"id: {last + 1}\n")
    assert rest.count("data: ") == 2


def test_events_stream_where_they_are_accepted(client):
    body = {"documents": [LAMPS], "quiz": [LAMP], "settings": SETTINGS}
    with client.stream("POST", "/api/learn", json=body, headers={"accept": "text/event-stream"}) as got:
        lines = list(got.iter_lines())
    assert "event: end" in lines
    assert json.loads(lines[-2].removeprefix("data: "))["status"] == "succeeded"


def test_what_the_gate_rejects_fails_with_its_reason(client):
    learned(client)
    again = learned(client)
    assert (again["status"], again["rejected"]) == ("failed", True)
    assert "does not know more" in again["error"] or "no self-edit" in again["error"]


def test_files_of_one_name_are_documents_of_their_own(client, service):
    """Of one job, and of a later one, which says so; a source that is given is replaced."""

    def learn(*facts, **more):
        texts = [f"# The {fact[:13]}\n\nThe {fact}.\n".encode() for fact in facts]
        sent = [client.post("/v1/files", files={"file": ("README.md", text)}) for text in texts]
        files = [reply.json()["id"] for reply in sent]
        documents = [{"file": file, **more} for file in files]
        body = {"documents": documents, "settings": {"probe_questions": 0}}
        done = service.jobs.wait(client.post("/api/learn", json=body).json()["id"])
        assert (done.status, done.error) == ("succeeded", None)
        told = [event.get("text", "") for event in service.jobs.events(done.id).kept]
        told = [note for note in told if "README.md" in note]
        assert told == [note for note in done.result["notes"] if "README.md" in note]
        return [f"{file}/README.md" for file in files], told

    def sources():
        return [own.source for own in service.library.current().documents]

    first, told = learn("lamps of Orro burn thistle oil", "mills of Velm grind barley")
    assert (sources(), told) == (first, [])
    second, told = learn("boats of Tarn are saffron")
    assert sources() == first + second
    assert len(told) == 1
    assert all(source in told[0] for source in first)
    _, told = learn("roofs of Hask are slate", source=first[0], title="Roofs")
    assert (sources(), told) == ([first[1], *second, first[0]], [])
    assert service.library.current().documents[-1].title == "Roofs"


def test_forget_and_probe_are_jobs(client, service):
    learned(client)
    for path, body in (("probe", {"sample": 3}), ("forget", {"document": "Lamps of Orro"})):
        job = client.post(f"/api/{path}", json=body).json()
        assert service.jobs.wait(job["id"]).status == "succeeded"
    assert client.get("/api/versions").json()["current"] is None


def test_errors_say_what_is_wrong_and_hold_no_document(client):
    unknown = client.post("/api/ask", json={"question": "Who?", "model": "v9"})
    assert unknown.status_code == 404
    assert "there are base, current" in unknown.json()["error"]["message"]
    for body in (
        {"documents": []},
        {"documents": [{}]},
        {"documents": [LAMPS], "settings": {"candidate": 1}},
        {"documents": [LAMPS], "preset": "huge"},
        {"documents": [{"file": "../../etc/passwd"}]},
        {"documents": [{**LAMPS, "tex": "The secret of Orro."}]},
    ):
        refused = client.post("/api/learn", json=body)
        assert refused.status_code in (400, 404, 422), body
        assert "secret" not in refused.text
    assert client.get("/api/jobs").json() == {"jobs": []}
    assert client.get("/api/jobs/ftjob-1").status_code == 404
    for of_version in ("report", "edits"):
        unknown = client.get(f"/api/versions/7/{of_version}")
        assert unknown.status_code == 404
        assert "no adapter version 7" in unknown.json()["error"]["message"]


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (InputError("m"), 400, "invalid_request_error"),
        (UnknownVoice("m"), 404, "not_found_error"),
        (Refused("m"), 400, "invalid_request_error"),
        (JudgeError("m"), 502, "server_error"),
        (AdapterError("m"), 500, "server_error"),
        (ModelError("m"), 500, "server_error"),
        (SelfEditError("m"), 500, "server_error"),
        (WorkerError("m"), 503, "server_error"),
        (StoreError("m"), 507, "server_error"),
    ],
)
def test_a_status_says_whose_fault_it_was(client, service, monkeypatch, error, status, kind):
    def fail(*given):
        raise error

    async def broken():
        yield {"begun": True}
        fail()

    async def is_disconnected():
        return False

    async def told():
        reply = await sent(SimpleNamespace(is_disconnected=is_disconnected), broken())
        return [line async for line in reply.body_iterator]

    monkeypatch.setattr(service.voices, "speaker", fail)
    reply = client.post("/api/ask", json={"question": "Who?"})
    assert (reply.status_code, reply.json()["error"]["type"]) == (status, kind)
    last = json.loads(asyncio.run(told())[-1].removeprefix("data: "))
    assert (last["error"]["message"], last["error"]["type"]) == ("m", kind)


def test_a_version_that_there_is_not_is_the_clients_mistake(client):
    for body in ({"version": 9}, {}):  # and there is none before the bare model
        assert client.post("/api/rollback", json=body).status_code == 400
