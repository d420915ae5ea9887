"""Keys under which trials and texts are stored, as they were on 2026-11-26 (commit 69870e9).

Who installs a newer version must find in the store what an older one has computed. A difference here
means that everybody's finished work is done once more: say so in CHANGELOG, or undo it. So it
was when graders changed (trials that are graded as words) and when what `train` samples no longer
followed the order of a file (its texts).
"""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from selfedit.config import stable_hash
from tests.cli.test_cli import run
from tests.cli.test_train import data

ARC = ["--model", "fake", "--split", "training", "--ids", "3c9b0459,0d3d703e"]
# How `learn` and `eval` trained then; now they hold adapters to the bare model.
PLAINLY = [
    "--learning-rate",
    "1e-3",
    "--epochs",
    "10",
    "--anchor",
    "0",
    "--no-ends",
    "--form",
    "text",
    "--neighbours",
    "0",
    "--layers",
    "upper-half",
]
KNOWN = {
    "train knowledge": {
        "trials": (8, "fdada2480953d8973f4174af9d7bbdf3"),
        "texts": (20, "60d5ff2574f290affbfe8bed7c6001e3"),
    },
    "train arc": {
        "trials": (12, "043dfa555f44251ce60ee1a3f9d6a7b7"),
        "texts": (10, "dc4947f0934a03e45f838b9151d940d9"),
    },
    "learn": {
        "trials": (4, "86f59729598c74f27e21ca6887be0aee"),
        "texts": (25, "a2ddf9b946ef9b8887b6e74af00b4e1f"),
    },
    "eval knowledge": {
        "trials": (10, "c92a320c0ffc01a516f1d4ece4cf0b2c"),
        "texts": (40, "8d9308b105275ea46d9f47625b9e55da"),
    },
    "eval arc": {
        "trials": (9, "89720332cf30001987e051afe2e66560"),
        "texts": (12, "1078f081130d265e20ba3eef5d0b3a9f"),
    },
}


def stored(path) -> dict[str, tuple[int, str]]:
    """How many trials and texts there are, and a hash of their keys."""
    with closing(sqlite3.connect(path)) as store:
        keys = {
            "trials": [key for (key,) in store.execute("select key from trials")],
            "texts": [key for (key,) in store.execute("select key from cache where kind = 'text'")],
        }
    return {name: (len(own), stable_hash(sorted(own))) for name, own in keys.items()}


@pytest.mark.parametrize("command", KNOWN)
def test_keys_stay_what_they_are(tmp_path, command):
    knowledge = ["--model", "fake", "--data", data(tmp_path)]
    (tmp_path / "notes.md").write_text("# Tower\n\nThe tower is made of stone. It is tall.\n")
    (tmp_path / "quiz.jsonl").write_text(
        '{"question": "What is the tower made of?", "answer": "stone"}'
    )
    options = {
        "train knowledge": ["--preset", "smoke", "--layers", "upper-half", *knowledge],
        "train arc": [*ARC, "--candidates", "4", "--seeds", "2"],
        "learn": [
            tmp_path / "notes.md",
            "--quiz",
            tmp_path / "quiz.jsonl",
            "--model",
            "fake",
            "--grader",
            "contains",  # what it was before it could be chosen
            "--candidates",
            "4",
            *PLAINLY,
        ],
        "eval knowledge": [*knowledge, *PLAINLY, "--conditions", "base,in-context,passage,own"],
        "eval arc": [*ARC, "--conditions", "in-context,ttt,oracle"],
    }
    done = run(*command.split(), *options[command], "--library", tmp_path / "library", "--json")
    assert done.returncode == 0, done.stderr
    assert stored(tmp_path / "library" / "store.sqlite") == KNOWN[command]
