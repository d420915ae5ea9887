"""`selfedit train` with other rewards, questions and self-edits, as a user runs it; the fake model."""

from __future__ import annotations

import json

import pytest

from tests.cli.test_cli import run


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    items = [
        {
            "title": f"Tower {i}",
            "context": f"The tower number{i} is made of stone{i}. It stands in the village of Orro{i}.",
            "questions": [{"question": f"What is tower number{i} made of?", "answer": f"stone{i}"}],
        }
        for i in range(3)
    ]
    file = tmp_path_factory.mktemp("data") / "data.json"
    file.write_text(json.dumps(items), encoding="utf-8")
    return file


def train(tmp_path, data, *more):
    common = ["--model", "fake", "--preset", "smoke", "--rounds", "1", "--library", tmp_path / "lib"]
    return run("train", "knowledge", "--data", data, *common, "--json", *more)


def test_the_plan_and_the_report_say_what_rewards_are_worth(tmp_path, data):
    first = train(tmp_path, data)
    assert first.returncode == 0, first.stderr
    assert "is not known yet; train a few contexts with --seeds 2" in " ".join(first.stderr.split())
    assert train(tmp_path, data, "--seeds", "2", "--candidates", "3").returncode == 0
    third = train(tmp_path, data, "--seeds", "3", "--candidates", "3")
    assert "is not known yet; it will be measured" in " ".join(third.stderr.split()), "all are equal"
    report = json.loads(run("report", "latest", "--library", tmp_path / "lib", "--json").stdout)
    assert report["rewards"]["measure"].startswith("accuracy")
    assert report["rewards"]["reliability"]["1"]["single"] is None


def test_another_reward_another_learner_and_credit_by_statement(tmp_path, data):
    done = train(tmp_path, data, "--reward", "mixed", "--reward-place", "own", "--learner", "first",
                 "--credit", "statement", "--common-order", "--candidates", "4")  # fmt: skip
    assert done.returncode == 0, done.stderr
    (record,) = json.loads(done.stdout)["rounds"]
    assert record["mean_reward"] == pytest.approx(0.75), "right, and a probability of a half"
    assert all("\n" not in text for text in record["selected"])
    page = tmp_path / "r.md"
    run("report", "latest", "--library", tmp_path / "lib", "--markdown", page)
    text = page.read_text(encoding="utf-8")
    assert "mean of accuracy and of the gold answers' probability" in text
    assert "credit of its statements: +75" in text


def test_questions_of_nobody(tmp_path, data):
    done = train(tmp_path, data, "--questions", "cloze", "--reward", "likelihood")
    assert done.returncode == 0, done.stderr
    assert any("blanks" in note for note in json.loads(done.stdout)["notes"])
    assert "use given, own or cloze" in train(tmp_path, data, "--questions", "mine").stderr
    wrong = train(tmp_path, data, "--reward", "mixed", "--reward-place", "x").stderr
    assert "--reward-place x: use one of start, short, opening, own." in wrong
    assert "--reward x: use one of true, f1, samples" in train(tmp_path, data, "--reward", "x").stderr


def test_directed_edits(tmp_path, data):
    """One in five of the fake's has no head, one a rate out of bounds."""
    done = train(tmp_path, data, "--strategy", "directed", "--constrained", "--candidates", "8")
    assert done.returncode == 0, done.stderr
    (record,) = json.loads(done.stdout)["rounds"]
    assert 0 < record["invalid_edits"] < record["num_edits"] == 16
    assert record["mean_reward"] == 1.0
    assert all(text.startswith('{"strategy": ') for text in record["selected"])
    evaluated = run("eval", "knowledge", "--data", data, "--model", "fake", "--strategy", "directed",
                    "--conditions", "base,own,seal", "--policy", record["policy"],
                    "--library", tmp_path / "other", "--json")  # fmt: skip
    assert evaluated.returncode == 0, evaluated.stderr
    report = run("report", "latest", "--library", tmp_path / "other")
    assert "What RL changed in the choices" in report.stdout
    refused = run("train", "knowledge", "--data", data, "--model", "fake", "--constrained")
    assert "directed" in refused.stderr


def test_bounds_of_directed_edits(tmp_path, data):
    """Some of the fake's heads ask for more than 3 epochs."""
    directed = ("--strategy", "directed", "--candidates", "8")
    wide, narrow = (
        json.loads(train(tmp_path / name, data, *directed, "--epoch-bounds", given).stdout)["rounds"][0]
        for name, given in (("wide", "1,20"), ("narrow", "1,3"))
    )
    assert wide["invalid_edits"] < narrow["invalid_edits"]
    for bounds, said in (
        (("--epoch-bounds", "3,2"), "--epoch-bounds 3,2: two numbers of epochs"),
        (("--epoch-bounds", "1,x"), "--epoch-bounds 'x': Input should be a valid integer"),
        (
            ("--epoch-bounds", "1"),
            "--epoch-bounds 1: another value is missing behind it, after a comma",
        ),
        (("--rate-bounds", "0,1e-3"), "two rates above 0, in order, 1 at most"),
    ):
        refused = train(tmp_path, data, *directed, *bounds)
        assert refused.returncode != 0
        assert said in refused.stderr
