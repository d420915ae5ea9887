"""A server under load is sent signals: it ends, and the next one goes on with what was acknowledged."""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

from selfedit.model.fake import FakeModel
from selfedit.serve.service import Service
from selfedit.serve.settings import ServeSettings
from tests.faults.commands import Running, Setting
from tests.faults.libraries import MODEL, left_behind
from tests.faults.test_kills import SIGNALS
from tests.faults.torture import TORTURE, only_in_torture

HELD = {"lamps": "quince", "boats": "saffron", "wells": "thistle"}


def post(url: str, body: Any) -> Any:
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=60) as reply:  # noqa: S310
        return json.load(reply)


def address_of(server: Running) -> str:
    while server.process.is_alive():
        if found := re.search(r"http://127\.0\.0\.1:\d+", server.said()):
            return found[0]
        time.sleep(0.05)
    raise AssertionError(server.said())


def learn(url: str, name: str) -> str:
    body = {
        "documents": [
            {"text": f"# The {name}\n\nThe {name} of Orro hold {HELD[name]}.", "source": name}
        ],
        "quiz": [{"question": f"What do the {name} of Orro hold?", "answer": HELD[name]}],
        "settings": {"probe_questions": 0, "memory": "routed"},
    }
    return post(f"{url}/api/learn", body)["id"]


def under_load(url: str, stop: threading.Event) -> list[threading.Thread]:
    def ask() -> None:
        while not stop.is_set():
            try:
                post(f"{url}/api/ask", {"question": "What do the lamps of Orro hold?"})
            except (OSError, http.client.HTTPException, ValueError):
                return

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    return threads


@only_in_torture
def test_a_server_that_is_sent_signals(tmp_path: Path):
    draw = random.Random(1)
    for point in range(TORTURE):
        number = SIGNALS[point % len(SIGNALS)]
        folder = tmp_path / f"{point}"
        here = Setting(env={"SELFEDIT_FAKE_DELAY": "0.05", "COLUMNS": "200"})
        server = Running(["serve", *MODEL, "--library", str(folder), "--port", "0"], here)
        url = address_of(server)
        stop = threading.Event()
        threads = under_load(url, stop)
        acknowledged = [learn(url, name) for name in HELD]
        time.sleep(draw.uniform(0, 2))
        os.kill(server.pid, number)
        ended = server.wait(60)
        stop.set()
        for thread in threads:
            thread.join()
        told = f"{number.name}: {ended}"
        assert not ended.crashed, told
        again = Service(FakeModel(), folder, ServeSettings())
        again.start()
        try:
            jobs = [again.jobs.wait(job) for job in acknowledged]
            assert [(job.status, job.error) for job in jobs] == [("succeeded", None)] * 3, told
            versions = [own.version for own in again.library.adapters() if own.status == "committed"]
            assert [job.result["version"] for job in jobs if job.result] == versions, told
            for name, thing in HELD.items():
                assert thing in again.library.ask(f"What do the {name} of Orro hold?")[0], told
        finally:
            again.close()
        assert not left_behind(folder), told
