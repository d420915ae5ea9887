"""`selfedit arc solvable`, `train arc` and `eval arc` as a user runs them, with the fake model."""

from __future__ import annotations

import json
import signal
import time

import pytest

from selfedit.domains.arc.solvable import Solvable, Tried
from tests.cli.test_cli import run, start
from tests.cli.test_recorded_keys import stored

TURNED = "3c9b0459,74dd1130,6150a2bd"  # what the fake model can learn
RECOLOURED = "0d3d703e"  # what it cannot


def args(command: str, library, *more):
    split = ["--split", "training"]
    return [*command.split(), "--model", "fake", *split, "--library", library, "--json", *more]


def test_solvable_writes_ids_that_say_what_was_filtered(tmp_path):
    ids = tmp_path / "ids.txt"
    done = run(*args("arc solvable", tmp_path / "a", "--ids", f"{TURNED},{RECOLOURED}", "--out", ids))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["solvable"] == TURNED.split(",")
    assert result["in_context"] == []
    page = tmp_path / "report.html"
    run("report", "latest", "--library", tmp_path / "a", "--html", page)
    assert "oracle, test input 1: right" in page.read_text(encoding="utf-8")
    text = ids.read_text(encoding="utf-8")
    assert text.startswith("# Tasks were filtered: 3 of 4 tried were solved by fake")
    assert '"learning_rate": 0.001' in text
    trained = run(*args("train arc", tmp_path / "a", "--ids", ids, "--candidates", "2"))
    assert "3 of 4 tried were solved by fake" in json.loads(trained.stdout)["notes"][0]


def test_the_table(tmp_path):
    conditions = ["--conditions", "in-context,ttt,oracle", "--ids", f"{TURNED},{RECOLOURED}"]
    done = run(*args("eval arc", tmp_path / "a", *conditions))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    rows = {row["condition"]: row for row in result["rows"]}
    assert rows["in-context"]["accuracy"] == 0.0
    assert rows["oracle"]["by_context"] == [1.0, 1.0, 1.0, 0.0]
    ttt = rows["ttt"]
    assert ttt["models"] == 20
    assert ttt["invalid"] > 0
    assert ttt["failed"] > 0
    assert ttt["accuracy"] == pytest.approx(ttt["solved"] / 20)  # five edits of each task
    assert sum(count for _, count in ttt["reasons"]) == ttt["invalid"] + ttt["failed"]
    assert len(result["pairs"]) == 3
    page = tmp_path / "report.html"
    report = run("report", "latest", "--library", tmp_path / "a", "--html", page)
    assert "Task by task" in report.stdout
    html = page.read_text(encoding="utf-8")
    assert "Task 3c9b0459: in-context not solved, ttt" in html
    assert "oracle, test input 1: right" in html
    # Four tasks: demonstrations, and an answer by each condition; every task has a trained edit.
    assert html.count("<svg ") >= 4 * 4
    assert json.loads(run(*args("eval arc", tmp_path / "a", *conditions)).stdout) == result


def test_bounds_of_edits(tmp_path):
    """The fake model's edits ask for two epochs or for 1,000, at rates of 1e-6 or 1e-4."""
    more = ["--ids", TURNED, "--candidates", "4"]
    free, held = (
        json.loads(run(*args("train arc", tmp_path / name, *more, *bounds)).stdout)["rounds"][0]
        for name, bounds in (("free", ()), ("held", ("--epoch-bounds", "1,3")))
    )
    assert held["invalid_edits"] > free["invalid_edits"]
    assert free["failed_edits"] > held["failed_edits"] == 0
    # The oracle is none of them: it has two epochs, as always.
    bounds = ["--rate-bounds", "1e-5,5e-5", "--epoch-bounds", "3,5"]
    conditions = ["--conditions", "ttt,oracle", "--ids", TURNED]
    done = run(*args("eval arc", tmp_path / "a", *conditions, *bounds))
    assert done.returncode == 0, done.stderr
    rows = {row["condition"]: row for row in json.loads(done.stdout)["rows"]}
    assert rows["ttt"]["invalid"] == rows["ttt"]["models"]
    assert any("not from 0.00001 to 0.00005" in reason for reason, _ in rows["ttt"]["reasons"])
    assert rows["oracle"]["by_context"] == [1.0, 1.0, 1.0]
    page = tmp_path / "report.html"
    assert run("report", "latest", "--library", tmp_path / "a", "--html", page).returncode == 0
    assert "oracle, test input 1: right" in page.read_text(encoding="utf-8")


def test_the_oracle_is_trained_once(tmp_path):
    """`eval arc` finds the trials of `arc solvable`, however edits are to be written."""
    library = tmp_path / "a"
    done = run(*args("arc solvable", library, "--ids", TURNED, "--learning-rate", "2e-3"))
    assert done.returncode == 0, done.stderr
    trained = stored(library / "store.sqlite")["trials"]
    assert trained[0] == 3
    oracle = ["--conditions", "oracle", "--ids", TURNED, "--learning-rate", "2e-3"]
    for written in ([], ["--constrained"], ["--constrained", "--epoch-bounds", "1,3"]):
        done = run(*args("eval arc", library, *oracle, *written))
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["rows"][0]["accuracy"] == 1.0
        assert stored(library / "store.sqlite")["trials"] == trained, written
    run(*args("eval arc", library, *oracle, "--step-limit", "7"))
    assert stored(library / "store.sqlite")["trials"][0] == 6, "what it is trained by still counts"


def test_what_the_policy_was_trained_on_is_refused(tmp_path):
    """And the round says how many of its edits were valid, of which some failed."""
    done = run(*args("train arc", tmp_path / "a", "--ids", TURNED, "--candidates", "4"))
    assert done.returncode == 0, done.stderr
    (record,) = json.loads(done.stdout)["rounds"]
    assert record["num_edits"] == 12
    assert record["invalid_edits"] == record["num_invalid"] > 0
    assert record["failed_edits"] > 0
    valid = f"{12 - record['invalid_edits']} of 12 edits"
    assert f"valid: {valid}" in " ".join(done.stderr.split())
    assert "best edit of each task" in " ".join(done.stderr.split())
    page = tmp_path / "train.md"
    run("report", "latest", "--library", tmp_path / "a", "--markdown", page)
    text = page.read_text(encoding="utf-8")
    assert valid in text
    assert f"{record['failed_edits']} failed" in text
    trained = 12 - record["invalid_edits"] - record["failed_edits"]
    assert f"that of the {trained} of 12 edits that have a reward" in text
    assert "passage" not in text
    assert "demonstrations and 1 test input of task" in text
    policy = ["--conditions", "seal", "--policy", record["policy"]]
    refused = run(*args("eval arc", tmp_path / "a", *policy, "--ids", f"{TURNED},{RECOLOURED}"))
    assert refused.returncode == 1
    assert "trained on 3 of these 4 tasks: " in " ".join(refused.stderr.split())
    other = run(*args("eval arc", tmp_path / "a", *policy, "--ids", RECOLOURED))
    assert other.returncode == 0, other.stderr
    assert json.loads(other.stdout)["notes"] == []
    compared = run("compare", "2", "--as", "figure4", "--library", tmp_path / "a", "--json")
    assert compared.returncode == 0, compared.stderr
    assert json.loads(compared.stdout)["columns"] == ["0 rounds", "1 round"]


def test_a_submission_has_two_attempts_at_every_input(tmp_path):
    path = tmp_path / "submission.json"
    ids = ["--ids", "25ff71a9,3c9b0459", "--conditions", "oracle", "--submission", path]
    done = run(*args("eval arc", tmp_path / "a", *ids))
    assert done.returncode == 0, done.stderr
    made = json.loads(path.read_text(encoding="utf-8"))
    assert {task: len(given) for task, given in made.items()} == {"25ff71a9": 2, "3c9b0459": 1}
    assert all(pair.keys() == {"attempt_1", "attempt_2"} for given in made.values() for pair in given)


def test_killed_training_ends_with_the_same_policy(tmp_path):
    more = ["--ids", TURNED, "--candidates", "4"]
    whole = json.loads(run(*args("train arc", tmp_path / "whole", *more)).stdout)
    (record,) = whole["rounds"]
    assert record["num_trials"] == 12
    assert 0 < record["num_invalid"] < 12
    assert record["selected"]
    for pause in (2.0, 3.5):
        process = start(*args("train arc", tmp_path / "killed", *more), delay=0.3)
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    again = run(*args("train arc", tmp_path / "killed", *more))
    assert again.returncode == 0, again.stderr
    for key in ("selected", "num_invalid", "mean_reward", "losses"):
        assert json.loads(again.stdout)["rounds"][0][key] == record[key]


def test_what_cannot_work_is_refused_at_once(tmp_path):
    for more, said in (
        (["--conditions", "seal"], "--policy"),
        (["--conditions", "tt"], "use some of in-context"),
        (["--preset", "arc-tiny"], "arc-paper, arc-small"),
        (["--ids", "nothing"], "no task has the id"),
    ):
        done = run(*args("eval arc", tmp_path / "a", *more))
        assert done.returncode == 1
        assert said in done.stderr


def test_the_ids_can_be_those_that_only_training_solves(tmp_path):
    def tried(name, solved, in_context):
        return Tried(name, solved, in_context, "scored", "", 1.0, ())

    all_ = (tried("a", True, False), tried("b", True, True), tried("c", False, True))
    found = Solvable(all_, "fake", "the oracle")

    def ids(text):
        return [line for line in text.splitlines() if not line.startswith("#")]

    assert ids(found.ids_file()) == ["a", "b"]
    assert ids(found.ids_file(only_learned=True)) == ["a"]
    assert "1 of 3 tried were solved by the oracle, and not in context." in found.ids_file(True)
    refused = run(*args("arc solvable", tmp_path / "a", "--only-learned"))
    assert "--out" in refused.stderr


def test_small_tasks_of_our_own(tmp_path):
    """`--source mini`: the whole experiment in small, on tasks that the oracle solves."""
    mini, ids = ["--source", "mini"], tmp_path / "ids.txt"
    done = run(*args("arc solvable", tmp_path / "a", *mini, "--limit", "6", "--out", ids))
    assert done.returncode == 0, done.stderr
    solved = json.loads(done.stdout)["solvable"]
    assert solved, "the fake model turns and mirrors"
    assert all(name.startswith("mini-3to5-0-training-") for name in solved)
    assert '"use_chain_augmentations": true' in json.loads(done.stdout)["filter"]
    fewer = run(*args("arc solvable", tmp_path / "a", *mini, "--limit", "1", "--groups", "basic,size"))
    by = json.loads(fewer.stdout)["filter"]
    assert '"use_size_augmentations": true' in by
    assert '"use_chain_augmentations": false' in by
    trained = run(*args("train arc", tmp_path / "a", *mini, "--ids", ids, "--candidates", "3"))
    assert trained.returncode == 0, trained.stderr
    (record,) = json.loads(trained.stdout)["rounds"]
    assert record["num_edits"] == 3 * len(solved)
    held_out = ["--split", "evaluation", "--limit", "3", "--candidates", "2"]
    conditions = ["--conditions", "in-context,ttt,seal", "--policy", record["policy"]]
    table = run(*args("eval arc", tmp_path / "a", *mini, *held_out, *conditions))
    assert table.returncode == 0, table.stderr
    assert [row["condition"] for row in json.loads(table.stdout)["rows"]] == [
        "in-context",
        "ttt",
        "seal",
    ]
    report = run("report", "latest", "--library", tmp_path / "a")
    assert "What RL changed in the choices" in report.stdout
    both = run(*args("train arc", tmp_path / "a", *mini, "--tasks", ids))
    assert "leave out --tasks" in both.stderr
