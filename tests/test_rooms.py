"""The rooms of the house: who may import whom, and what may lie at the root.

A room is a folder of `src/selfedit`. It imports rooms that stand before it, never one behind it;
imports inside of functions and for types alone count, too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "selfedit"

# At the root lie values, settings and seams, which every room may import, and on top of all rooms the
# composition root.
ROOT = (
    "types",
    "config",
    "errors",
    "home",
    "progress",
    "words",
    "seams",
    "experiments",
    "testing",
    "__init__",
    "__main__",
)
FOR_ALL = ("types", "config", "errors", "home", "progress", "words", "seams")

ORDER = (
    "show",
    "endpoints",
    "store",
    "forward",
    "lora",
    "model",
    "grading",
    "data",
    "console",
    "domains",
    "loops",
    "runners",
    "corpus",
    "algorithms",
    "evaluation",
    "memory",
    "learning",
    "experiments",
    "agents",
    "release",
    "report",
    "bench",
    "serve",
    "cli",
)


def modules() -> Iterator[tuple[str, Path]]:
    """(dotted name below selfedit, file) of each module."""
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        yield ".".join(parts), path


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name below selfedit) of each import of ours in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            # `from selfedit import seams` names a module, or something of the package itself.
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.split(".")[0] == "selfedit":
                yield node.lineno, name.removeprefix("selfedit").removeprefix(".")


def room(module: str) -> str:
    """The room, or the module at the root; what is neither is of the package itself."""
    first = module.split(".", maxsplit=1)[0]
    return first if first in (*ORDER, *ROOT) else "__init__"


def test_every_room_has_its_place():
    rooms = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert rooms <= set(ORDER), f"where does it stand? {rooms - set(ORDER)}"
    at_root = {path.stem for path in SOURCE.glob("*.py")}
    assert at_root <= set(ROOT), f"at the root: {at_root - set(ROOT)}"


def test_no_room_imports_one_behind_it():
    order = (*ORDER, "testing", "__init__", "__main__")
    places = {name: place for place, name in enumerate(order, start=1)} | dict.fromkeys(FOR_ALL, 0)
    places["cli"] = len(order)  # it is the package's own, too, and asks it for the version
    upwards = [
        f"{name}:{line} imports {target}"
        for name, path in modules()
        for line, target in imported(path)
        if places[room(target)] > places[room(name)]
    ]
    assert not upwards, "\n".join(upwards)
