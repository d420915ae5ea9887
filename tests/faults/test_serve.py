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
from tests.faults import ledger
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


def sent(folder: Path, number: int, after: float) -> str:
    """What is wrong after a server under load was sent a signal so many seconds after it had
    acknowledged three documents; "": nothing."""
    here = Setting(env={"SELFEDIT_FAKE_DELAY": "0.05", "COLUMNS": "200"})
    server = Running(["serve", *MODEL, "--library", str(folder), "--port", "0"], here)
    url = address_of(server)
    stop = threading.Event()
    threads = under_load(url, stop)
    acknowledged = [learn(url, name) for name in HELD]
    time.sleep(after)
    os.kill(server.pid, number)
    ended = server.wait(60)
    stop.set()
    for thread in threads:
        thread.join()
    if ended.crashed:
        return f"a traceback: {ended.err}"
    again = Service(FakeModel(), folder, ServeSettings())
    again.start()
    try:
        jobs = [again.jobs.wait(job) for job in acknowledged]
        if [(job.status, job.error) for job in jobs] != [("succeeded", None)] * 3:
            return f"jobs: {jobs}"
        versions = [own.version for own in again.library.adapters() if own.status == "committed"]
        if [job.result["version"] for job in jobs if job.result] != versions:
            return f"versions {versions}, jobs: {jobs}"
        for name, thing in HELD.items():
            if thing not in (said := again.library.ask(f"What do the {name} of Orro hold?")[0]):
                return f"the {name}: {said}"
    finally:
        again.close()
    return f"left behind: {left}" if (left := left_behind(folder)) else ""


@only_in_torture
def test_a_server_that_is_sent_signals(tmp_path: Path):
    failed = []
    for point in sorted(set(range(TORTURE)) - ledger.held("kill", "serve")):
        number = SIGNALS[point % len(SIGNALS)]
        after = random.Random(f"serve {point}").uniform(0, 2)
        wrong = sent(tmp_path / f"{point}", number, after)
        outcome = "failed" if wrong else "held"
        ended = {"signal": number.name, "after": round(after, 2)}
        ledger.note("kill", "serve", point=point, outcome=outcome, said=wrong, **ended)
        if wrong:
            failed.append(f"point {point}, {ended}: {wrong}")
    assert not failed
