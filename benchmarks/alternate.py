"""`selfedit bench inner` of two checkouts in turn, on one machine, in one run: which one is slower?

    python benchmarks/alternate.py BEFORE AFTER [--rounds 3] [-- OPTIONS OF BENCH INNER]

BEFORE, AFTER: folders of checkouts. They alternate, so that what else the machine does meets both; the
order changes from round to round. Prints a Markdown row for each way: medians of seconds a self-edit,
their ratio, and the ratio of each round.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median

# The product's ways on a CPU, in under a minute a run on two cores.
DEFAULT = (
    *("--edits", "8", "--widths", "4", "--epochs", "2", "--ways", "packed,trunk,threads,refilled"),
    *("--repeats", "1", "--released-edits", "0", "--questions", "0", "--device", "cpu"),
    *("--dtype", "float32"),
)


def seconds(folder: Path, options: tuple[str, ...]) -> tuple[dict[str, float], str]:
    """Seconds a self-edit of each way, and what was trained."""
    data = Path(os.environ.get("SELFEDIT_DATA") or "../shared/data").resolve()  # the same for both
    done = subprocess.run(
        [sys.executable, "-m", "selfedit", "bench", "inner", *options, "--json"],
        env=os.environ | {"PYTHONPATH": str(folder.resolve() / "src"), "SELFEDIT_DATA": str(data)},
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result = json.loads(done.stdout)
    times = {name: way["seconds_per_edit"] for name, way in result["ways"].items()}
    trained = f"{result['tokens']} tokens from {result['edits_from']}"
    return {name: spent for name, spent in times.items() if spent}, trained


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    # Split here: argparse gives what follows -- to the folders.
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    given = parser.parse_args(sys.argv[1:end])
    options = tuple(sys.argv[end + 1 :]) or DEFAULT
    print(f"selfedit bench inner {' '.join(options)}", file=sys.stderr)
    found: dict[str, dict[Path, list[float]]] = defaultdict(lambda: defaultdict(list))
    material: set[str] = set()
    for number in range(given.rounds):
        both = (given.before, given.after) if number % 2 == 0 else (given.after, given.before)
        for folder in both:
            spent_by, trained = seconds(folder, options)
            material.add(trained)
            if len(material) > 1:
                sys.exit(f"not the same self-edits: {', '.join(sorted(material))}. Set SELFEDIT_DATA.")
            for way, spent in spent_by.items():
                found[way][folder].append(spent)
                print(f"round {number + 1}: {folder}: {way}: {spent:.2f} s", file=sys.stderr)
    print("| way | before | after | after over before | by round |\n|---|---|---|---|---|")
    for way, own in found.items():
        before, after = own[given.before], own[given.after]
        rounds = ", ".join(f"{b / a:.2f}" for a, b in zip(before, after, strict=False))
        if before and after:
            ratio = median(after) / median(before)
            print(f"| {way} | {median(before):.2f} | {median(after):.2f} | {ratio:.3f} | {rounds} |")


if __name__ == "__main__":
    main()
