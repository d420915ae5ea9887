"""What a torture has tried, a line of JSON for each thing: it goes on where it was ended.

What held is not tried again while the code is the same. `scripts/torture.py` reads the lines for
docs/reliability.md.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PLACE = Path(os.environ.get("SELFEDIT_TORTURE_LEDGER", ROOT / "build" / "torture.jsonl"))


@cache
def code() -> str:
    """A digest of the program and of what attacks it."""
    digest = hashlib.sha256()
    for folder in ("src/selfedit", "tests/faults"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def commit() -> str:
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or "unknown"


def note(kind: str, name: str, **what: Any) -> None:
    """Append a line: what of which kind was tried, and what came of it."""
    PLACE.parent.mkdir(parents=True, exist_ok=True)
    with PLACE.open("a", encoding="utf-8") as file:
        row = {"code": code(), "commit": commit(), "kind": kind, "name": name, **what}
        file.write(json.dumps(row) + "\n")


def noted(kind: str, path: Path | None = None) -> list[dict[str, Any]]:
    """The lines of a kind that were written about this code. A line that was cut off is none."""
    rows = []
    if (path or PLACE).exists():
        for line in (path or PLACE).read_text("utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                continue
    return [row for row in rows if row["kind"] == kind and row["code"] == code()]


def held(kind: str, name: str) -> set[int]:
    """The numbers of the points of this kind and name that held."""
    return {row["point"] for row in noted(kind) if row["name"] == name and row["outcome"] == "held"}
