"""Runs `tests/faults` as a whole and writes what was tried and what held into docs/reliability.md.

`make torture` calls it; $SELFEDIT_TORTURE says how much is tried (see tests/faults/torture.py). Ended
at any point and given again, it goes on: what held is not tried again while the code is the same
(tests/faults/ledger.py). Arguments are names of kinds, such as `kills fuzz`; without: all.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.faults import ledger  # noqa: E402  (a script's own folder is what Python looks in)

PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- torture: begin -->", "<!-- torture: end -->"
KINDS = {
    "kills": "commands ended at a write, or by -9, TERM, INT and HUP at random points",
    "serve": "a server under load, sent the same signals",
    "resources": "full disk, limits, environments, closed streams, damaged stores",
    "together": "five commands at a time on one library",
    "input": "hostile names, values, files and texts",
    "requests": "requests of the server",
    "fuzz": "every parser: random inputs, and time against size",
    "soak": "many documents, many questions, long files",
    "supply": "pickle, pins, checksum, modes, builds",
}
_SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")


def main() -> int:
    """Returns pytest's worst exit code."""
    how_much = os.environ.setdefault("SELFEDIT_TORTURE", "100")
    worst = 0
    for kind in sys.argv[1:] or KINDS:
        if kind not in KINDS:
            sys.exit(f"{kind}: name some of {', '.join(KINDS)}")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        done = subprocess.run([*command, f"tests/faults/test_{kind}.py"], cwd=ROOT, check=False)
        worst = max(worst, done.returncode if done.returncode != 5 else 0)  # 5: all held already
        _write(summary(how_much))
    return worst


def _write(text: str) -> None:
    page = PAGE.read_text("utf-8")
    found = re.sub(f"{BEGIN}.*?{END}", lambda _: f"{BEGIN}\n{text}\n{END}", page, flags=re.DOTALL)
    PAGE.write_text(found, "utf-8")


def summary(how_much: str) -> str:
    """Markdown: tests by kind, signals by command, the slowest text of each parser, the soak."""
    commit = ledger.commit()
    parts = [
        f"`make torture TORTURE={how_much}` on {os.cpu_count()} cores, {platform.system()}, Python "
        f"{platform.python_version()}, at commit {commit} (code {ledger.code()}):",
        _table(("kind", "held", "failed", "skipped"), _tests()),
    ]
    if rows := _kills():
        parts += ["Signals at random points:", _table(("command", *_SIGNALS, "held", "failed"), rows)]
    if told := _inputs():
        parts.append(told)
    if rows := _growth():
        parts += [
            "The text with which a parser takes longest, in seconds of processor time:",
            _table(("parser", "repeated", "1,000 characters", "10,000", "100,000"), rows),
        ]
    if measured := ledger.noted("soak"):
        names = [name for name in measured[0] if name not in ("code", "commit", "kind", "name")]
        rows = [[row[name] for name in names] for row in measured]
        parts += ["A routed library that grows:", _table(names, rows)]
    return "\n\n".join(parts)


def _tests() -> list[list[Any]]:
    """The last outcome of every test, by kind."""
    last = {row["name"]: row["outcome"] for row in ledger.noted("test")}
    counts = {kind: Counter[str]() for kind in KINDS}
    for name, outcome in last.items():
        counts[name.split("test_")[1].split(".")[0]][outcome] += 1
    return [
        [what, counts[kind]["held"], counts[kind]["failed"], counts[kind]["skipped"]]
        for kind, what in KINDS.items()
    ]


def _kills() -> list[list[Any]]:
    """How often each command was sent which signal, by the last try of each point."""
    points: dict[str, dict[int, dict[str, Any]]] = {}
    for row in ledger.noted("kill"):
        points.setdefault(row["name"], {})[row["point"]] = row
    rows = []
    for name, own in points.items():
        sent = Counter(row["signal"] for row in own.values())
        held = sum(row["outcome"] == "held" for row in own.values())
        rows.append([name, *(sent[signal] for signal in _SIGNALS), held, len(own) - held])
    return rows


def _inputs() -> str:
    """How many random inputs each parser was given, the parsers with as many together."""
    last = {row["name"]: row["cases"] for row in ledger.noted("fuzz")}
    alike: dict[int, list[str]] = {}
    for name, cases in last.items():
        alike.setdefault(cases, []).append(name)
    told = [f"{n:,} each for {', '.join(alike[n])}" for n in sorted(alike, reverse=True)]
    return f"Random inputs that were read or refused: {'; '.join(told)}." if told else ""


def _growth() -> list[list[Any]]:
    """The fifteen slowest parsers."""
    last = {row["name"]: row for row in ledger.noted("growth")}
    slowest = sorted(last.values(), key=lambda row: -row["seconds"][-1])[:15]
    return [[row["name"], f"`{row['unit']!r}`", *row["seconds"]] for row in slowest]


def _table(head: Any, rows: list[Any]) -> str:
    lines = [list(head), ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    )


if __name__ == "__main__":
    sys.exit(main())
