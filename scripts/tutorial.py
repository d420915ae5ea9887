"""Runs the commands of docs/tutorial.md and writes what they print into it (`make docs`).

A test fails when that is stale.

python scripts/tutorial.py
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "tutorial.md"

_BLOCK = re.compile(r"(?<=^```console\n).*?(?=^```$)", re.MULTILINE | re.DOTALL)
# What changes from run to run: names of policies, dates, durations, unrounded seconds.
_CHANGING = re.compile(
    r"\s*(?:policies/\w+|\d{4}-\d\d-\d\d|\d\d:\d\d|(?:\b[\d.]+ (?:h|min|s)\b ?)+|\d+\.\d{6,})\s*"
)


def render(page: str) -> str:
    """The page with what its commands print now, in the order of the page, in one folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for example in (ROOT / "examples").iterdir():
            if example.is_file():  # whoever imports one leaves a folder there
                shutil.copy(example, folder)
        return _BLOCK.sub(lambda block: _run_block(block.group(), folder), page)


def _run_block(block: str, folder: Path) -> str:
    """Its commands, each with what it prints; what differs in times alone stays as it is."""
    commands = [line for line in block.splitlines() if line.startswith("$ ")]
    said = [f"{command}\n{_output(command, folder)}" for command in commands]
    new = "\n".join(said)
    return block if _CHANGING.sub("", new) == _CHANGING.sub("", block) else new


def _output(command: str, folder: Path) -> str:
    program, *arguments = shlex.split(command.removeprefix("$ "))
    program = {"selfedit": f"{sys.executable} -m selfedit", "python": sys.executable}.get(
        program, program
    )
    env = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "SELFEDIT_HOME": str(folder / "home")}
    done = subprocess.run(
        [*program.split(), *arguments], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{command} failed: {done.stderr}")
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {PAGE.name}")
