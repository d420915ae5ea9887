"""A library of an earlier version: its reports still open, and its commands still give its numbers.

`former/store.sql.gz` is the store that COMMANDS left at version 1297e62; `former/N.md` is the report of
its run N, as `selfedit report N --markdown` wrote it then, but for spaces before "%", a section that
run 6 has got since (what RL changed in the choices), notes on edits and contexts without a reward, what
ARC's table calls valid, and the mean edit, which is a mean over contexts since. `said.json` is what
they said, but for that and what else was changed on purpose: which contexts a seed samples first no
longer follows the file's order (run 1 has the same two rounds' contexts the other way round, run 5 its
two tasks), the grader has a second version, and a verdict on ARC speaks of tasks.
"""

from __future__ import annotations

import gzip
import json
import re
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from selfedit.cli.app import app

HERE = Path(__file__).parent / "former"
TURNED, RECOLOURED = "3c9b0459", "0d3d703e"  # what the fake model can learn, and what it cannot

# {policy}: the policy that the run before it in the list ended with.
COMMANDS = [
    "train knowledge --preset smoke --data a.json --seeds 2",
    "eval knowledge --data b.json --conditions base,in-context,retrieval,passage,own,file,seal "
    "--edits edits.jsonl --policy {policy} --epochs 2 --seeds 3 --grader contains --form text",
    "eval knowledge --data c.json --conditions base,passage,own,file --edits edits.jsonl --epochs 2 "
    "--seeds 2 --grader contains --regime cpt",
    f"arc solvable --ids {TURNED},{RECOLOURED}",
    "train arc --ids 67a3c6ac,68b16354 --candidates 3",
    f"eval arc --split training --ids {TURNED},{RECOLOURED} --conditions in-context,ttt,seal,oracle "
    "--policy {policy} --seeds 2 --voting",
    f"eval arc --split training --ids {RECOLOURED} --conditions in-context,ttt --candidates 3",
]
# What differs from run to run: wall time, and names of policies, which hash what a run was given.
VARYING = {"seconds", "learner", "writer", "policy"}


def prepare(folder: Path) -> None:
    (folder / "a.json").write_text(json.dumps([tower(i) for i in range(3)]), encoding="utf-8")
    own = [tower(i) for i in range(10, 16)]
    (folder / "b.json").write_text(json.dumps(own), encoding="utf-8")
    sound = [one for one in own if "NaN" not in one["context"]]
    (folder / "c.json").write_text(json.dumps(sound), encoding="utf-8")
    edits = [
        json.dumps({"context": one["context"], "edit": f"1. Of {one['title']} one says {word}."})
        for one in own
        for word in ("this", "that")
    ]
    (folder / "edits.jsonl").write_text("\n".join(edits), encoding="utf-8")


def tower(i: int) -> dict:
    said = [f"The tower number{i} is made of stone{i}.", f"The tower number{i} stands in field{i}."]
    if i % 4 == 2:
        said.append("NaN it is.")  # a training of the fake model that fails
    asked = [
        (f"Which stone is tower number{i} made of?", f"stone{i}"),
        (f"In which field stands tower number{i}?", "nowhere" if i % 3 == 0 else f"field{i}"),
        (f"Who built tower number{i}?", f"mason{i}"),
    ]
    questions = [{"question": question, "answer": answer} for question, answer in asked]
    return {"title": f"Tower {i}", "context": " ".join(said), "questions": questions}


def run(*words: object) -> str:
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
    return done.stdout


def run_all() -> list[dict]:
    """What each command says."""
    policy, said = "", []
    for command in COMMANDS:
        words = [policy if word == "{policy}" else word for word in command.split()]
        said.append(json.loads(run(*words, "--model", "fake", "--library", "lib", "--yes", "--json")))
        policy = said[-1].get("policy", policy)
    return said


def report(number: int) -> str:
    """As Markdown, with the names of policies masked."""
    run("report", number, "--library", "lib", "--markdown", "report.md")
    text = Path("report.md").read_text(encoding="utf-8")
    return re.sub(r"policies/\w+", "policies/KEY", text).replace(" %", "%")


def listed() -> list[list]:
    """The runs with their results, each in a line; their kinds as they are called now."""
    runs = json.loads(run("report", "--library", "lib", "--json"))["runs"]
    kinds = {"eval-arc": "eval"}
    return [[one["run"], kinds.get(one["kind"], one["kind"]), one["headline"]] for one in runs]


def open_former(folder: Path) -> None:
    """Makes the working folder one with the former library in it."""
    (folder / "lib").mkdir(parents=True)
    with gzip.open(HERE / "store.sql.gz", "rt", encoding="utf-8") as script:
        database = sqlite3.connect(folder / "lib" / "store.sqlite")
        database.executescript(script.read())
        database.close()


# What a row of `eval arc` was called before every domain had the same rows.
RENAMED = {"success": "accuracy", "tasks": "contexts", "by_task": "by_context"}


def same(new: object, old: object) -> object:
    """The parts of `new` that `old` has, apart from what varies."""
    if isinstance(old, dict):
        assert isinstance(new, dict)
        if "success" in old:
            valid = new["models"] - new["invalid"] if new["regime"] != "none" else 0
            new |= {former: new[name] for former, name in RENAMED.items()} | {"valid": valid}
        if "prediction" in old:
            new |= {"prediction": new["grader"]}
        return {name: same(new[name], old[name]) for name in old if name not in VARYING}
    if isinstance(old, list):
        assert isinstance(new, list)
        assert len(new) == len(old)
        return [same(*both) for both in zip(new, old, strict=True)]
    return new


@pytest.mark.parametrize("number", range(1, len(COMMANDS) + 1))
def test_former_reports_open(tmp_path, monkeypatch, number):
    monkeypatch.chdir(tmp_path)
    open_former(tmp_path)
    assert report(number) == (HERE / f"{number}.md").read_text(encoding="utf-8")


def test_the_same_commands_give_the_same_numbers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prepare(tmp_path)
    recorded = json.loads((HERE / "said.json").read_text(encoding="utf-8"))
    said = run_all()
    assert [same(*both) for both in zip(said, recorded, strict=True)] == recorded
    lines = listed()
    former = json.loads((HERE / "listed.json").read_text(encoding="utf-8"))
    train = former[2][2].replace("mean edit 66.7%", "mean edit 75%")  # run 5: a mean over tasks since
    # The last is run 1, whose rounds have the other contexts.
    assert lines[:-1] == [*former[:2], [5, "train", train], *former[3:-1]]
    open_former(Path.cwd() / "former")
    monkeypatch.chdir(tmp_path / "former")
    assert listed() == former
