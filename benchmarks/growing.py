"""What the n-th document costs a routed library: seconds and memory of `learn`, seconds of `ask`.

Seconds are the processor's, so that other work on the machine does not count.

    python benchmarks/growing.py 1000 [--model fake] [--every 100]
    python benchmarks/growing.py 40 --model tiny

Invented documents of one size are learned one after the other into a library in a temporary folder,
and the first one's question is asked: by the open library, and by one that was just opened (the model
is loaded already). `fake` knows at once what it is taught, so that the seconds are the library's own;
`tiny` is a random model of two layers whose adapters are really trained. A line of JSON for every so
many documents, and at the end the ratios: the 20th `learn` over the first, `ask` over that of one.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from selfedit.domains.knowledge import Document, text_document
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.learning.library import Library
from selfedit.model.fake import FakeModel
from selfedit.model.tiny import tiny_model
from selfedit.seams import Model
from selfedit.types import Query

Asked = dict[int, tuple[float, float]]

# The tiny model knows nothing but its adapters: it is taught a sentence by heart.
SETTINGS: dict[str, dict[str, Any]] = {
    "fake": {},
    "tiny": {
        "candidates": 1,
        "probe_questions": 0,
        "knowledge": {"strategy": "none", "form": "text", "neighbours": 0},
        "train": {"epochs": 40, "learning_rate": 1e-2, "anchor": {"weight": 0.0}},
    },
}


def documents() -> Iterator[tuple[Document, Query]]:
    """Documents of four sentences about places that there are not, each with a question."""
    draw = random.Random(0)
    heads = "Bel Cor Dun Fen Gar Hol Ker Lam Mor Nes Pel Ros Tam".split()
    tails = "wick ford ham ley by mere".split()
    places = ["".join(parts) for parts in itertools.product(heads, [h.lower() for h in heads], tails)]
    numbers = draw.sample(range(1000, 9000), len(places))
    for place, number in zip(draw.sample(places, len(places)), numbers, strict=True):
        text = f"The lamps of {place} burn the oil number {number}. Two wardens look after them, and "
        text += f"every spring all of {place} comes to see them. Nobody knows how old they are."
        title = f"Lamps of {place}"
        query = Query(f"Which oil number do the lamps of {place} burn?", (str(number),))
        yield text_document(f"# {title}\n\n{text}\n", source=title), query


def resident() -> float:
    """Megabytes of this process in memory now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


def seconds_of(library: Library, question: str, times: int = 5) -> float:
    found = []
    for _ in range(times):
        start = time.process_time()
        library.ask(question)
        found.append(time.process_time() - start)
    return median(found)


def just_opened(model: Model, folder: Path, question: str) -> float:
    start = time.process_time()
    Library(model, folder).ask(question)
    return time.process_time() - start


def grow(model: Model, name: str, count: int, every: int, folder: Path) -> tuple[list[float], Asked]:
    """Seconds of each `learn`, and of `ask` (open, just opened) after some of them."""
    settings = LearnSettings.model_validate({**SETTINGS[name], "memory": "routed"})
    given = list(itertools.islice(documents(), count))
    # What is loaded or asked once for a model is no part of the first document's seconds.
    Library(model, folder / "other").learn(given[-1][0], [given[-1][1]], settings)
    library, first = Library(model, folder / "library"), given[0][1].question
    learned: list[float] = []
    asked: Asked = {}
    for n, (document, query) in enumerate(given, 1):
        start = time.process_time()
        result = library.learn(document, [query] if name == "fake" else None, settings)
        learned.append(time.process_time() - start)
        if not result.committed:
            raise SystemExit(f"{document.title}: {result.reason}")
        if n % every and n not in (1, 20, 200, count):
            continue
        asked[n] = seconds_of(library, first), just_opened(model, library.folder, first)
        line = {
            "documents": n,
            "learn": median(learned[-5:]),
            "ask": asked[n][0],
            "ask, just opened": asked[n][1],
            "resident MB": resident(),
            "adapters held": len(library.standing.loaded),
            "store MB": sum(p.stat().st_size for p in library.folder.glob("store.sqlite*")) / 1e6,
        }
        print(json.dumps({k: round(v, 4) for k, v in line.items()}), flush=True)
    return learned, asked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("documents", type=int)
    parser.add_argument("--model", choices=sorted(SETTINGS), default="fake")
    parser.add_argument("--every", type=int, default=100)
    given = parser.parse_args()
    model: Model = FakeModel() if given.model == "fake" else tiny_model()
    with tempfile.TemporaryDirectory() as name:
        os.environ["SELFEDIT_HOME"] = f"{name}/home"
        learned, asked = grow(model, given.model, given.documents, given.every, Path(name))
    if len(learned) >= 22:
        ratio = median(learned[17:22]) / median(learned[:5])
        print(f"learn, documents 18 to 22 over 1 to 5: {ratio:.2f}")
    for n in sorted(asked):
        warm, cold = (asked[n][i] / asked[1][i] for i in range(2))
        print(f"ask, {n} documents over 1: {warm:.2f} open, {cold:.2f} just opened")


if __name__ == "__main__":
    main()
