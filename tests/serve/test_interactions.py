"""Conversations with feedback over HTTP, and what the page shows of a version's trials."""

from __future__ import annotations

import json

import pytest

from tests.serve.conftest import LAMP, SETTINGS, learned

SAID = [
    {"role": "user", "content": LAMP["question"]},
    {"role": "assistant", "content": "I do not know."},
]
FEEDBACK = {"text": "No, the lamps of Orro burn whale oil."}


def corrected(client, **feedback):
    body = {"messages": SAID, "feedback": feedback or FEEDBACK, "settings": SETTINGS}
    return client.post("/api/interactions", json=body)


def test_a_correction_is_recorded_learned_and_undone(client, service):
    learned(client)
    made = corrected(client)
    assert (made.status_code, made.json()["state"]) == (201, "recorded")
    job = service.jobs.wait(made.json()["job"]["id"])
    assert (job.status, job.result["version"]) == ("succeeded", 2)
    assert any("contradicts Lamps of Orro" in note for note in job.result["notes"])
    answer = client.post("/api/ask", json={"question": LAMP["question"]}).json()["answers"][0]
    assert "whale oil" in answer["answer"]
    own = client.get(f"/api/interactions/{made.json()['id']}").json()
    assert (own["state"], own["outcome"]["remembered"]) == (
        "remembered",
        "The lamps of Orro burn whale oil.",
    )
    assert own["messages"] == SAID
    assert client.post("/api/undo").json() == {"interaction": own["id"], "version": 1}
    (listed,) = client.get("/api/interactions").json()["interactions"]
    assert listed["state"] == "undone"
    assert client.post("/api/undo").status_code == 400


def test_feedback_that_says_nothing_to_learn_is_recorded_alone(client, service):
    made = corrected(client, kind="rating", good=False).json()
    assert (made["job"], "not what is right" in made["not_learned"]) == (None, True)
    number = made["id"]
    assert client.get(f"/api/interactions/{number}").json()["state"] == "recorded"
    assert client.post(f"/api/interactions/{number}/learn").status_code == 400
    later = client.post("/api/interactions", json={"feedback": FEEDBACK, "learn": False}).json()
    assert later["job"] is None
    job = client.post(f"/api/interactions/{later['id']}/learn").json()
    assert service.jobs.wait(job["id"]).kind == "remember"


def test_what_is_no_text_in_utf8_is_said_as_it_was(client):
    """JSON can name half of a surrogate pair, which a client's broken cut of a text leaves."""
    odd = "Whale oil \ud83d"
    body = {"messages": SAID, "feedback": {"text": odd, "answer": odd}, "learn": False}
    data = json.dumps(body).encode("ascii")
    made = client.post("/api/interactions", content=data, headers={"content-type": "application/json"})
    assert made.status_code == 201
    (listed,) = client.get("/api/interactions").json()["interactions"]
    assert (listed["feedback"]["text"], listed["feedback"]["answer"]) == (odd, odd)


@pytest.mark.parametrize(
    "body",
    [
        {"messages": SAID},
        {"messages": [{"role": "robot", "content": "x"}], "feedback": FEEDBACK},
        {"messages": SAID, "feedback": {"texts": "x"}},
        {"messages": SAID, "feedback": FEEDBACK, "settings": {"candidate": 3}},
        {"messages": SAID * 501, "feedback": FEEDBACK},
    ],
)
def test_what_is_no_interaction_is_refused_and_not_recorded(client, body):
    assert client.post("/api/interactions", json=body).status_code in (400, 422)
    assert client.get("/api/interactions").json() == {"interactions": []}
    for path in ("interactions/7", "runs/7/report"):
        assert client.get(f"/api/{path}").status_code == 404
        assert client.get(f"/api/{path.replace('7', '9' * 30)}").status_code == 422


def test_a_version_shows_its_self_edits_and_every_run_its_report(client):
    learned(client)
    found = client.get("/api/versions/1/edits").json()
    assert found["stored_earlier"] == 0
    assert {one["passage"] for one in found["edits"]} == {"Lamps of Orro"}
    assert all(one["losses"] and one["reward"] == 1.0 for one in found["edits"])
    (run,) = client.get("/api/runs").json()["runs"]
    assert (run["kind"], run["status"]) == ("learn", "finished")
    for path in ("/api/runs/1/report", "/api/versions/1/report"):
        report = client.get(path)
        assert "thistle oil" in report.text
        assert report.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
        assert report.headers["x-frame-options"] == "SAMEORIGIN"


def test_the_pages_policy_stands_on_all_its_files(client):
    for path in ("/", "/page/main.js", "/page/style.css", "/page/index.html"):
        reply = client.get(path)
        assert reply.status_code == 200
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert reply.headers["x-frame-options"] == "DENY"
