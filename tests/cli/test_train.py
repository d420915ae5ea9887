"""`selfedit train knowledge` as a user runs it, with the fake model."""

from __future__ import annotations

import json
import signal
import time

from tests.cli.test_cli import run, start
from tests.endpoint_server import EndpointServer, Reply, error


def data(folder, first=0):
    path = folder / f"tasks-from-{first}.json"
    items = [
        {
            "title": f"Tower {i}",
            "context": f"The tower number{i} is made of stone{i}. The tower number{i} is in field{i}.",
            "questions": [{"question": f"What is tower number{i} made of?", "answer": f"stone{i}"}],
        }
        for i in range(first, first + 5)
    ]
    path.write_text(json.dumps(items), encoding="utf-8")
    return path


def args(folder, library, *more):
    return [
        "train", "knowledge", "--preset", "smoke", "--model", "fake", "--data", data(folder),
        "--library", folder / library, "--json", *more,
    ]  # fmt: skip


def test_rounds_and_plan(tmp_path):
    done = run(*args(tmp_path, "a"))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [r["number"] for r in result["rounds"]] == [1, 2]
    assert "2 rounds x 2 contexts x 2 edits x 1 seeds = 8 inner loops" in done.stderr
    assert "round 2:" in done.stderr
    asked = run("ask", "Who?", "--model", result["policy"], "--library", tmp_path / "a")
    assert asked.returncode == 0, asked.stderr  # the policy is a model that --model accepts
    again = run(*args(tmp_path, "a"))
    assert json.loads(again.stdout) == result
    assert "Plan" not in again.stderr  # nothing is left to do


def test_the_table_fits_a_narrow_terminal(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    done = run(*(part for part in args(tmp_path, "a") if part != "--json"))
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("│")]
    assert [row.split()[1] for row in rows] == ["1", "2"], "a line for each round"
    for number in (1, 2):
        (policy,) = (tmp_path / "a" / "policies").glob(f"*/round-{number}")
        assert f"policy of round {number}: {policy}\n" in done.stdout
    assert "of writing self-edits" in done.stderr


def test_the_grader_decides_what_an_edit_is_worth(tmp_path):
    best = {}
    for grader in ("offline", "exact"):  # in one library: the second does not read the first's grades
        done = run(*args(tmp_path, "a", "--grader", grader, "--rounds", "1"))
        best[grader] = json.loads(done.stdout)["rounds"][0]["best_reward"]
    assert best == {"offline": 1.0, "exact": 0.0}


def test_a_judge_grades_once_and_its_failure_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFEDIT_JUDGE_API_KEY", "sk-test-0b1f")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    working = True
    server = EndpointServer(
        lambda *_: Reply("yes") if working or len(server.requests) < 3 else error(401, "no such key")
    )
    by_judge = ["--grader", "judge", "--judge-url", server.url, "--judge-model", "j", "--rounds", "1"]
    try:
        done = run(*args(tmp_path, "a", *by_judge))
        assert json.loads(done.stdout)["rounds"][0]["best_reward"] == 1.0, done.stderr
        asked = len(server.requests)
        assert run(*args(tmp_path, "a", *by_judge)).stdout == done.stdout
        assert len(server.requests) == asked > 2
        working = False
        server.requests.clear()
        stopped = run(*args(tmp_path, "b", *by_judge))
        assert stopped.returncode == 1
        assert "The judge j" in stopped.stderr
        working = True
        again = run(*args(tmp_path, "b", *by_judge))
        assert json.loads(again.stdout)["rounds"][0]["best_reward"] == 1.0
        assert len(server.requests) == asked + 1, "what was judged before is not asked again"
    finally:
        server.close()


def test_killed_runs_end_with_the_same_policy(tmp_path):
    whole = json.loads(run(*args(tmp_path, "whole")).stdout)
    for pause in (1.2, 2.4):
        process = start(*args(tmp_path, "killed"), delay=0.3)
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        process.stderr.close()
    result = json.loads(run(*args(tmp_path, "killed")).stdout)
    assert [r["selected"] for r in result["rounds"]] == [r["selected"] for r in whole["rounds"]]


def test_bad_settings_say_what_to_do(tmp_path):
    for more, message in (
        (["--preset", "grand"], "squad-paper"),
        (["--rule", "worst"], "--rule"),
        (["--grader", "me"], "--grader"),
        (["--grader", "judge", "--judge-url", "nowhere"], "--judge-url"),
        (["--judge-url", "http://127.0.0.1:9/v1"], "--judge-url: add --grader judge"),
        (["--tracker", "notebook"], "tensorboard"),
    ):
        done = run(*args(tmp_path, "b", *more))
        assert done.returncode == 1
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    done = run("train", "knowledge", "--model", "fake", "--data", tmp_path / "none.json")
    assert done.returncode == 1
    assert "none.json" in done.stderr
