"""benchmarks/prompts.py: the table and the figure are of the evaluations that are there."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "prompts.py"
BEFORE = [0.0, 0.2, 0.4, 0.0, 0.5, 0.1, 0.3, 0.2]


@pytest.fixture
def prompts(monkeypatch):
    spec = importlib.util.spec_from_file_location("prompts", FILE)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "prompts", module)
    spec.loader.exec_module(module)
    return module


def put(folder, prompt, number, contexts, **rows) -> None:
    found = {
        "model": "m", "grader": "g", "seed": 0, "task_ids": contexts,
        "rows": [
            {
                "condition": name, "accuracy": sum(own) / len(own), "low": min(own), "high": max(own),
                "by_context": own, "invalid": 1, "failed": 0, "tokens": 1000,
            }
            for name, own in rows.items()
        ],
    }  # fmt: skip
    (folder / f"{prompt}.round-{number}.json").write_text(json.dumps(found))


def test_each_round_is_held_against_the_prompts_own_round_0(prompts, tmp_path, capsys):
    ids = list(range(len(BEFORE)))
    better = [value + 0.25 for value in BEFORE]
    for prompt in ("self-qa", "implications"):
        put(tmp_path, prompt, 0, ids, base=[0.0] * 8, own=BEFORE)
    # `own` of a later round's evaluation is the bare model once more, and not the policy.
    put(tmp_path, "self-qa", 1, ids, own=BEFORE, seal=better)
    prompts.main(tmp_path)
    said = capsys.readouterr().out
    assert "| self-qa | 1 | 46.2 % [25.0, 75.0] | +25.0 [+25.0, +25.0] | round 1 is better" in said
    assert "mean of the" not in said, "one of the prompts has no round 1 yet"
    assert said.count("| base") == 1
    drawn = (tmp_path / "figure4.svg").read_text()
    assert "self-qa" in drawn
    assert "implications" in drawn

    worse = [value - 0.05 for value in BEFORE]
    put(tmp_path, "implications", 1, ids, own=BEFORE, seal=worse)
    prompts.main(tmp_path)
    assert "| mean of the 2 prompts | 1 | | +10.0 [+10.0, +10.0] |" in capsys.readouterr().out


def test_other_contexts_are_not_compared(prompts, tmp_path):
    put(tmp_path, "self-qa", 0, [1, 2], own=[0.0, 1.0])
    put(tmp_path, "self-qa", 1, [1, 3], seal=[0.0, 1.0])
    with pytest.raises(SystemExit, match="not of the same contexts"):
        prompts.main(tmp_path)
