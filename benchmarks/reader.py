"""What a reader changes, of what `reader.sh` has found.

    python benchmarks/reader.py FOLDER > table.md

Reads FOLDER/without.json and FOLDER/with.json (`selfedit eval knowledge --json`, by the bare model and
by the reader) and FOLDER/train.json. Intervals: 95 %, bootstrap over contexts; differences are paired,
context by context.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from selfedit.grading.statistics import paired_difference, verdict


def main(folder: Path) -> None:
    trained, without, read = (
        json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("train", "without", "with")
    )
    if without["task_ids"] != read["task_ids"]:
        sys.exit("The evaluations are not of the same contexts: one is of an earlier call.")
    print(f"{len(read['task_ids'])} held-out contexts, graded by {read['grader']}.\n")
    print("\n".join(table(without, read)), end="\n\n")
    print("\n".join(rounds_table(trained)))
    if probe := trained.get("probe"):
        kept, before = probe["general_after"], probe["general_before"]
        print(f"\nGeneral questions that the reader still answers: {kept} of {before}.", end=" ")
        print(f"Not recommended: {trained['refused']}." if trained.get("refused") else "")


def table(without: dict[str, Any], read: dict[str, Any]) -> list[str]:
    lines = [
        "| condition | without the reader | with it | difference, points | |",
        "|---|---|---|---|---|",
    ]
    for before, after in zip(without["rows"], read["rows"], strict=True):
        gain = paired_difference(after["by_context"], before["by_context"], read["seed"])
        cells = (
            before["condition"],
            *(_percent(row) for row in (before, after)),
            f"{100 * gain.value:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]",
            verdict(gain, "with", "without"),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def rounds_table(trained: dict[str, Any]) -> list[str]:
    """What each round measured on contexts that it held out."""
    lines = [
        "| round | documents, questions | held out: before | after | minutes |",
        "|---|---|---|---|---|",
    ]
    for own in trained["rounds"]:
        of = own["metrics"]
        shares = (
            f"{100 * of[name]:.1f} %" if name in of else "" for name in ("read_before", "read_after")
        )
        taught = f"{of.get('documents', 0):.0f}, {of.get('questions', 0):.0f}"
        cells = (str(own["number"]), taught, *shares, f"{own['seconds'] / 60:.0f}")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _percent(row: dict[str, Any]) -> str:
    return f"{100 * row['accuracy']:.1f} % [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
