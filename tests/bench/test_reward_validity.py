"""benchmarks/reward_validity.py on a tiny random model: resumable, and right about what it reports."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from selfedit.config import LoraSettings, MeasureSettings
from selfedit.model.tiny import tiny_model
from selfedit.store import Store

FILE = Path(__file__).parents[2] / "benchmarks" / "reward_validity.py"


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """The script, reading a made-up record of two contexts x two edits (one of them invalid)."""
    spec = importlib.util.spec_from_file_location("reward_validity", FILE)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "reward_validity", module)
    spec.loader.exec_module(module)
    articles = [
        {
            "title": title,
            "context": f"{title} has a tower. It is {height} m high.",
            "completions": [
                {
                    "text": text,
                    "questions": [
                        {"rep": rep, "question": q, "answer": str(height)}
                        for rep in range(3)
                        for q in (f"How high is {title}?", f"What is the height of {title}?")
                    ],
                }
                for text in (f"The tower is {height} m high.", f"{title} is high.", "")
            ],
        }
        for title, height in (("Pask", 20), ("Orl", 31))
    ]
    (tmp_path / "recorded").mkdir()
    record = json.dumps({"articles": articles})
    (tmp_path / "recorded" / "round1_trials.json").write_text(record, encoding="utf-8")
    monkeypatch.setattr(module, "DATA", tmp_path)
    train = module.SETTINGS.train.model_copy(update={"epochs": 1})
    lora = LoraSettings(rank=2, alpha=4)
    changes = {"train": train, "lora": lora}
    monkeypatch.setattr(module, "SETTINGS", module.SETTINGS.model_copy(update=changes))
    few = {
        "accuracy": MeasureSettings(),
        "samples": MeasureSettings(kind="samples", samples=2),
        **{p: MeasureSettings(kind="likelihood", place=p) for p in module.PLACES},
    }
    monkeypatch.setattr(module, "MEASURES", few)
    return module


def test_it_is_resumable_and_reports_every_reward(bench, tmp_path, capsys):
    store, chosen = Store(tmp_path / "s.sqlite"), bench.recorded(2)
    bench.run(store, chosen, 2, tiny_model())
    first = capsys.readouterr().out
    assert "2 of 2 contexts, 2 seeds" in first
    bench.run(store, chosen, 2, None)  # nothing is left to do, so no model is needed
    again = capsys.readouterr().out
    assert again == first[first.index("\n2 of 2") :]
    rows = bench.rows_of(store, chosen[0], [0, 1], None)
    assert [(row["edit"], row["seed"]) for row in rows] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert all(0 < p < 1 for row in rows for p in row["worth"]["start"])
    assert bench.rows_of(store, chosen[0], [2], None) is None


def test_what_predicts_accuracy_is_told_from_what_does_not(bench):
    draws = np.random.default_rng(0)
    truth = [np.repeat(draws.normal(0, 1, (4, 1, 1)), 2, 1).repeat(6, 2) for _ in range(5)]
    noise = [draws.normal(0, 1, own.shape) for own in truth]
    at = range(5)
    for same in (True, False):
        assert bench._agreement(truth, truth, at, same=same) == pytest.approx(1.0)
        assert abs(bench._agreement(noise, truth, at, same=same)) < 0.5
    assert bench._on_fresh_halves(truth, truth, at) == pytest.approx(1.0)
    assert bench._reliability(truth) == pytest.approx(1.0)


def test_components_come_back(bench):
    """Edits, edits in a question, trainings and the rest, each with its own spread."""
    draws = np.random.default_rng(2)
    truth = [
        draws.normal(0, 3, (6, 1, 1)) + draws.normal(0, 2, (6, 1, 8)) + draws.normal(0, 1, (6, 3, 1))
        + draws.normal(0, 1, (6, 3, 8)) + draws.normal(0, 5, (1, 1, 8))
        for _ in range(400)
    ]  # fmt: skip
    assert bench.components(truth) == pytest.approx((9, 4, 1, 1), rel=0.1)
