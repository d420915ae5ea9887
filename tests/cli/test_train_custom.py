"""`selfedit train custom` with examples/custom_domain.py, whose code docs/tutorial-domain.md shows."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from selfedit.domains.base import BaseDomain
from selfedit.domains.options import Evaluating, OuterLoop
from selfedit.errors import InputError
from selfedit.grading import GRADERS, contains, offline
from selfedit.model.fake import FakeModel
from selfedit.store import Store
from tests.cli.test_cli import run

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "custom_domain.py"


def args(library, *more):
    words = ["--data", ROOT / "examples" / "spelling.jsonl", "--model", "fake"]
    return ["train", "custom", f"{EXAMPLE}:Spelling", *words, "--library", library, "--json", *more]


def test_a_domain_in_a_file_has_plan_rounds_and_report(tmp_path):
    done = run(*args(tmp_path / "a"))
    assert done.returncode == 0, done.stderr
    assert "2 rounds x 4 words x 2 edits x 1 seeds = 16 inner loops" in " ".join(done.stderr.split())
    result = json.loads(done.stdout)
    assert [r["best_reward"] for r in result["rounds"]] == [1.0, 1.0]
    assert (result["rounds"][0]["baseline"], result["rounds"][0]["changed"]) == (0.0, True)
    assert "lantern" in result["tasks"]
    again = run(*args(tmp_path / "a"))
    assert json.loads(again.stdout) == result
    assert "Plan" not in again.stderr
    report = run("report", "latest", "--library", tmp_path / "a", "--context", "lantern")
    assert "The word lantern spelled backwards is nretnal." in report.stdout


def test_what_an_edit_lacks_is_its_reason_and_options_go_before_the_preset(tmp_path):
    """Edits of one word, whose sentence the fake model cannot repeat: its prompt ends with another."""
    text = EXAMPLE.read_text(encoding="utf-8").replace("{task.context}", "{task.title}")
    (tmp_path / "own.py").write_text(text, encoding="utf-8")
    words = ["--data", ROOT / "examples" / "spelling.jsonl", "--model", "fake", "--limit", "3"]
    done = run(
        "train", "custom", f"{tmp_path / 'own.py'}:Spelling", *words, "--rounds", "1",
        "--contexts", "2", "--candidates", "3", "--library", tmp_path / "b", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (record,) = json.loads(done.stdout)["rounds"]
    assert (record["num_edits"], record["invalid_edits"], record["changed"]) == (6, 6, False)
    assert "it does not say how the word is spelled backwards" in record["note"]


def test_what_is_rewarded_otherwise_is_evaluated_by_accuracy(tmp_path):
    text = EXAMPLE.read_text(encoding="utf-8")
    text = text.replace("(candidates=2", '(candidates=2, measure={"kind": "f1"}')
    (tmp_path / "own.py").write_text(text, encoding="utf-8")
    asked = {"domain": f"{tmp_path / 'own.py'}:Spelling", "data": ROOT / "examples" / "spelling.jsonl"}
    assert OuterLoop(**asked).settings().inner.measure.kind == "f1"
    inner = Evaluating(**asked, epochs=3).settings().inner
    assert (inner.measure.kind, inner.candidates, inner.train.epochs) == ("accuracy", 2, 3)


def test_train_and_eval_make_the_same_domain(tmp_path):
    """Neither gives it a grader that nobody chose."""
    text = EXAMPLE.read_text(encoding="utf-8")
    own = "\n    def __init__(self):\n        super().__init__()\n"
    presets = text.replace("rounds=2", 'grader="exact", rounds=2')
    for name, code in (("plain", text), ("own", text + own), ("named", presets)):
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
    data = ROOT / "examples" / "spelling.jsonl"

    def made(name, grader=None):
        target = f"{tmp_path / name}.py:Spelling"
        model, store = FakeModel(), Store(tmp_path / "store.sqlite")
        train = OuterLoop(domain=target, data=data, grader=grader)
        trained = train.prepared(train.settings(), model, store).domain.grader
        evaluated = Evaluating(domain=target, data=data, grader=grader).prepared(model, store)
        return trained, evaluated.grader or evaluated.domain.grader

    assert made("plain") == made("own") == (contains, contains)
    assert made("plain", "offline") == (offline, offline)
    assert made("named") == (GRADERS["exact"], GRADERS["exact"])
    with pytest.raises(InputError, match="takes no grader: leave --grader"):
        made("own", "offline")


def test_what_cannot_be_loaded(tmp_path):
    for target, message in (("no.py:Own", "there is no file"), (f"{EXAMPLE}:Own", "there is no Own")):
        done = run("train", "custom", target, "--data", "x", "--model", "fake")
        assert done.returncode == 1
        assert message in done.stderr


def test_data_that_is_not_there_or_of_another_form(tmp_path):
    def refused(data):
        done = run("train", "custom", f"{EXAMPLE}:Spelling", "--data", data, "--model", "fake",
                   "--library", tmp_path / "c")  # fmt: skip
        assert done.returncode == 1
        return done.stderr

    missing = refused(tmp_path / "nope.jsonl")
    assert "nope.jsonl: No such file or directory." in missing
    assert "goes on from there" not in missing
    other = tmp_path / "other.jsonl"
    for text in ('{"title": "T"}', "word", '["word"]'):
        other.write_text(text, encoding="utf-8")
        assert f'{other}: each line must be {{"word": "..."}}.' in refused(other)


def words(code: str) -> str:
    """The code however it is laid out."""
    return " ".join(code.split())


def test_the_tutorial_shows_the_example():
    page = (ROOT / "docs" / "tutorial-domain.md").read_text(encoding="utf-8")
    code = EXAMPLE.read_text(encoding="utf-8")
    shown = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(shown) == 6
    assert [block for block in shown if words(block) not in words(code)] == []
    assert "def tasks" in shown[0]


def test_a_chosen_grader_has_trials_of_its_own():
    class Own(BaseDomain):
        pass

    class Silent(BaseDomain):
        def __init__(self):
            """Without its parent's."""

    assert Own().digest() == Own(contains).digest() != Own(offline).digest()
    assert Silent().digest() != Own().digest()
