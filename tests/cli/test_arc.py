"""`selfedit arc`."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from selfedit.cli.app import app
from selfedit.domains.arc.options import parse_groups
from selfedit.errors import InputError, SelfEditError

TASK = {
    "train": [
        {"input": [[1, 0]], "output": [[0, 1]]},
        {"input": [[2, 0], [0, 0]], "output": [[0, 0], [0, 2]]},
        {"input": [[3, 0, 4]], "output": [[4, 0, 3]]},
    ],
    "test": [{"input": [[5, 6]], "output": [[6, 5]]}],
}


def arc(*arguments):
    return CliRunner().invoke(app, ["arc", *map(str, arguments)])


def tasks(*arguments):
    done = arc("augment", *arguments, "--json")
    assert done.exit_code == 0, done.output
    (line,) = done.stdout.splitlines()
    written = json.loads(line)
    assert set(written) == {"tasks"}
    for task in written["tasks"]:
        assert set(task) == {"train", "test"}
        assert len(task["test"]) == 1
        assert all(set(pair) == {"input", "output"} for pair in [*task["train"], *task["test"]])
    return written["tasks"]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "task.json"
    path.write_text(json.dumps(TASK), encoding="utf-8")
    return path


def test_augment_geometric_only(file):
    made = tasks(file, "--groups", "size", "--geometric-only", "--seed", 1)
    originals = [one for one in made if one["test"][0] in TASK["train"]]
    assert len(made) == 9 * 4
    assert len(originals) == 9
    assert {len(one["train"]) for one in made} == {1, 2}
    assert {
        "train": [{"input": [[3, 3, 0, 0, 4, 4]] * 2, "output": [[4, 4, 0, 0, 3, 3]] * 2}],
        "test": [{"input": [[1, 1, 0, 0]] * 2, "output": [[0, 0, 1, 1]] * 2}],
    } in made
    assert not any(one["test"][0] in TASK["test"] for one in made)


def test_augment(file):
    geometric = tasks(file, "--geometric-only")
    whole = tasks(file, "--limit", 10_000)
    assert len(geometric) == len({json.dumps(one) for one in geometric})
    assert len(geometric) < len(whole) <= 2 * len(geometric)
    assert all(one in whole for one in geometric)
    kept = tasks(file)
    assert len(kept) == 250 < len(whole)
    assert all(one in whole for one in kept)
    assert kept == tasks(file, "--groups", "repeat,chain,size,basic")
    assert kept != tasks(file, "--seed", 1)
    assert kept[:7] == tasks(file, "--limit", 7)
    assert len(tasks(file, "--groups", "none")) in range(9, 19)
    assert len(tasks(file, "--geometric-only", "--limit", 5)) == 5


def test_augment_a_task_of_a_dataset():
    assert len(tasks("6150a2bd", "--groups", "size", "--geometric-only")) == 16
    assert tasks("6150a2bd", "--limit", 3) == tasks("6150a2bd", "--dataset", "arc-agi-1", "--limit", 3)


def test_augment_one_demonstration(tmp_path):
    path = tmp_path / "one.json"
    path.write_text(json.dumps({**TASK, "train": TASK["train"][:1]}), encoding="utf-8")
    (one,) = tasks(path, "--groups", "none", "--geometric-only")
    assert one == {"train": [], "test": TASK["train"][:1]}


def test_augment_draws(file):
    done = arc("augment", file, "--groups", "none", "--geometric-only", "--show", "2")
    assert done.exit_code == 0
    assert "training task 2" in done.stdout
    assert "training task 3" not in done.stdout
    assert " 1 0               0 1" in done.stdout
    assert "9 training tasks of task, of 3 demonstrations" in done.stdout


@pytest.mark.parametrize("value", ["basis", "basic,sizes", "all", "none,basic"])
def test_groups_that_there_are_not(file, value):
    done = arc("augment", file, "--groups", value)
    assert isinstance(done.exception, InputError)
    assert "basic, size, chain, repeat" in str(done.exception)


def test_groups_are_put_in_order():
    assert parse_groups(" size,basic,,size") == ("basic", "size")
    assert parse_groups("") == parse_groups("none") == ()


def test_bad_numbers(file):
    assert arc("augment", file, "--limit", 0).exit_code == 2
    assert arc("augment", file, "--seed", -1).exit_code == 2
    assert isinstance(arc("augment", "nothing").exception, InputError)
    assert isinstance(arc("show", file.parent / "none.json").exception, InputError)


def test_show(file, tmp_path):
    svg = tmp_path / "task.svg"
    done = arc("show", file, "--svg", svg)
    assert done.exit_code == 0
    assert "task: 3 demonstrations, 1 test inputs" in done.stdout
    assert "test output 1" in done.stdout
    assert svg.read_text(encoding="utf-8").startswith("<svg ")
    assert "test output 1" not in arc("show", file, "--no-answers").stdout
    assert json.loads(arc("show", file, "--json").stdout) == {"id": "task", **TASK}
    hidden = json.loads(arc("show", file, "--json", "--no-answers").stdout)
    assert hidden["test"] == [{"input": [[5, 6]]}]
    failed = arc("show", file, "--svg", "/dev/null/folder.svg")
    assert isinstance(failed.exception, SelfEditError)


def test_list(file):
    listed = json.loads(arc("list", "--ids", "paper-filtered", "--split", "all", "--json").stdout)
    assert len(listed["tasks"]) == 22
    assert listed["tasks"][0]["id"] == "44f52bb0"
    done = arc("list", file, "--filter", "max-cells=20")
    assert done.exit_code == 0, done.output
    assert "1 tasks" in done.stdout
    assert "no task is left" in str(arc("list", file, "--filter", "max-cells=19").exception)
    assert "--model" in str(arc("list", file, "--filter", "max-tokens=15").exception)
    assert arc("list", file, "--filter", "max-tokens=500", "--model", "fake").exit_code == 0
    assert "give that file, too" in str(arc("list", "--solutions", file).exception)
    assert "arc-agi-1 and arc-agi-2" in str(arc("list", "--dataset", "x").exception)


def test_list_of_small_tasks(file):
    done = arc("list", "--source", "mini", "--sizes", "3", "--split", "evaluation", "--json")
    listed = json.loads(done.stdout)["tasks"]
    assert len(listed) == 200
    assert all(task["id"].startswith("mini-3to3-0-evaluation-") for task in listed)
    assert "leave out that file" in str(arc("list", file, "--source", "mini").exception)


def test_score(file, tmp_path):
    """Against the tasks of a file, its solutions alone, and the datasets."""
    right, wrong = [[6, 5]], [[0]]
    made = {"task": [{"attempt_1": wrong, "attempt_2": right}]}
    submission = tmp_path / "submission.json"
    submission.write_text(json.dumps(made), encoding="utf-8")
    solutions = tmp_path / "solutions.json"
    solutions.write_text(json.dumps({"task": [right], "other": [wrong, wrong]}), encoding="utf-8")
    by_file = json.loads(arc("score", submission, "--tasks", file, "--json").stdout)
    assert (by_file["tasks"], by_file["either"], by_file["first"]) == (1.0, 1.0, 0.0)
    assert (by_file["num_tasks"], by_file["num_missing"]) == (1, 0)
    drawn = arc("score", submission, "--tasks", file, "--show", "task")
    assert "task, test input 1, second attempt" in drawn.output
    assert "no such task" in str(arc("score", submission, "--tasks", file, "--show", "x").exception)
    told = arc("score", submission, "--solutions", solutions)
    assert told.exit_code == 0, told.output
    assert "tasks solved          50% (1 of 2)" in told.stdout
    assert "one attempt right     33.3% (1 of 3 test outputs)" in told.stdout
    assert "first attempt right   0% (0 of 3 test outputs)" in told.stdout
    assert "1 of 2 tasks, which are wrong" in told.stdout
    assert "see --solutions" in str(arc("score", submission).exception)
    submission.write_text(json.dumps({"3c9b0459": [{"attempt_1": wrong, "attempt_2": []}]}))
    found = json.loads(arc("score", submission, "--json").stdout)
    assert (found["num_tasks"], found["tasks"]) == (1, 0.0)


def test_ids_are_whole_where_nothing_is_known_of_the_width(monkeypatch):
    """They are what --ids takes; a pipe has 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    ids = [task["id"] for task in json.loads(arc("list", "--source", "mini", "--json").stdout)["tasks"]]
    shown = arc("list", "--source", "mini").stdout
    assert all(f" {name} " in shown for name in ids)
    assert "…" not in shown
