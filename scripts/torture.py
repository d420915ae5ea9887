"""Runs `tests/faults` as a whole and writes what was tried and what held into docs/reliability.md.

`make torture` calls it; $SELFEDIT_TORTURE says how much is tried (see tests/faults/torture.py).
"""

from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- torture: begin -->", "<!-- torture: end -->"
RESULTS = ROOT / "build" / "torture.xml"
KINDS = {
    "test_kills": "Commands ended at a write, or by -9, TERM, INT and HUP at random points",
    "test_serve": "A server under load, sent the same signals",
    "test_resources": "Full disk, limits, environments, closed streams, damaged stores",
    "test_together": "Five commands at a time on one library",
    "test_input": "Hostile names, values, files and texts",
    "test_fuzz": "Every parser: random inputs, and time against size",
    "test_soak": "Many documents, many questions, long files",
    "test_supply": "Pickle, pins, checksum, modes, builds",
}


def main() -> int:
    """Returns pytest's exit code."""
    RESULTS.parent.mkdir(exist_ok=True)
    how_much = os.environ.setdefault("SELFEDIT_TORTURE", "100")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/faults"]
    done = subprocess.run([*command, f"--junitxml={RESULTS}", *sys.argv[1:]], cwd=ROOT, check=False)
    table = summary(RESULTS, how_much)
    page = PAGE.read_text("utf-8")
    found = re.sub(f"{BEGIN}.*?{END}", lambda _: f"{BEGIN}\n{table}\n{END}", page, flags=re.DOTALL)
    PAGE.write_text(found, "utf-8")
    print(f"wrote {PAGE}")
    return done.returncode


def summary(results: Path, how_much: str) -> str:
    """A Markdown table of the tests by kind."""
    counts: dict[str, Counter[str]] = {}
    measured: list[str] = []
    for case in ElementTree.parse(results).iter("testcase"):  # noqa: S314  (pytest's own file)
        module = case.attrib["classname"].split(".")[2]
        said = {child.tag for child in case}
        outcome = (
            "failed" if said & {"failure", "error"} else "skipped" if "skipped" in said else "held"
        )
        counts.setdefault(module, Counter())[outcome] += 1
        measured += re.findall(r"MEASURED (.*)", case.findtext("system-out") or "")
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    lines = [
        f"`make torture TORTURE={how_much}` at commit {commit or 'unknown'}, "
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {os.cpu_count()} cores, {platform.system()}, "
        f"Python {platform.python_version()}:",
        "",
        "| kind | held | failed | skipped |",
        "| --- | --- | --- | --- |",
    ]
    for module, kind in KINDS.items():
        count = counts.get(module, Counter())
        lines.append(f"| {kind} | {count['held']} | {count['failed']} | {count['skipped']} |")
    if measured:
        lines += ["", "The soak, as it went:", "", "```json", *measured, "```"]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
