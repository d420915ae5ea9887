"""RESULTS.md's tables out of `selfedit bench inner --json`: python benchmarks/results_table.py PATH...

PATH: a JSON file, or a folder of them. Prints Markdown: for each result its command's settings, a table
of the ways and one of the keys; of other files (`bench answers`, `paper_round.py`) their numbers. A
file of `gpu.sh` holds several.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_COLUMNS = (
    "way",
    "edits",
    "s an edit",
    "tokens/s",
    "answers, s an edit",
    "peak MB",
    "planned MB",
    "resident MB",
    "x floor",
    "tokens/s over plain loop",
    "timed",
)
_KEYS = ("ratio_", "gain_", "answers_ratio", "max_weight_difference", "planned_memory", "peak_memory")


def main(paths: list[Path]) -> None:
    files = [f for path in paths for f in (sorted(path.glob("*.json")) if path.is_dir() else [path])]
    if not files:
        sys.exit(__doc__)
    for file in files:
        result = json.loads(file.read_text(encoding="utf-8"))
        # gpu.sh's one file holds the results of all its stages by name.
        if "steps" in result:
            for line in _stages(result):
                print(line)
        for name, own in result["steps"].items() if "steps" in result else [(file.stem, result)]:
            print(f"## {name}\n")
            for line in inner_tables(own) if "weights" in own else _other(own):
                print(line)
            print()


def inner_tables(result: Mapping[str, Any]) -> Iterator[str]:
    """Lines of Markdown: what was run, the ways, the keys, and what was not timed."""
    yield from (_settings(result), "")
    yield f"| {' | '.join(_COLUMNS)} |"
    yield f"|---{'|---' * (len(_COLUMNS) - 1)}|"
    plain = result["ways"].get("plain PEFT loop", {}).get("tokens_per_second")
    for name, way in result["ways"].items():
        yield f"| {' | '.join((name, *_cells(way, plain)))} |"
    yield ""
    yield "| key | |"
    yield "|---|---|"
    for key, value in result.items():
        if key.startswith(_KEYS):
            yield f"| `{key}` | {_value(key, value)} |"
    for name, way in result["ways"].items():
        if way.get("left_out"):
            yield f"\n- {name} was not timed: {way['left_out']}"


def _stages(result: Mapping[str, Any]) -> Iterator[str]:
    """Where they ran, how long each took, and which have no result."""
    yield "; ".join(f"{key}: {value}" for key, value in result.get("machine", {}).items())
    yield ""
    yield "| stage | seconds | reckoned | |"
    yield "|---|---|---|---|"
    failed = result.get("failed", {})
    for name in dict.fromkeys((*result.get("seconds", {}), *failed)):
        spent = result["seconds"].get(name, {})
        cells = (_number(spent.get(key), "{:.0f}") for key in ("taken", "expected"))
        yield f"| {' | '.join((name, *cells))} | {failed.get(name, '')} |"
    yield ""


def _settings(result: Mapping[str, Any]) -> str:
    lora, ceiling = result["lora"], result["ceiling"]
    modules = (
        ", ".join(lora["target_modules"]) if len(lora["target_modules"]) < 5 else "all linear modules"
    )
    return "; ".join(
        (
            f"{result['model']} on {result['device']}, {result['dtype']}",
            f"{result['edits']} self-edits from {result['edits_from']}, {result['epochs']} epochs, "
            f"{result['tokens']:,} tokens in all of them",
            f"LoRA r{lora['rank']} on {modules} of layers {lora['layers']}",
            f"{result['questions']} questions each; threads that may train side by side: "
            f"{result['workers']}",
            f"all but the widest bank on the first {result['peer_edits']} edits, in whole waves",
            f"product {ceiling['matmul'] / 1e9:,.0f} GFLOP/s, copy {ceiling['copy'] / 1e9:,.0f} GB/s",
        )
    )


def _cells(way: Mapping[str, Any], plain: float | None) -> Iterator[str]:
    rate = way["tokens_per_second"]
    yield str(way["edits"])
    yield _number(way["seconds_per_edit"], "{:.2f}")
    yield _number(rate, "{:,.0f}" if rate and rate >= 10 else "{:.2g}")
    yield _number(way.get("answers_per_edit"), "{:.2f}")
    for key in ("peak_memory", "planned_memory", "resident_memory"):
        yield _number(way.get(key), "{:,.0f}", 1e-6)
    yield _number(way.get("achieved_over_floor"), "{:.1f}")
    yield _number(rate / plain if rate and plain else None, "{:.3g}")
    yield _number(way.get("timed"), "{}", 1)


def _value(key: str, value: float | None) -> str:
    if value is None:
        return "not measured"
    return f"{value / 1e6:,.0f} MB" if key.endswith("_memory") else f"{value:.3g}"


def _number(value: float | None, form: str, scale: float = 1) -> str:
    return "" if value is None else form.format(value * scale)


def _other(result: Mapping[str, Any]) -> Iterator[str]:
    yield "| | |"
    yield "|---|---|"
    for key, value in result.items():
        rows = value.items() if isinstance(value, dict) else [("", value)]
        for name, own in rows:
            numbers = own.items() if isinstance(own, dict) else [("", own)]
            for last, number in numbers:
                label = ", ".join(part for part in (key, name, last) if part)
                yield f"| {label} | {f'{number:.4g}' if isinstance(number, float) else number} |"


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
