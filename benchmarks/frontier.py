"""Accuracy against seconds: which layers, rank, epochs, batch size and modules are worth their time.

    python benchmarks/frontier.py OUT.jsonl [--contexts 10] [--edits 1] [--full] [--grader contains]

Recorded self-edits of TRAINING contexts (round 1, $SELFEDIT_DATA) are trained at each point of a grid
and each adapter is asked its context's questions, closed-book. Held-out contexts are never used: the
presets follow from this table. A finished point is a line of OUT.jsonl and is not run again, so a
killed run goes on where it was. Without --full, the points differ from the base point in one setting,
or are among a few mixtures; --full takes every combination. Seconds are the processor's on a CPU (of
all threads together) and the clock's elsewhere.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Any

from selfedit.bench.floor import synchronise
from selfedit.bench.material import recorded_edits
from selfedit.config import ALL_LINEAR, InnerSettings, LoraSettings, TrainSettings
from selfedit.domains.knowledge import Knowledge
from selfedit.domains.knowledge.settings import KnowledgeSettings
from selfedit.grading.graders import GRADERS
from selfedit.grading.statistics import accuracy_interval, paired_difference
from selfedit.loops.inner import run_trials
from selfedit.model.load import load_model
from selfedit.types import SelfEdit

Point = dict[str, Any]
BASE: Point = {
    "layers": "upper-half", "rank": 32, "epochs": 10, "batch": 1, "modules": "all", "lr": 1e-3,
}  # fmt: skip
AXES: dict[str, list[Any]] = {
    "layers": ["all", "upper-half", "20-29"],
    "rank": [8, 32],
    "epochs": [4, 6, 10],
    "batch": [1, 2, 4],
    "modules": ["qv", "all"],
}
# Fewer or larger steps want a larger one, hence the learning rates.
MIXTURES: list[Point] = [
    {"lr": 2e-3},
    {"epochs": 6, "lr": 2e-3},
    {"epochs": 4, "lr": 2e-3},
    {"batch": 2, "lr": 2e-3},
    {"layers": "20-29", "epochs": 6, "lr": 2e-3},
    {"layers": "all", "modules": "qv"},
]


def points(full: bool) -> list[Point]:
    if full:
        return [dict(zip(AXES, v, strict=True), lr=BASE["lr"]) for v in product(*AXES.values())]
    single = [{name: value} for name, values in AXES.items() for value in values if value != BASE[name]]
    return [{**BASE, **change} for change in ({}, *single, *MIXTURES)]


def settings_of(point: Point) -> InnerSettings:
    modules = ("q_proj", "v_proj") if point["modules"] == "qv" else ALL_LINEAR
    return InnerSettings(
        lora=LoraSettings(
            rank=point["rank"], alpha=2 * point["rank"], layers=point["layers"], target_modules=modules
        ),
        train=TrainSettings(
            learning_rate=point["lr"], epochs=point["epochs"], batch_size=point["batch"]
        ),
    )


def measure(model: Any, point: Point, contexts: int, edits: int, grader: str) -> dict[str, Any]:
    """One point: each context's accuracy (mean over its edits), and seconds a self-edit."""
    domain = Knowledge(KnowledgeSettings(strategy="implications", topic=True), GRADERS[grader])
    recorded = recorded_edits()[:contexts]
    pairs = [
        (task, SelfEdit(task.id, index, domain.prompts(task), (text,)))
        for task, texts in recorded
        for index, text in enumerate(texts[:edits])
    ]
    # Processor seconds on a CPU: other work on the machine then counts little.
    clock = time.process_time if model.device == "cpu" else time.perf_counter
    start = clock()
    trials = run_trials(model, domain, pairs, settings_of(point))
    synchronise(model.decoder.device)
    seconds = clock() - start
    shares: dict[str, list[float]] = {task.id: [] for task, _ in recorded}
    for trial in trials:
        if trial.reward is not None:
            shares[trial.task_id].append(trial.reward)
    return {
        "point": point,
        "grader": grader,
        "edits": edits,
        "accuracy": {key: sum(own) / len(own) for key, own in shares.items() if own},
        "questions": sum(len(trial.score.answers) for trial in trials if trial.score),
        "not_scored": sum(trial.status != "scored" for trial in trials),
        "trials": len(trials),
        "seconds_per_edit": seconds / len(trials),
    }


def frontier(rows: list[dict[str, Any]]) -> set[int]:
    """Rows that no other row beats: none is at least as right and as quick, and better in one."""
    spots = [(row["seconds_per_edit"], -_mean(row)) for row in rows]
    return {
        n
        for n, (spent, wrong) in enumerate(spots)
        if not any(s <= spent and w <= wrong and (s, w) != (spent, wrong) for s, w in spots)
    }


def _mean(row: dict[str, Any]) -> float:
    return sum(row["accuracy"].values()) / len(row["accuracy"])


def table(rows: list[dict[str, Any]]) -> Iterable[str]:
    """Markdown: accuracy with its interval over contexts, and the paired difference to the base."""
    base = next((row for row in rows if row["point"] == BASE), None)
    best = frontier(rows)
    names = list(BASE)
    yield f"| {' | '.join(names)} | s an edit | n contexts / questions | accuracy [95 %] | to base | |"
    yield "|" + "---|" * (len(names) + 5)
    for n in sorted(range(len(rows)), key=lambda n: rows[n]["seconds_per_edit"]):
        row = rows[n]
        values = [row["accuracy"][key] for key in sorted(row["accuracy"])]
        own = accuracy_interval(values)
        apart = "-"
        if base is not None and row is not base and base["accuracy"].keys() == row["accuracy"].keys():
            before = [base["accuracy"][key] for key in sorted(base["accuracy"])]
            gap = paired_difference(values, before)
            apart = f"{100 * gap.value:+.1f} [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}]"
        setting = " | ".join(str(row["point"][name]) for name in names)
        yield (
            f"| {setting} | {row['seconds_per_edit']:.2f} "
            f"| {own.contexts} / {row['questions']} "
            f"| {100 * own.value:.1f} [{100 * own.low:.1f}, {100 * own.high:.1f}] | {apart} "
            f"| {'frontier' if n in best else ''} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--contexts", type=int, default=10)
    parser.add_argument("--edits", type=int, default=1)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--points", type=int, help="only the first so many")
    parser.add_argument("--grader", choices=sorted(GRADERS), default="contains")
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    # Points of other contexts, edits or graders cannot be compared: they are other lines of the file.
    mine = {"grader": given.grader, "edits": given.edits, "contexts": given.contexts}
    lines = given.out.read_text(encoding="utf-8").splitlines() if given.out.exists() else []
    done = [row for row in map(json.loads, lines) if row["run"] == mine]
    model = load_model(device=given.device)
    for point in points(given.full)[: given.points]:
        if any(row["point"] == point for row in done):
            continue
        row = {
            "run": mine,
            **measure(model, point, given.contexts, given.edits, given.grader),
        }
        with given.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        done.append(row)
        print(json.dumps(point), f"{_mean(row):.3f}", f"{row['seconds_per_edit']:.2f} s", flush=True)
    print("\n".join(table(done)))


if __name__ == "__main__":
    main()
