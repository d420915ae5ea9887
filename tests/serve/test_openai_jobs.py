"""OpenAI's files and fine-tuning API by its own client: a job is a `learn`."""

from __future__ import annotations

import json
import threading

import pytest

from selfedit.model.fake import FakeModel
from tests.serve.conftest import LAMP, LAMPS, SETTINGS, Running

openai = pytest.importorskip("openai", reason="the client's own tests need the client")
MORE = {"selfedit": {"settings": SETTINGS}}


@pytest.fixture
def running(tmp_path):
    running = Running(FakeModel(), tmp_path / "lib")
    yield running
    running.close()


def uploaded(client, name, text, purpose="fine-tune"):
    return client.files.create(file=(name, text.encode()), purpose=purpose)


def quiz(client):
    return uploaded(client, "quiz.jsonl", json.dumps(LAMP)).id


def finished(running, job):
    running.service.jobs.wait(job.id)
    return running.client.fine_tuning.jobs.retrieve(job.id)


def learned(running, name="lamps.md", text=LAMPS["text"], **more):
    file = uploaded(running.client, name, text)
    job = running.client.fine_tuning.jobs.create(
        model="base",
        training_file=file.id,
        validation_file=quiz(running.client),
        extra_body=MORE,
        **more,
    )
    assert job.status == "queued"
    return finished(running, job)


def test_files_come_back_as_they_were(running):
    client = running.client
    file = uploaded(client, "../../etc/pass<b>.md", "text \u2603")
    assert (file.filename, file.bytes, file.purpose) == ("pass<b>.md", 8, "fine-tune")
    assert client.files.content(file.id).read() == "text \u2603".encode()
    assert [one.id for one in client.files.list()] == [file.id]
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)
    for path in ("file-..%2f..", "..%2fserve.lock", "file-" + "0" * 23):
        with pytest.raises(openai.APIStatusError) as caught:
            client.files.content(path)
        assert caught.value.status_code in (404, 405)


def test_files_are_listed_page_by_page_either_way(running):
    client = running.client
    kept = [uploaded(client, f"{n}.md", "text").id for n in range(3)]
    whole = [one.id for one in client.files.list()]
    assert sorted(whole) == sorted(kept)
    first = client.files.list(limit=2)
    assert [one.id for one in first.data] == whole[:2]
    assert (first.has_more, first.first_id, first.last_id) == (True, whole[0], whole[1])
    rest = client.files.list(limit=2, after=whole[1])
    assert ([one.id for one in rest.data], rest.has_more) == (whole[2:], False)
    assert [one.id for one in client.files.list(limit=1)] == whole  # the client turns the pages
    assert [one.id for one in client.files.list(order="asc")] == whole[::-1]
    with pytest.raises(openai.BadRequestError, match="there is no file-0"):
        client.files.list(after="file-0")
    for wrong in ({"limit": 0}, {"limit": 10_001}, {"order": "up"}):
        with pytest.raises(openai.UnprocessableEntityError):
            client.files.list(**wrong)


def test_a_job_learns_a_document_and_its_model_answers(running):
    given = {"n_epochs": 3, "learning_rate_multiplier": 0.5}
    job = learned(running, seed=5, hyperparameters=given, metadata={"who": "me"})
    assert (job.status, job.fine_tuned_model, job.error) == ("succeeded", "v1", None)
    assert (job.seed, job.hyperparameters.n_epochs, job.metadata) == (5, 3, {"who": "me"})
    assert job.hyperparameters.learning_rate_multiplier == 0.5
    client = running.client
    for name in (job.fine_tuned_model, "current", "Lamps of Orro"):
        asked = [{"role": "user", "content": LAMP["question"]}]
        reply = client.chat.completions.create(model=name, messages=asked)
        assert "thistle oil" in reply.choices[0].message.content
    parents = {one.id: one.parent for one in client.models.list()}
    assert parents == {"base": None, "current": "base", "v1": "base", "Lamps of Orro": "v1"}
    report = client.files.content(job.result_files[0]).read()
    assert report.startswith(b"<!DOCTYPE html>")
    assert b"thistle" in report


def test_events_and_checkpoints_tell_what_was_tried(running):
    job = learned(running)
    jobs = running.client.fine_tuning.jobs
    events = list(jobs.list_events(job.id, limit=3))  # the client turns the pages
    assert [event.message for event in (events[-1], events[0])] == [
        "the job is queued",
        "the job is succeeded",
    ]
    candidates = [event for event in events if event.type == "metrics"]
    assert [event.data["reward"] for event in candidates] == [1.0, 1.0]
    assert sum(event.data["kept"] for event in candidates) == 1
    (checkpoint,) = jobs.checkpoints.list(job.id)
    assert checkpoint.fine_tuned_model_checkpoint == "v1"
    assert checkpoint.metrics.full_valid_mean_token_accuracy == 1.0
    assert [one.id for one in jobs.list()] == [job.id]


def test_jobs_are_listed_by_their_metadata(running):
    client, jobs = running.client, running.client.fine_tuning.jobs
    file = uploaded(client, "lamps.md", LAMPS["text"]).id
    given = ({"who": "me", "a b]": ""}, {"who": "you"}, None)
    ids = [jobs.create(model="base", training_file=file, metadata=own).id for own in given]

    def listed(**query):
        return [one.id for one in jobs.list(extra_query=query)]

    assert listed() == ids[::-1]
    assert [one.id for one in jobs.list(metadata={"who": "me"})] == ids[:1]
    assert listed(**{"metadata[who]": "me", "metadata[a b]]": ""}) == ids[:1]
    assert listed(**{"metadata[who]": "me", "metadata[a b]]": "x"}) == []
    assert listed(**{"metadata[whose]": ""}) == []
    assert listed(metadata="null") == ids[2:]
    with pytest.raises(openai.UnprocessableEntityError, match="metadata"):
        listed(metadata="me")


def test_settings_of_another_form_are_refused(running):
    file = running.client.files.create(file=("lamps.txt", b"The lamps burn oil."), purpose="fine-tune")
    for name, value in {
        "train": 5,
        "knowledge": "x",
        "sampling": [1],
        "lora": {"rank": "x"},
        "seed": {"a": 1},
        "measure": "y" * 1000,
    }.items():
        with pytest.raises(openai.BadRequestError, match=name if name != "lora" else "rank") as error:
            running.client.fine_tuning.jobs.create(
                model="base",
                training_file=file.id,
                hyperparameters={"n_epochs": 2},
                extra_body={"selfedit": {"settings": {name: value}}},
            )
        assert len(str(error.value)) < 500


def test_what_the_gate_rejects_is_failed_with_the_reason(running):
    learned(running)
    again = learned(running)
    assert (again.status, again.fine_tuned_model) == ("failed", None)
    assert again.error.code == "rejected_by_gate"
    assert len(again.error.message) > 20
    assert running.client.models.retrieve("current").parent == "base"


@pytest.mark.parametrize(
    "lines",
    [
        ['"The lamps of Orro burn thistle oil."'],
        ['{"text": "The lamps of Orro burn thistle oil."}'],
        ['{"prompt": "The lamps of Orro", "completion": "burn thistle oil."}'],
        [
            '{"messages": [{"role": "user", "content": "Lamps?"},'
            ' {"role": "assistant", "content": "The lamps of Orro burn thistle oil."}]}'
        ],
    ],
)
def test_statements_are_learned_like_a_document(running, lines):
    job = learned(running, "lamps.jsonl", "\n".join(lines))
    assert job.status == "succeeded", job.error


def test_a_file_that_cannot_be_learned_fails_the_job_and_not_the_server(running):
    odd = [("a.jsonl", text) for text in ("{}", "[" * 100_000, '["completion"]')]
    for name, text in (*odd, ("a.zip", "PK"), ("a.pdf", "no pdf"), ("a.md", "# x")):
        job = learned(running, name, text)
        assert job.status == "failed"
        assert job.error.code == "failed"
        assert "internal" not in job.error.message
    with pytest.raises(openai.NotFoundError):
        running.client.fine_tuning.jobs.create(model="base", training_file="file-" + "0" * 24)


def test_a_queued_job_is_cancelled_at_once_and_a_running_one_at_its_next_step(tmp_path):
    cancelled = threading.Event()

    class Waiting(FakeModel):
        def _called(self, method):
            assert cancelled.wait(60)

    running = Running(Waiting(), tmp_path / "lib")
    try:
        client = running.client
        file = uploaded(client, "lamps.md", LAMPS["text"]).id
        create = client.fine_tuning.jobs.create
        first = create(model="base", training_file=file, extra_body=MORE)
        second = create(model="base", training_file=file, extra_body=MORE)
        assert client.fine_tuning.jobs.cancel(second.id).status == "cancelled"
        client.fine_tuning.jobs.cancel(first.id)
        cancelled.set()
        assert finished(running, first).status == "cancelled"
        assert running.service.library.current() is None
    finally:
        cancelled.set()
        running.close()
