"""docs/learning-damage.svg: recall against general knowledge kept, and against leakage.

    python benchmarks/plot_damage.py [benchmarks/learning_damage.jsonl [docs/learning-damage.svg]]

A line of the data is one training (docs/log.md, 2026-11-26): its group, its settings, what it answers.
A point is a configuration, the mean over its seeds; the larger, the more tokens it was trained on.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean
from typing import Any

from matplotlib.figure import Figure

from selfedit.show.plots import COLOURS, save_figure

HERE = Path(__file__).parent
DATA, PICTURE = HERE / "learning_damage.jsonl", HERE.parent / "docs" / "learning-damage.svg"
MARKERS = "osD^vPX*"
# The quiz has 12 questions, and two configurations that differ by one of them do not differ.
QUESTIONS = 12


def points(lines: list[dict[str, Any]]) -> dict[str, list[dict[str, float]]]:
    """Means over the seeds of each configuration, by group, in percent (tokens in thousands)."""
    runs: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        runs[line["group"], json.dumps(line["change"])].append(line)
    groups: dict[str, list[dict[str, float]]] = defaultdict(list)
    for (group, _), own in runs.items():
        groups[group].append(
            {
                "recall": 100 * mean(run["quiz"] for run in own) / QUESTIONS,
                "kept": 100 * mean(run["general"] / run["known"] for run in own),
                "leak": 100 * mean(run["leaks"] / run["near"] for run in own),
                "tokens": mean(run["tokens"] for run in own) / 1000,
            }
        )
    return groups


def draw(groups: dict[str, list[dict[str, float]]]) -> Figure:
    figure = Figure(figsize=(9.2, 4.2), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, x, label in zip(
        panels,
        ("kept", "leak"),
        ("general questions kept, %", "answers about neighbours that leak, %"),
        strict=True,
    ):
        for number, (group, own) in enumerate(groups.items()):
            axes.scatter(
                [point[x] for point in own],
                [point["recall"] for point in own],
                s=[8 * point["tokens"] for point in own],
                color=COLOURS[number % len(COLOURS)],
                marker=MARKERS[number % len(MARKERS)],
                alpha=0.8,
                label=group,
                linewidths=0,
            )
        axes.set_xlabel(label)
        axes.grid(alpha=0.2)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("quiz, % right")
    panels[0].set_xlim(right=101)
    panels[1].axvline(20, color="#888888", linestyle="--", linewidth=1)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", frameon=False)
    return figure


def main() -> None:
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else DATA
    picture = Path(sys.argv[2]) if len(sys.argv) > 2 else PICTURE
    lines = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]
    save_figure(draw(points(lines)), picture)


if __name__ == "__main__":
    main()
