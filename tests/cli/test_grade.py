"""`selfedit grade`."""

from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

from selfedit.cli.app import app
from selfedit.errors import InputError
from selfedit.grading import GRADERS


def grade(tmp_path, lines, *options):
    file = tmp_path / "answers.jsonl"
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    file.write_text(text, encoding="utf-8")
    return CliRunner().invoke(app, ["grade", str(file), *options])


def line(gold, answer, **more):
    return {"question": "Who won?", "gold": gold, "answer": answer, **more}


LINES = [
    line("Denver Broncos", "The Denver Broncos won.", verdict=True),
    line("Denver Broncos", "Nobody knows.", verdict="no"),
    "",
    line(["Carolina", "Panthers"], "The Panthers.", verdict=0),
    line("Denver Broncos", "", verdict="No"),
    line(1959, "In 1959."),
]


def test_json(tmp_path):
    done = grade(tmp_path, LINES, "--grader", "contains", "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result == {
        "grader": "contains",
        "num": 5,
        "yes_rate": 0.6,
        "num_verdicts": 4,
        "kappa": pytest.approx(0.5),
        "agreement": 0.75,
        "verdict_yes_rate": 0.25,
        "correct": [True, False, True, False, True],
    }


def test_offline_is_the_default(tmp_path):
    lines = [line("twelve", "12 people."), line("twelve", "13 people.")]
    result = json.loads(grade(tmp_path, lines, "--json").stdout)
    assert result == {"grader": "offline", "num": 2, "yes_rate": 0.5, "correct": [True, False]}


def test_an_empty_answer_is_wrong_whoever_grades(tmp_path, monkeypatch):
    monkeypatch.setitem(GRADERS, "kind", lambda *_: True)
    lines = [line("Denver", "  "), line("Denver", "?")]
    assert json.loads(grade(tmp_path, lines, "-g", "kind", "--json").stdout)["correct"] == [False, True]


def test_kappa_that_is_not_defined_is_null(tmp_path):
    lines = [line("Denver", "Denver", verdict=1)]
    result = json.loads(grade(tmp_path, lines, "--json").stdout)
    assert result["kappa"] is None
    assert result["agreement"] == 1
    assert "undefined" in grade(tmp_path, lines).stdout


def test_table(tmp_path):
    shown = grade(tmp_path, LINES).stdout
    assert re.search(r"graded correct\W+60\.0%", shown)
    assert "kappa" in shown
    assert "kappa" not in grade(tmp_path, [line("Denver", "Denver")]).stdout


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("{", "invalid JSON"),
        ("[" * 100_000, "unusable JSON"),
        ("[]", "not an object"),
        ({"question": "Who?", "answer": "I"}, '"gold" is missing'),
        ({"question": "Who?", "gold": "I"}, '"answer" is missing'),
        (line([], "I"), '"gold" is empty'),
        (line(["I", " "], "I"), '"gold" is empty'),
        (line({"text": "I"}, "I"), '"gold" must be a string or a list'),
        (line("I", ["I"]), '"answer" must be a string'),
        (line("I", "I", verdict="maybe"), '"verdict" must be'),
        (line("I", "I", verdict=2), '"verdict" must be'),
    ],
)
def test_bad_lines_are_named(tmp_path, bad, why):
    done = grade(tmp_path, [line("Denver", "Denver"), "", bad])
    assert isinstance(done.exception, InputError)
    assert "answers.jsonl, line 3: " in str(done.exception)
    assert why in str(done.exception)


def test_nothing_to_grade(tmp_path):
    assert "holds no answers" in str(grade(tmp_path, ["", " "]).exception)
    assert "no such file" in str(CliRunner().invoke(app, ["grade", str(tmp_path / "x")]).exception)
    assert "there is contains" in str(grade(tmp_path, LINES, "--grader", "best").exception)
