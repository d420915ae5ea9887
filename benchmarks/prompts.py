"""The paper's figure 4 and its table of prompts, of what `prompts.sh` has found so far.

    python benchmarks/prompts.py FOLDER > table.md

Reads FOLDER/PROMPT.round-N.json (`selfedit eval knowledge --json`: round 0 in the row `own`, later ones
in `seal`) and FOLDER/PROMPT.train.json. Writes FOLDER/figure4.svg and prints Markdown. Intervals: 95 %,
bootstrap over contexts; differences are paired, context by context.
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from selfedit.grading.statistics import mean_interval, paired_difference, verdict
from selfedit.show.plots import interval_figure, save_figure

FIGURE = "figure4.svg"
_NAME = re.compile(r"(?P<prompt>.+)\.round-(?P<round>\d+)\.json")

Found = dict[str, dict[int, dict[str, Any]]]  # by prompt and round: an evaluation


def main(folder: Path) -> None:
    found = read(folder)
    if not found:
        sys.exit(f"{folder} holds no PROMPT.round-N.json, as benchmarks/prompts.sh writes them.")
    same_contexts(found)
    if figure := interval_figure(curves(found), "rounds of RL", "accuracy, %"):
        save_figure(figure, folder / FIGURE)
    first = next(iter(next(iter(found.values())).values()))
    print(
        f"{first['model']}, {len(first['task_ids'])} held-out contexts, graded by {first['grader']}.\n"
    )
    for part in (prompts_table(found), beside_table(found), training_table(folder, list(found))):
        print("\n".join(part), end="\n\n")
    print(f"![Accuracy after each round of RL, by prompt.]({FIGURE})")


def read(folder: Path) -> Found:
    found: Found = defaultdict(dict)
    for path in sorted(folder.glob("*.round-*.json")):
        if named := _NAME.fullmatch(path.name):
            evaluation = json.loads(path.read_text(encoding="utf-8"))
            found[named["prompt"]][int(named["round"])] = evaluation
    return {prompt: dict(sorted(rounds.items())) for prompt, rounds in found.items()}


def same_contexts(found: Found) -> None:
    """Exits where evaluations have other contexts, so that their difference would say nothing."""
    every = {tuple(own["task_ids"]) for rounds in found.values() for own in rounds.values()}
    if len(every) > 1:
        sys.exit("The evaluations are not of the same contexts: some are of an earlier call.")


def row_of(evaluation: dict[str, Any], number: int) -> dict[str, Any]:
    """The round's policy: the bare model in round 0."""
    wanted = "seal" if number else "own"
    return next(row for row in evaluation["rows"] if row["condition"] == wanted)


def curves(found: Found) -> dict[str, dict[int, tuple[float, float, float]]]:
    """Accuracy with its interval over the rounds, by prompt, in [0, 1]."""
    return {
        prompt: {number: _bounds(row_of(own, number)) for number, own in rounds.items()}
        for prompt, rounds in found.items()
    }


def _bounds(row: dict[str, Any]) -> tuple[float, float, float]:
    low, high = (float("nan") if row[end] is None else row[end] for end in ("low", "high"))
    return row["accuracy"], low, high


def prompts_table(found: Found) -> list[str]:
    lines = [
        "| prompt | round | accuracy | less round 0, points | | invalid, failed | trained tokens |",
        "|---|---|---|---|---|---|---|",
    ]
    for prompt, rounds in found.items():
        for number, own in rounds.items():
            row, gain, said = row_of(own, number), "", ""
            if number and 0 in rounds:
                before = row_of(rounds[0], 0)["by_context"]
                difference = paired_difference(row["by_context"], before, own["seed"])
                gain = _points(difference.value, difference.low, difference.high)
                said = verdict(difference, f"round {number}", "round 0")
            cells = (prompt, number, _percent(*_bounds(row)), gain, said)
            spoilt = f"{row['invalid']}, {row['failed']}"
            lines.append(f"| {' | '.join(map(str, cells))} | {spoilt} | {row['tokens']:,} |")
    return [*lines, *_all_prompts(found)]


def _all_prompts(found: Found) -> list[str]:
    """Each context's mean over the prompts: what RL does on the whole."""
    lines = []
    last = min(max(rounds) for rounds in found.values())
    for number in range(1, last + 1):
        pairs = [
            (row_of(rounds[number], number)["by_context"], row_of(rounds[0], 0)["by_context"])
            for rounds in found.values()
            if number in rounds and 0 in rounds
        ]
        if len(pairs) < 2 or len(pairs) < len(found):
            continue
        gains = np.mean([np.subtract(after, before) for after, before in pairs], axis=0)
        found_gain = mean_interval(gains.tolist())
        said = verdict(found_gain, f"round {number}", "round 0")
        gain = _points(found_gain.value, found_gain.low, found_gain.high)
        lines.append(f"| mean of the {len(pairs)} prompts | {number} | | {gain} | {said} | | |")
    return lines


def beside_table(found: Found) -> list[str]:
    """What the 0th round was evaluated beside; rows that are equal for all prompts once."""
    lines = ["| beside | accuracy | trained tokens |", "|---|---|---|"]
    for prompt, rounds in found.items():
        for row in rounds.get(0, {"rows": []})["rows"]:
            if row["condition"] == "own":
                continue
            cells = f"{_percent(*_bounds(row))} | {row['tokens']:,} |"
            line = f"| {row['condition']} | {cells}"
            if line not in lines:
                known = any(other.startswith(f"| {row['condition']} |") for other in lines)
                lines.append(f"| {row['condition']} ({prompt}) | {cells}" if known else line)
    return lines


def training_table(folder: Path, prompts: list[str]) -> list[str]:
    """The rounds as they were trained, on their own contexts."""
    lines = [
        "| prompt | round of training | without edits | mean edit | best of each context "
        "| valid edits | selected | entropy | distinct | diversity | minutes |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for prompt in prompts:
        path = folder / f"{prompt}.train.json"
        if not path.exists():
            continue
        for own in json.loads(path.read_text(encoding="utf-8"))["rounds"]:
            rewards = (own["baseline"], own["mean_reward"], own["best_reward"])
            valid = own["num_edits"] - own["invalid_edits"] - own["failed_edits"]
            measured = (own["metrics"].get(name) for name in ("entropy", "distinct", "diversity"))
            cells = (
                *(prompt, own["number"]),
                *(f"{100 * reward:.1f} %" for reward in rewards),
                *(f"{valid} of {own['num_edits']}", len(own["selected"])),
                *("" if value is None else f"{value:.2f}" for value in measured),
                f"{own['seconds'] / 60:.0f}",
            )
            lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines if len(lines) > 2 else []


def _percent(value: float, low: float, high: float) -> str:
    return f"{100 * value:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def _points(value: float, low: float, high: float) -> str:
    return f"{100 * value:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
