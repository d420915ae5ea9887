"""What benchmarks train on and ask: real self-edits and questions, recorded or shipped."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from selfedit.data import read_tasks
from selfedit.errors import InputError
from selfedit.types import Prompt, Task, TrainingPlan, TrainingSequence

# Asked of a shipped article, whose quiz does not ship; as long as SQuAD's questions, about 12 tokens.
_ASKED = (
    "What is {title} known for today?",
    "Where can {title} be found, and since when?",
    "Who first worked on {title}?",
    "How many people take part in {title}?",
    "Why is {title} called by that name?",
)


@dataclass(frozen=True, slots=True)
class Article:
    """A passage with the self-edits that were written for it and questions about it."""

    title: str
    context: str
    edits: tuple[str, ...]
    questions: tuple[str, ...]

    def plan(self, index: int) -> TrainingPlan:
        """Edit `index` as training sequences, one statement a line, the passage last (as the public
        release has them)."""
        statements = [line for line in self.edits[index].splitlines() if line.strip()]
        texts = [f"{self.title}\n{statement}" for statement in [*statements, self.context]]
        return TrainingPlan(tuple(map(TrainingSequence, texts)))

    def asked(self) -> list[Prompt]:
        return [Prompt(f"Topic: {self.title}\n{q}", kind="question") for q in self.questions]


def articles() -> tuple[list[Article], str]:
    """The articles and where they come from: a recorded run of the paper's authors if
    $SELFEDIT_DATA has one, else edits of the embedded model that ship with this package."""
    path = _data_folder() / "recorded/round1_trials.json"
    if path.exists():
        return list(_recorded(path)), "a recorded run"
    return list(_shipped()), "shipped"


def recorded_edits() -> list[tuple[Task, list[str]]]:
    """The contexts of the recorded round with their questions from SQuAD, in the recorded order, and
    the texts of the self-edits. Raises InputError if $SELFEDIT_DATA does not have them."""
    folder = _data_folder()
    recorded, squad = folder / "recorded/round1_trials.json", folder / "squad/train_round1.json"
    if not (recorded.exists() and squad.exists()):
        raise InputError(f"{recorded} and {squad} are needed: set SELFEDIT_DATA to where they are.")
    tasks = {task.context: task for task in read_tasks(squad)}
    return [(tasks[a.context.strip()], list(a.edits)) for a in _recorded(recorded)]


def _data_folder() -> Path:
    return Path(os.environ.get("SELFEDIT_DATA") or "../shared/data")


def _recorded(path: Path) -> Iterator[Article]:
    for article in json.loads(path.read_text(encoding="utf-8"))["articles"]:
        own = article["completions"]
        questions = dict.fromkeys(q["question"] for edit in own for q in edit["questions"])
        edits = tuple(edit["text"] for edit in own)
        yield Article(article["title"], article["context"], edits, tuple(questions))


def _shipped() -> Iterator[Article]:
    text = files("selfedit.bench").joinpath("edits.json").read_text(encoding="utf-8")
    grouped: dict[tuple[str, str], list[str]] = {}
    for edit in json.loads(text):
        grouped.setdefault((edit["title"], edit["context"]), []).append(edit["text"])
    for (title, context), edits in grouped.items():
        yield Article(title, context, tuple(edits), tuple(q.format(title=title) for q in _ASKED))


@dataclass(frozen=True, slots=True)
class Work:
    """One self-edit as a benchmark trains it, and what its adapter is asked afterwards."""

    plan: TrainingPlan
    asked: tuple[Prompt, ...]


def one_edit_each(count: int, questions: int = 5) -> tuple[list[Work], str]:
    """`count` self-edits, the first of each article, then the second, and where they come from."""
    found, source = articles()
    most = max(len(article.edits) for article in found)
    work = [
        Work(article.plan(i), tuple(article.asked()[:questions]))
        for i in range(most)
        for article in found
        if i < len(article.edits)
    ]
    if count > len(work):
        raise InputError(f"there are {len(work)} self-edits ({source}): ask for no more.")
    return work[:count], source
