"""Small libraries of the fake model, commands that work on them, and what is in one at the end."""

from __future__ import annotations

import gzip
import hashlib
import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from selfedit.home import STORE
from selfedit.store import LearnedDocument, Store
from tests.release.test_release import example

FORMER = Path(__file__).parents[1] / "report" / "former" / "store.sql.gz"
ARC_TASKS = "3c9b0459,74dd1130"  # two that the fake model learns
MODEL = ("--model", "fake")


def write_inputs(folder: Path) -> None:
    """The files that COMMANDS name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, oil in (("Orro", "thistle"), ("Velm", "whale")):
        (folder / f"{name}.md").write_text(
            f"# Lamps of {name}\n\nThe lamps of {name} burn {oil} oil.\n"
        )
        asked = {"question": f"What do the lamps of {name} burn?", "answers": [oil]}
        (folder / f"{name}.jsonl").write_text(json.dumps(asked) + "\n")
    towers = [
        {
            "title": f"Tower {i}",
            "context": f"The tower number{i} is made of stone{i}. It is in field{i}.",
            "questions": [{"question": f"What is tower number{i} made of?", "answer": f"stone{i}"}],
        }
        for i in range(5)
    ]
    (folder / "towers.json").write_text(json.dumps(towers))
    (folder / "release.json").write_text(json.dumps(example()))


def learn(name: str, *more: str) -> list[str]:
    return [
        "learn",
        f"{name}.md",
        "--quiz",
        f"{name}.jsonl",
        *MODEL,
        "--library",
        "lib",
        "--json",
        *more,
    ]


@dataclass(frozen=True, slots=True)
class Work:
    """A command, the commands that make what it works on, and whether it says the same when it is
    given again (forgetting what is forgotten is refused)."""

    args: Sequence[str]
    before: Sequence[Sequence[str]] = ()
    repeats: bool = True
    prepare: Callable[[Path], None] | None = None


def _old_store(folder: Path) -> None:
    (folder / "lib").mkdir()
    with sqlite3.connect(folder / "lib" / STORE) as database:
        database.executescript(gzip.decompress(FORMER.read_bytes()).decode())


_ROUTED = (learn("Orro", "--memory", "routed"), learn("Velm", "--memory", "routed"))
_LIB = ("--library", "lib")
COMMANDS: dict[str, Work] = {
    "learn": Work(learn("Velm"), [learn("Orro")]),
    "learn routed": Work(_ROUTED[1], _ROUTED[:1]),
    "train knowledge": Work(
        ["train", "knowledge", "--preset", "smoke", "--data", "towers.json", *MODEL, *_LIB, "--json"]
    ),
    "train arc": Work(
        ["train", "arc", "--split", "training", "--ids", ARC_TASKS, "--candidates", "2", *MODEL, *_LIB]
    ),
    "eval": Work(
        ["eval", "knowledge", "--data", "towers.json", "--epochs", "2", *MODEL, *_LIB, "--json"]
    ),
    "import": Work(["import", "release", "release.json", *_LIB]),
    "export": Work(
        ["adapters", "export", "out", "--version", "1", *MODEL, *_LIB], [learn("Orro")], repeats=False
    ),
    "consolidate": Work(["adapters", "consolidate", *MODEL, *_LIB], _ROUTED),
    "forget": Work(["forget", "Orro.md", *MODEL, *_LIB], _ROUTED, repeats=False),
    "migration": Work(["adapters", "list", *_LIB], prepare=_old_store),
}


def state(folder: Path) -> dict[str, Any]:
    """What a library knows, without numbers and times that differ from run to run."""
    library = folder / "lib"
    with Store(library / STORE) as store:
        numbers = [record.version for record in store.adapters()]
        versions = [
            (
                r.status,
                r.reason,
                tuple(map(_here, r.documents)),
                _measured(r.scores),
                r.version == _current(store, r),
            )
            for r in store.adapters()
        ]
        done = sorted({run.kind for run in store.runs(None) if run.status == "finished"})
    return {
        "versions": versions,
        "done": done,
        "adapters": _by_rank(library / "adapters", numbers),
        "passages": _contents(library / "passages"),
        "out": _contents(folder / "out"),
    }


def _measured(scores: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in scores.items() if name != "probe_seconds"}


def _here(document: LearnedDocument) -> LearnedDocument:
    """Without the folder that it came from."""
    return replace(document, source=Path(document.source).name)


def _current(store: Store, record: Any) -> int | None:
    current = store.current(record.model_revision)
    return None if current is None else current.version


def _by_rank(folder: Path, numbers: Sequence[int]) -> dict[str, str]:
    """A number that was reserved by a command that was killed is not given again."""
    ranks = {f"v{number:04d}": f"version {rank}" for rank, number in enumerate(numbers, start=1)}
    found = _contents(folder)
    return {
        "/".join([ranks.get(name.split("/")[0], name), *name.split("/")[1:]]): found[name]
        for name in found
    }


def _contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def left_behind(folder: Path) -> list[str]:
    """Drafts and temporary files that a command made and did not take away."""
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.name.startswith((".saving", ".draft", ".selfedit-export"))
        or path.name.endswith((".tmp", ".partial"))
    ]
