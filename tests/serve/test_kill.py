"""kill -9 under load: what was acknowledged is there afterwards, and goes on."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request

from selfedit.model.fake import FakeModel
from selfedit.serve.service import Service
from selfedit.serve.settings import ServeSettings
from tests.serve.conftest import SETTINGS

FACTS = {"lamps": "burn quince", "boats": "carry saffron", "wells": "hide thistle"}


def post(url, body):
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=120) as reply:  # noqa: S310
        return json.load(reply)


def started(folder, tmp_path):
    """A server in a process of its own, and its address."""
    command = [sys.executable, "-m", "selfedit", "serve", "--model", "fake", "--library", str(folder)]
    environment = {
        **os.environ, "SELFEDIT_FAKE_DELAY": "0.15", "SELFEDIT_HOME": str(tmp_path), "COLUMNS": "200"
    }  # fmt: skip
    said = (tmp_path / "said").open("wb")
    process = subprocess.Popen([*command, "--port", "0"], env=environment, stdout=said, stderr=said)
    while process.poll() is None:
        if found := re.search(r"http://127\.0\.0\.1:\d+", (tmp_path / "said").read_text()):
            return process, found[0]  # it listens, and answers what comes meanwhile
        time.sleep(0.05)
    raise AssertionError((tmp_path / "said").read_text())


def test_after_a_kill_jobs_go_on_and_nothing_acknowledged_is_lost(tmp_path):
    folder = tmp_path / "lib"
    process, url = started(folder, tmp_path)
    stop = threading.Event()

    def load():
        while not stop.is_set():
            try:
                post(f"{url}/api/ask", {"question": "What do the lamps of Orro burn?"})
            except (OSError, http.client.HTTPException):
                return

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    acknowledged = []
    for name, fact in FACTS.items():
        verb, thing = fact.split()
        text = f"# The {name} of Orro\n\nThe {name} of Orro {fact}."
        body = {
            "documents": [{"text": text, "source": name}],
            "quiz": [{"question": f"What do the {name} of Orro {verb}?", "answer": thing}],
            "settings": SETTINGS,
        }
        acknowledged.append(post(f"{url}/api/learn", body)["id"])
    end = time.monotonic() + 120
    while not (learned := any((folder / "passages").glob("*"))) and time.monotonic() < end:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)  # as soon as the first passage's files are there
    process.wait()
    stop.set()
    for thread in threads:
        thread.join()
    assert learned, "killed too late: nothing was going on any more"

    again = Service(FakeModel(), folder, ServeSettings())  # the lock of the dead one is free
    again.start()
    try:
        jobs = [again.jobs.wait(job, 300) for job in acknowledged]
        assert [job.error for job in jobs] == [None] * 3
        assert [job.status for job in jobs] == ["succeeded"] * 3
        committed = [own for own in again.library.adapters() if own.status == "committed"]
        assert [job.result["version"] for job in jobs] == [own.version for own in committed]
        for record, name in zip(committed, FACTS, strict=True):  # each is whole
            assert FACTS[name] in again.library.ask(f"The {name} of Orro?", version=record.version)[0]
        for name, fact in FACTS.items():
            assert fact in again.library.ask(f"What do the {name} of Orro do?")[0]
    finally:
        again.close()
