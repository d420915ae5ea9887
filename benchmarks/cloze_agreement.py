"""Does a cloze quiz measure what a quiz does? Its gain and its verdict against those of a true quiz.

    OMP_NUM_THREADS=1 SELFEDIT_WORKERS=1 python benchmarks/cloze_agreement.py FOLDER [--contexts 40]
    python benchmarks/cloze_agreement.py --items FILE ...

The first trains, with short inner loops (4 epochs at 2e-3), two adapters for each of the three
shipped documents and of so many contexts of $SELFEDIT_DATA/squad/train_round2.json: one on the passage
alone, one on the passage, its sentences and one restatement of each. Both are asked the true questions
and the cloze items. FOLDER holds the store: what is there is not done again. The second needs no model:
it counts the items of documents (.txt, .md) and of the passages of SQuAD-like JSON files.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from selfedit.config import ANSWER_SAMPLING, TrainSettings, stable_hash
from selfedit.data import read_quiz
from selfedit.domains.knowledge import Knowledge, read_document, split_passages
from selfedit.domains.knowledge.cloze import cloze_items, gold_reply
from selfedit.domains.knowledge.sentences import split_sentences
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.errors import InvalidSelfEdit, SelfEditError
from selfedit.grading import GRADERS
from selfedit.loops.sampler import Writer
from selfedit.model.load import load_model
from selfedit.seams import Adapters, Model
from selfedit.store import Store
from selfedit.types import Query, Task, TrainingPlan, TrainingSequence

EXAMPLES = Path(__file__).parents[1] / "examples"
SETTINGS = LearnSettings(
    train=TrainSettings(epochs=4, learning_rate=2e-3), knowledge={"restatements": 1}, candidates=1
)
DOMAIN = Knowledge(SETTINGS.knowledge, GRADERS["offline"])
VARIANTS = ("passage", "own")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--contexts", type=int, default=40)
    parser.add_argument("--items", type=Path, nargs="*")
    given = parser.parse_args()
    if given.items is not None:
        count_items(given.items)
        return
    store = Store(given.folder / "cloze_agreement.sqlite")
    model = load_model()
    rows = [_measured(model, store, task) for task in (*_examples(), *_contexts(given.contexts))]
    for name, own in (("all", rows), ("contexts", rows[3:]), ("examples", rows[:3])):
        report(name, own)


# -- documents ---------------------------------------------------------------------------------------


def _examples() -> Iterator[Task]:
    for path in sorted(EXAMPLES.glob("*.md")):
        (task,) = split_passages(read_document(path))
        yield Task(task.id, task.title, task.context, read_quiz(path.with_suffix(".quiz.jsonl")))


def _contexts(count: int) -> Iterator[Task]:
    data = Path(os.environ.get("SELFEDIT_DATA", "../shared/data")) / "squad" / "train_round2.json"
    for entry in json.loads(data.read_text(encoding="utf-8"))[:count]:
        queries = tuple(Query(q["question"], (q["answer"],)) for q in entry["questions"])
        identity = stable_hash([entry["title"], entry["context"]])
        yield Task(identity, entry["title"], entry["context"], queries)


def count_items(paths: Sequence[Path]) -> None:
    counts: list[int] = []
    for path in paths:
        if path.suffix == ".json":
            entries = json.loads(path.read_text(encoding="utf-8"))
            sets = [(e["title"], [Task("", e["title"], e["context"])]) for e in entries]
        else:
            sets = [(path.name, list(split_passages(read_document(path))))]
        found = [cloze_items(tasks) for _, tasks in sets]
        counts += map(len, found)
        kinds = Counter(item.span.kind for items in found for item in items)
        few = [f"{title} ({len(i)})" for (title, _), i in zip(sets, found, strict=True) if len(i) < 5]
        print(f"{path}: {len(sets)} documents, {sum(map(len, found))} items", dict(kinds), few)
    usable = sum(count >= 5 for count in counts)
    print(f"{usable} of {len(counts)} documents have five items or more; median {median(counts)}")


# -- one document ------------------------------------------------------------------------------------


def _measured(model: Model, store: Store, task: Task) -> dict[str, Any]:
    items = tuple(item.query for item in cloze_items([task]))
    asked = [[q.question, list(q.answers), q.topic] for q in (*task.queries, *items)]
    said = [SETTINGS.digest(), DOMAIN.digest(), VARIANTS]
    key = stable_hash([model.identity, task.title, task.context, asked, *said])
    if not (known := store.cached([key])):
        start = time.perf_counter()
        known = {key: _measure(model, Writer(model, store), task, items)}
        store.put_cached("cloze agreement", known)
        line = json.dumps({"title": task.title, **known[key]})
        print(f"{time.perf_counter() - start:.0f} s {line}", flush=True)
    return known[key]


def _measure(model: Model, writer: Writer, task: Task, items: tuple[Query, ...]) -> dict[str, Any]:
    own, invalid = _own(writer, task)
    passage = TrainingPlan((TrainingSequence(f"{task.title}\n{task.context}"),))
    bank, records = model.train([passage, own], SETTINGS.lora, SETTINGS.train, [0, 0])
    if failures := [record.failure for record in records if record.failure]:
        raise SelfEditError(f"{task.title}: {failures[0]}")
    row: dict[str, Any] = {"quiz": len(task.queries), "items": len(items), "invalid": invalid}
    row["before"] = _scores(model, task, items, None, 0)
    for owner, variant in enumerate(VARIANTS):
        row[variant] = _scores(model, task, items, bank, owner)
    return row


def _own(writer: Writer, task: Task) -> tuple[TrainingPlan, str]:
    """The plan of the model's own self-edit; where none is valid the sentences alone, and why."""
    ((edit,),) = writer.propose(DOMAIN, [task], SETTINGS)
    try:
        return DOMAIN.parse(task, edit), ""
    except InvalidSelfEdit as error:
        texts = dict.fromkeys([*split_sentences(task.context), task.context])
        return TrainingPlan(tuple(TrainingSequence(f"{task.title}\n{t}") for t in texts)), str(error)


def _scores(
    model: Model, task: Task, items: tuple[Query, ...], bank: Adapters | None, owner: int
) -> dict[str, float]:
    """Right answers to the questions and right fillings of the blanks; the blanks' log-probability."""
    queries = (*task.queries, *items)
    prompts = [DOMAIN.question(query) for query in queries]
    owners = [owner] * len(queries) if bank is not None else None
    replies = model.sample(prompts, ANSWER_SAMPLING, [0] * len(prompts), adapters=bank, owners=owners)
    graded = DOMAIN.score(Task("", "", "", queries), [reply.text for reply in replies]).answers
    n = len(task.queries)
    scores = model.answer_scores(
        prompts[n:], [gold_reply(q) for q in items], adapters=bank, owners=(owners or [])[n:] or None
    )
    return {
        "quiz": sum(answer.correct for answer in graded[:n]),
        "cloze": sum(answer.correct for answer in graded[n:]),
        "greedy": sum(score.greedy for score in scores),
        "logprob": sum(score.logprob for score in scores),
    }


# -- all documents -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Gains:
    """Of one adapter: in shares of the questions and of the items, and in nats an item."""

    quiz: float
    cloze: float
    nats: float
    quiz_commits: bool
    cloze_commits: bool


def gains(row: dict[str, Any], variant: str) -> Gains:
    quiz = row[variant]["quiz"] - row["before"]["quiz"]
    cloze = row[variant]["cloze"] - row["before"]["cloze"]
    nats = row[variant]["logprob"] - row["before"]["logprob"]
    n, m = row["quiz"], row["items"]
    return Gains(quiz / n, cloze / m, nats / m, quiz > 0, cloze > 0)


def report(name: str, rows: Sequence[dict[str, Any]]) -> None:
    """Correlations with bootstrap intervals over documents; how often the verdicts are the same."""
    print(f"\n{name}: {len(rows)} documents, {sum(bool(row['invalid']) for row in rows)} of them "
          "without a valid self-edit")  # fmt: skip
    for variant in VARIANTS:
        own = [gains(row, variant) for row in rows]
        print(
            f"  {variant}: quiz {_mean(own, lambda g: g.quiz):+.3f}, cloze "
            f"{_mean(own, lambda g: g.cloze):+.3f}, {_mean(own, lambda g: g.nats):+.2f} nats an item; "
            f"commit by quiz {sum(g.quiz_commits for g in own)}, by cloze "
            f"{sum(g.cloze_commits for g in own)}, alike "
            f"{sum(g.quiz_commits == g.cloze_commits for g in own)}"
        )
    sets: list[tuple[str, tuple[str, ...]]] = [(variant, (variant,)) for variant in VARIANTS]
    for label, variants in (*sets, ("both", VARIANTS)):
        pairs = [[gains(row, variant) for variant in variants] for row in rows]
        for measure in ("cloze", "nats"):
            print(f"  r({measure}, quiz), {label}: {_correlation(pairs, measure)}")
    differences = [
        (a.quiz - b.quiz, a.cloze - b.cloze, a.nats - b.nats)
        for a, b in ((gains(row, "own"), gains(row, "passage")) for row in rows)
    ]
    for k, measure in ((1, "cloze"), (2, "nats")):
        told = [d for d in differences if d[0] != 0]
        same = sum(d[0] * d[k] > 0 for d in told)
        print(f"  the better of the two by quiz is the better by {measure}: {same} of {len(told)}")


def _mean(own: Sequence[Gains], value: Callable[[Gains], float]) -> float:
    return float(np.mean([value(g) for g in own]))


def _correlation(pairs: Sequence[Sequence[Gains]], measure: str) -> str:
    """Pearson's r of a measure's gain with the quiz's; drawn again are documents."""
    data = np.array([[(getattr(g, measure), g.quiz) for g in own] for own in pairs])

    def r(rows: Any) -> float:
        x, y = data[rows].reshape(-1, 2).T
        return float(np.corrcoef(x, y)[0, 1]) if x.std() and y.std() else float("nan")

    draws = np.random.default_rng(0).integers(0, len(data), (2000, len(data)))
    low, high = np.nanquantile([r(rows) for rows in draws], [0.025, 0.975])
    return f"{r(np.arange(len(data))):.2f} [{low:.2f}, {high:.2f}]"


if __name__ == "__main__":
    main()
