"""`selfedit eval knowledge` as a user runs it, with the fake model."""

from __future__ import annotations

import json

from tests.cli.test_cli import run
from tests.cli.test_train import data

ROW = {"condition", "regime", "accuracy", "low", "high", "questions", "contexts", "tokens", "seconds"}


def args(folder, *more):
    return [
        "eval", "knowledge", "--model", "fake", "--data", data(folder), "--library", folder / "lib",
        "--epochs", "2", *more,
    ]  # fmt: skip


def test_one_json_object_and_a_page(tmp_path):
    page = tmp_path / "table.md"
    done = run(*args(tmp_path, "--json", "--markdown", page, "--contexts", "4"))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert {"rows", "pairs", "model", "grader"} <= set(result)
    assert set(result["rows"][0]) >= ROW
    assert [row["condition"] for row in result["rows"]] == ["base", "in-context", "passage", "own"]
    assert {row["contexts"] for row in result["rows"]} == {4}
    assert result["grader"].startswith("offline 2 (weights ")
    assert set(result["pairs"][0]) == {"a", "b", "difference", "low", "high", "verdict"}
    assert "4 contexts, 8 trainings" in done.stderr
    assert "too few contexts" in page.read_text(encoding="utf-8")
    table = run(*args(tmp_path, "--yes", "--contexts", "4"))
    assert table.returncode == 0, table.stderr
    assert "condition" in table.stdout


def test_a_policy_that_saw_the_contexts_is_refused(tmp_path):
    trained = run(
        "train", "knowledge", "--preset", "smoke", "--model", "fake", "--data", data(tmp_path),
        "--library", tmp_path / "lib", "--json",
    )  # fmt: skip
    policy = json.loads(trained.stdout)["policy"]
    more = ("--conditions", "base,seal", "--policy", policy, "--json")
    elsewhere = ("--library", tmp_path / "elsewhere")
    for given in (("--train-data", data(tmp_path), *elsewhere), ()):  # the library knows its own
        refused = run(*args(tmp_path, *more, *given))
        assert refused.returncode == 1
        assert "both the training and the evaluation data" in " ".join(refused.stderr.split())
    unchecked = run(*args(tmp_path, *more, *elsewhere))
    assert unchecked.returncode == 0, unchecked.stderr
    result = json.loads(unchecked.stdout)
    assert "not checked" in result["notes"][0]
    assert result["rows"][1]["learner"] == result["rows"][1]["writer"] == policy


def test_bad_options_say_what_to_do(tmp_path):
    for more, message in (
        (["--conditions", "seal"], "--policy"),
        (["--conditions", "worst"], "--conditions worst"),
        (["--policy", tmp_path / "lib" / "round-1"], "there is no model folder"),
        (["--markdown", "/dev/null/table.md"], "cannot be written"),
        (["--regime", "all"], "cpt-full"),
        (["--regime", "cpt-full"], "cpt"),
        (["--grader", "me"], "--grader me"),
        (["--candidates", "3"], "--regime cpt"),
        (["--contexts", "50"], "there are 5 contexts"),
        (["--grader", "judge", "--judge-url", "nowhere"], "--judge-url"),
        (["--judge-model", "j"], "--judge-model: add --grader judge"),
        (["--writer-url", "http://127.0.0.1:9/v1"], "--writer-url: add --writer-model"),
    ):
        done = run(*args(tmp_path, *more))
        assert done.returncode == 1, more
        assert message in " ".join(done.stderr.split())
        assert "Traceback" not in done.stderr
    assert "No run is stored" in run("report", "--library", tmp_path / "lib").stdout


SPELLING = """
from selfedit.domains.base import BaseDomain
from selfedit.types import GradedAnswer, Prompt, Score, TrainingPlan, TrainingSequence


class Spelling(BaseDomain):
    noun = "word"

    def prompts(self, task):
        return (Prompt(f"Write about it: {task.context}"),)

    def parse(self, task, edit):
        return TrainingPlan((TrainingSequence(edit.text), TrainingSequence(task.context)))

    def queries(self, task):
        return tuple(Prompt(query.question, kind="question") for query in task.queries)

    def score(self, task, answers):
        graded = zip(task.queries, answers, strict=True)
        return Score(tuple(GradedAnswer(q.question, q.gold, a, q.gold in a) for q, a in graded))
"""


def test_a_domain_of_ones_own(tmp_path):
    """Planned, stored, resumed and told in its own words, also when its file is gone."""
    file, library = tmp_path / "spelling.py", tmp_path / "lib"
    file.write_text(SPELLING, encoding="utf-8")
    command = [
        "eval", "custom", f"{file}:Spelling", "--data", data(tmp_path), "--model", "fake",
        "--library", library, "--candidates", "2", "--seeds", "2", "--json",
    ]  # fmt: skip
    done = run(*command)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    rows = {row["condition"]: row for row in result["rows"]}
    assert (rows["base"]["accuracy"], rows["own"]["accuracy"]) == (0.0, 1.0)
    assert rows["own"]["models"] == 5 * 2 * 2
    assert result["domain"] == result["grader"] == "Spelling"
    assert "Plan: 5 words, 20 trainings" in done.stderr
    again = run(*command)
    assert json.loads(again.stdout) == result  # seconds, too: nothing was trained again
    file.unlink()
    told = run("report", "latest", "--library", library)
    assert "Word by word" in told.stdout
    compared = run("compare", "1", "2", "--as", "figure4", "--library", library, "--json")
    assert json.loads(compared.stdout)["rows"] == ["Spelling"]
    gone = run(*command)
    assert "there is no file" in " ".join(gone.stderr.split())
