"""What the n-th document costs a routed library: seconds and memory of `learn`, seconds of `ask`.

Seconds are the processor's, so that other work on the machine does not count.

    python benchmarks/growing.py 1000 [--model fake] [--every 100] [--together 25]
    python benchmarks/growing.py 40 --model tiny

Invented documents of one size are learned one after the other into a library in a temporary folder,
and the first one's question is asked: by the open library, and by one that was just opened (the model
is loaded already). `fake` knows at once what it is taught, so that the seconds are the library's own;
with `tiny` a random model of two layers trains, keeps and answers with adapters beside it. A line of
JSON for every so many documents, and at the end the ratios: the 20th `learn` over the first, `ask` over
that of one.
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
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from selfedit.domains.knowledge import Document, text_document
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.learning.library import Library
from selfedit.model.fake import FakeAdapters, FakeModel
from selfedit.model.tiny import tiny_model
from selfedit.seams import Adapters, Model
from selfedit.types import Query

ALONE = 25  # documents that are learned one by one; then --together at a time

Asked = dict[int, tuple[float, float]]

SETTINGS: dict[str, dict[str, Any]] = {
    "fake": {},
    "tiny": {"knowledge": {"neighbours": 0}, "train": {"epochs": 10, "anchor": {"weight": 0.0}}},
}


@dataclass
class Both(FakeAdapters):
    bank: Adapters | None = None


class TinyBeside(FakeModel):
    """The fake model, whose answers count, and a random model of two layers that trains, keeps, loads
    and answers with an adapter of its own wherever the fake one does."""

    def __init__(self) -> None:
        super().__init__()
        self.tiny = tiny_model()

    def train(self, plans: Any, lora: Any, settings: Any, seeds: Any, **more: Any) -> Any:
        known, records = super().train(plans, lora, settings, seeds, **more)
        bank, _ = self.tiny.train(plans, lora, settings, seeds)
        return Both(known.texts, known.rates, bank), records

    def save_adapter(self, adapters: Any, k: int, folder: Path) -> None:
        self.tiny.save_adapter(adapters.bank, k, folder)
        super().save_adapter(adapters, k, folder)

    def load_adapter(self, folder: Path) -> Both:
        known = super().load_adapter(folder)
        return Both(known.texts, known.rates, self.tiny.load_adapter(folder))

    def combine(self, adapters: Any, mixes: Any) -> Both:
        known = super().combine(adapters, mixes)
        return Both(known.texts, known.rates, self.tiny.combine([own.bank for own in adapters], mixes))

    def sample(self, prompts: Any, sampling: Any, seeds: Any, **more: Any) -> Any:
        if (adapters := more.get("adapters")) is not None:
            own = {"adapters": adapters.bank, "owners": more["owners"]}
            self.tiny.sample(prompts, sampling, seeds, **own)
        return super().sample(prompts, sampling, seeds, **more)


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


def grow(model: Model, given: argparse.Namespace, folder: Path) -> tuple[list[float], Asked]:
    """Seconds of each `learn` of one document, and of `ask` (open, just opened) after some of them."""
    settings = LearnSettings.model_validate({**SETTINGS[given.model], "memory": "routed"})
    new = list(itertools.islice(documents(), given.documents))
    # What is loaded or asked once for a model is no part of the first document's seconds.
    learn(Library(model, folder / "other"), new[-1:], settings)
    library, first = Library(model, folder / "library"), new[0][1].question
    learned: list[float] = []
    asked: Asked = {}
    n = 0
    while n < len(new):
        own = new[n : n + 1] if n < ALONE else new[n : n + given.together]
        start = time.process_time()
        learn(library, own, settings)
        n += len(own)
        learned += [time.process_time() - start] * (n <= ALONE)
        if n // given.every == (n - len(own)) // given.every and n not in (1, 20, 200, len(new)):
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


def learn(library: Library, own: list[tuple[Document, Query]], settings: LearnSettings) -> None:
    result = library.learn([document for document, _ in own], [query for _, query in own], settings)
    if not result.committed:
        raise SystemExit(f"{own[0][0].title}: {result.reason}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("documents", type=int)
    parser.add_argument("--model", choices=sorted(SETTINGS), default="fake")
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--together", type=int, default=1)
    given = parser.parse_args()
    model = FakeModel() if given.model == "fake" else TinyBeside()
    with tempfile.TemporaryDirectory() as name:
        os.environ["SELFEDIT_HOME"] = f"{name}/home"
        learned, asked = grow(model, given, Path(name))
    if len(learned) >= 22:
        ratio = median(learned[17:22]) / median(learned[:5])
        print(f"learn, documents 18 to 22 over 1 to 5: {ratio:.2f}")
    for n in sorted(asked):
        warm, cold = (asked[n][i] / asked[1][i] for i in range(2))
        print(f"ask, {n} documents over 1: {warm:.2f} open, {cold:.2f} just opened")


if __name__ == "__main__":
    main()
