"""The queue: in order, one at a time, and resumed by the next server."""

from __future__ import annotations

import gzip
import shutil
import threading
import time
from types import SimpleNamespace

import pytest
from filelock import FileLock

from selfedit.domains.knowledge import text_document
from selfedit.errors import InputError, StoreError
from selfedit.model.fake import FakeModel
from selfedit.serve import breath
from selfedit.serve.disk import append_json, read_lines
from selfedit.serve.files import Files
from selfedit.serve.jobs import Jobs, NoSuchJob
from selfedit.serve.learning_jobs import read_given
from selfedit.serve.service import Service
from selfedit.serve.settings import ServeSettings
from selfedit.store import Store
from tests.serve.conftest import LAMP, LAMPS, SETTINGS

LAMPS_OF_ORRO = text_document(**LAMPS)
MILLS = text_document("# Mills of Orro\n\nThe mills of Orro grind barley.\n", source="old/lamps")


def started(folder, **kinds):
    jobs = Jobs(folder)
    jobs.kinds.update(kinds)
    jobs.start()
    return jobs


def test_jobs_are_done_in_order_and_one_at_a_time(tmp_path):
    seen, running = [], threading.Semaphore(1)

    def work(job, events):
        assert running.acquire(blocking=False)
        events.start("working", 1)
        time.sleep(0.01)
        seen.append(job.request["n"])
        running.release()
        return {"n": job.request["n"]}

    jobs = started(tmp_path, count=work)
    given = [jobs.submit("count", {"n": n}) for n in range(5)]
    assert [jobs.wait(job.id).result for job in given] == [{"n": n} for n in range(5)]
    assert seen == list(range(5))
    assert [job.id for job in jobs.list()] == [job.id for job in reversed(given)]
    with pytest.raises(NoSuchJob):
        jobs.get("ftjob-none")
    jobs.close()


def test_who_sees_a_state_sees_its_event_too(tmp_path, monkeypatch):
    """As a client that waits for the end of a job and then lists its events."""
    tell = Jobs.tell

    def slowly(self, *args, **values):
        time.sleep(0.05)
        tell(self, *args, **values)

    monkeypatch.setattr(Jobs, "tell", slowly)
    jobs = started(tmp_path, work=lambda job, events: {})
    job = jobs.wait(jobs.submit("work", {}).id)
    told = [event["status"] for event in jobs.events(job.id).kept]
    assert told == ["queued", "running", "succeeded"]
    jobs.close()


def test_a_server_that_ends_leaves_its_jobs_to_the_next_one(tmp_path):
    begun, ended = threading.Event(), []

    def long(job, events):
        begun.set()
        while True:
            events.advance()  # stops when the server does
            time.sleep(0.01)

    def short(job, events):
        ended.append(job.request["n"])
        return {}

    jobs = started(tmp_path, work=long)
    first = [jobs.submit("work", {"n": n}) for n in range(6)]
    assert begun.wait(60)
    jobs.close()
    again = started(tmp_path, work=short)
    assert [again.wait(job.id).status for job in first] == ["succeeded"] * 6
    assert ended == list(range(6))
    numbers = [event["n"] for event in again.events(first[0].id).kept]
    assert numbers == list(range(1, len(numbers) + 1))
    again.close()


def test_what_was_committed_before_a_kill_is_the_jobs_result(tmp_path):
    """The version was committed, and the process died before the job was noted as done."""
    service = Service(FakeModel(), tmp_path / "lib", ServeSettings())
    request = {"documents": [LAMPS], "quiz": [LAMP], "settings": SETTINGS, "preset": "balanced"}
    job = service.jobs.submit("learn", request)
    first = service.jobs.kinds["learn"](job, service.jobs.events(job.id))
    service.start()
    done = service.jobs.wait(job.id)
    service.close()
    assert (done.status, done.result["version"]) == ("succeeded", first["version"])
    assert len(service.library.adapters()) == 1


@pytest.mark.parametrize("others", [0, 1])
def test_a_document_that_was_forgotten_before_a_kill_is_forgotten_once(tmp_path, others):
    """Not another one of its name next, and the job has not failed."""
    service = Service(FakeModel(), tmp_path / "lib", ServeSettings())
    service.learner.learn(LAMPS_OF_ORRO)
    if others:
        service.learner.learn(MILLS)
    job = service.jobs.submit("forget", {"document": "lamps"})
    first = service.jobs.kinds["forget"](job, service.jobs.events(job.id))
    service.close()
    service = Service(FakeModel(), tmp_path / "lib", ServeSettings())
    service.start()
    done = service.jobs.wait(job.id)
    service.close()
    assert (done.status, done.error) == ("succeeded", None)
    assert done.result | {"seconds": 0} == first | {"seconds": 0}
    assert (first["source"], first["num_documents"]) == ("lamps", others)
    current = service.library.current()
    left = [own.source for own in current.documents] if current is not None else []
    assert left == ["old/lamps"][:others]
    assert done.request["document"] == "lamps"


@pytest.mark.parametrize("cut", [True, False])
def test_a_forget_that_was_killed_before_its_commit_is_done_by_the_next_server(
    tmp_path, monkeypatch, cut
):
    """Also where it was begun by a release that kept nothing but the name, and where the same document
    was forgotten before and brought back."""
    service = Service(FakeModel(), tmp_path / "lib", ServeSettings())
    service.learner.learn(LAMPS_OF_ORRO)
    service.learner.learn(MILLS)
    service.learner.forget("Lamps of Orro")
    service.learner.rollback(2)
    job = service.jobs.submit("forget", {"document": "Lamps of Orro"})
    if cut:
        with monkeypatch.context() as patch:
            patch.setattr(Store, "add_adapter", lambda *args, **options: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                service.jobs.kinds["forget"](job, service.jobs.events(job.id))
    service.close()
    service = Service(FakeModel(), tmp_path / "lib", ServeSettings())
    service.start()
    done = service.jobs.wait(job.id)
    service.close()
    assert (done.status, done.error) == ("succeeded", None)
    assert done.result["version"] == service.library.current().version > 3
    assert [own.title for own in service.library.current().documents] == ["Mills of Orro"]


def test_a_job_that_waits_for_another_learn_heeds_its_cancelling_and_the_servers_end(tmp_path):
    service, waits = Service(FakeModel(), tmp_path / "lib", ServeSettings()), threading.Event()
    service.learner.status = lambda text: waits.set()
    service.start()
    request = {"documents": [LAMPS], "quiz": [LAMP], "settings": SETTINGS, "preset": "balanced"}
    with FileLock(tmp_path / "lib" / "learn.lock"):  # as another program holds it
        job = service.jobs.submit("learn", request)
        assert waits.wait(60)
        service.jobs.cancel(job.id)
        assert service.jobs.wait(job.id, 20).status == "cancelled"
        waits.clear()
        service.jobs.submit("learn", request)
        assert waits.wait(60)
        service.jobs.close()
        assert not service.jobs._thread.is_alive()
    service.close()


def test_an_internal_error_fails_the_job_and_the_next_one_runs(tmp_path):
    def broken(job, events):
        if job.request["n"] == 0:
            raise ZeroDivisionError("a secret of the document")
        if job.request["n"] == 1:
            raise InputError("too short")
        return {}

    jobs = started(tmp_path, work=broken)
    done = [jobs.wait(jobs.submit("work", {"n": n}).id) for n in range(3)]
    assert [job.status for job in done] == ["failed", "failed", "succeeded"]
    assert [job.error for job in done[:2]] == ["internal error: ZeroDivisionError", "too short"]
    jobs.close()


def test_learning_takes_its_share_of_the_time_while_answers_are_written(monkeypatch):
    now = [0.0]

    def sleep(seconds):
        now[0] += seconds

    monkeypatch.setattr(breath, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))

    def seconds(load, share):
        begun = now[0]
        breathe = breath.Breath(SimpleNamespace(load=load), share)
        for _ in range(3):
            sleep(0.06)  # a step of training
            breathe()
        return now[0] - begun

    assert seconds((0, 0), 0.25) == pytest.approx(0.18)
    assert seconds((1, 0), 0.25) == pytest.approx(0.18 * 4, abs=0.04)


def test_a_line_that_a_kill_cut_off_does_not_cost_the_next_one(tmp_path):
    path = tmp_path / "job" / "events.jsonl"
    append_json(path, {"n": 1})
    with path.open("ab") as file:
        file.write(b'{"n": 2, "ty')
    append_json(path, {"n": 3})
    append_json(path, {"n": 4})
    assert read_lines(path) == [{"n": 1}, {"n": 3}, {"n": 4}]


@pytest.mark.parametrize(
    ("name", "title"), [("lamps.md.gz", "Lamps"), ("Report v1.2", "Report v1.2"), ("a.md", "A")]
)
def test_an_upload_is_read_as_learn_reads_the_file(tmp_path, name, title):
    data = b"They burn thistle oil."
    files = Files(tmp_path)
    file = files.add(gzip.compress(data) if name.endswith(".gz") else data, name, "fine-tune")
    document = read_given({"file": file.id}, files)
    assert (document.title, document.paragraphs) == (title, ("They burn thistle oil.",))
    packed = files.add(gzip.compress(b'{"text": "Lamps burn oil."}'), "facts-1.jsonl.gz", "fine-tune")
    statements = read_given({"file": packed.id}, files)
    assert (statements.title, statements.paragraphs) == ("facts 1", ("Lamps burn oil.",))
    bad = files.add(b"\x1f\x8b\x08damaged", "bad.txt.gz", "fine-tune")
    with pytest.raises(InputError, match="cannot be unpacked"):
        read_given({"file": bad.id}, files)


def test_a_cancelling_that_the_disk_refuses_leaves_a_job_that_waits(tmp_path, monkeypatch):
    begun, released = threading.Event(), threading.Event()

    def work(job, events):
        begun.set()
        released.wait(60)
        return {}

    def full(path, value):
        raise StoreError("no space left")

    own = started(tmp_path, work=work)
    own.submit("work", {})
    job = own.submit("work", {})
    assert begun.wait(60)
    with monkeypatch.context() as patched:
        patched.setattr("selfedit.serve.jobs.write_json", full)
        with pytest.raises(StoreError):
            own.cancel(job.id)
    released.set()
    assert own.wait(job.id, 20).status == "succeeded"
    own.close()


def test_a_job_that_was_cancelled_while_it_ran_stays_so_after_a_kill(tmp_path):
    begun, released = threading.Event(), threading.Event()

    def work(job, events):
        begun.set()
        released.wait(60)
        events.start("working", 1)
        return {}

    first = started(tmp_path / "first", work=work)
    job = first.submit("work", {})
    assert begun.wait(60)
    assert first.cancel(job.id).cancelling
    shutil.copytree(tmp_path / "first", tmp_path / "killed")
    released.set()
    first.close()  # its end comes at the next step
    assert Jobs(tmp_path / "first").get(job.id).status == "cancelled"
    second = started(tmp_path / "killed", work=work)
    assert second.wait(job.id).status == "cancelled"
    assert not second.get(job.id).cancelling
    second.close()
