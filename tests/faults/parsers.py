"""Everything that reads what others wrote, each as a function of one text or of the bytes of one file.

Such a function may refuse with a SelfEditError (an endpoint's reply: UnreadableReply) and nothing else.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

from selfedit.data import read_quiz, read_tasks
from selfedit.domains.arc.as_task import to_task
from selfedit.domains.arc.domain import Arc
from selfedit.domains.arc.grids import Grid
from selfedit.domains.arc.settings import ArcSettings
from selfedit.domains.arc.sources import read_solutions
from selfedit.domains.arc.sources import read_tasks as read_arc
from selfedit.domains.arc.submission import read_submission
from selfedit.domains.arc.tasks import ArcTask, Example
from selfedit.domains.knowledge import Knowledge, split_passages
from selfedit.domains.knowledge.cloze import cloze_items
from selfedit.domains.knowledge.documents import document_of
from selfedit.domains.knowledge.self_quiz import parse_question
from selfedit.domains.knowledge.settings import KnowledgeSettings
from selfedit.domains.knowledge.strategies import TEMPLATES
from selfedit.endpoints.judge import read_verdict
from selfedit.endpoints.replies import UnreadableReply, content_of, error_of
from selfedit.endpoints.rubric import read_rubric
from selfedit.endpoints.writer import read_edits
from selfedit.errors import SelfEditError
from selfedit.grading import GRADERS
from selfedit.grading.answers_file import parse_answers
from selfedit.model.constrained import Constraint
from selfedit.model.tiny import tiny_model
from selfedit.release import read_release
from selfedit.release.run import RecordedRun
from selfedit.store import Store
from selfedit.types import Query, SelfEdit, Task

REFUSALS = (SelfEditError, UnreadableReply)
QUESTION = "Who runs the mill at Quxville?"
TASK = Task(
    "t",
    "Quxville",
    "The mill at Quxville was built in 1851. Anna Berg runs it.",
    (Query(QUESTION, ("Anna Berg",)),),
)


def _strategy(name: str) -> Callable[[str], object]:
    domain = Knowledge(KnowledgeSettings.model_validate({"strategy": name}))
    prompts = domain.prompts(TASK)
    return lambda text: domain.parse(TASK, SelfEdit("t", 0, prompts, (text,) * len(prompts)))


def _arc_task() -> Task:
    pairs = tuple(Example(Grid([[n, 1], [2, 3]]), Grid([[1, n], [3, 2]])) for n in range(3))
    return to_task(ArcTask("a", pairs, (pairs[0].input,), (pairs[0].output,)), "rows")


def _arc_edit(text: str) -> object:
    return Arc().parse(_arc_task(), SelfEdit("a", 0, (), (text,)))


def _arc_answer(text: str, form: str = "rows") -> object:
    domain = Arc(ArcSettings.model_validate({"grid": form}))
    task = _arc_task()
    return domain.score(task, [text] * len(domain.queries(task)))


def _document(text: str, suffix: str) -> object:
    document = document_of(text.encode("utf-8", "surrogatepass"), suffix, f"name{suffix}")
    tasks = split_passages(document)
    return cloze_items(tasks)


@cache
def _tokenizer() -> tuple[object, int]:
    model = tiny_model()
    return model.tokenizer, model.hf.config.vocab_size


def _constraint(text: str) -> object:
    tokenizer, vocabulary = _tokenizer()
    return Constraint(text, tokenizer, vocabulary, [0])


def _prompt(text: str) -> object:
    domain = Knowledge(KnowledgeSettings(strategy="implications", prompt_text=text))
    return domain.prompts(TASK)


# What a model writes, or an endpoint replies, or a user puts into a setting.
TEXTS: dict[str, Callable[[str], object]] = {
    **{f"self-edit {name}": _strategy(name) for name in TEMPLATES},
    "self-edit ARC": _arc_edit,
    "answer ARC rows": _arc_answer,
    "answer ARC compact": lambda text: _arc_answer(text, "compact"),
    "question": lambda text: parse_question(TASK.context, text),
    "question of its own sentence": lambda text: parse_question(text, text, "Quxville"),
    **{f"answer {n}": lambda t, g=g: g(QUESTION, ["Anna Berg"], t) for n, g in GRADERS.items()},
    **{f"gold {n}": lambda t, g=g: g(QUESTION, [t], t + " x") for n, g in GRADERS.items()},
    "asked": lambda text: GRADERS["offline"](text, ["1851"], text),
    "verdict": read_verdict,
    "rubric": read_rubric,
    "completion": content_of,
    "error": error_of,
    "constraint": _constraint,
    "own prompt": _prompt,
    **{
        f"document {suffix or 'plain'}": lambda text, suffix=suffix: _document(text, suffix)
        for suffix in (".md", ".txt", ".html", ".py", ".rst", "")
    },
}


def _release(path: Path) -> RecordedRun:
    return read_release(path)


def _store(path: Path) -> None:
    with Store(path) as store:
        store.adapters()


# What a file holds.
FILES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "quiz json": (".json", read_quiz),
    "quiz jsonl": (".jsonl", read_quiz),
    "quiz csv": (".csv", read_quiz),
    "quiz tsv": (".tsv", read_quiz),
    "quiz parquet": (".parquet", read_quiz),
    "data": (".json", read_tasks),
    "edits": (".jsonl", read_edits),
    "answers": (".jsonl", lambda path: parse_answers(path, path.read_text("utf-8", "replace"))),
    "ARC tasks": (".json", read_arc),
    "ARC solutions": (".json", read_solutions),
    "ARC submission": (".json", read_submission),
    "release": (".json", _release),
    "pdf": (".pdf", lambda path: document_of(path.read_bytes(), ".pdf", "x.pdf")),
    "docx": (".docx", lambda path: document_of(path.read_bytes(), ".docx", "x.docx")),
    "epub": (".epub", lambda path: document_of(path.read_bytes(), ".epub", "x.epub")),
    "store": (".db", _store),
}

_number = itertools.count()


def read_file(name: str, data: bytes, folder: Path) -> None:
    """Have a parser of FILES read a file with these bytes. Refusals are fine."""
    suffix, parse = FILES[name]
    path = folder / f"{os.getpid()}-{next(_number)}{suffix}"
    path.write_bytes(data)
    try:
        parse(path)
    except REFUSALS:
        pass
    finally:
        for made in folder.glob(f"{path.stem}*"):
            made.unlink(missing_ok=True)


def read_text(name: str, text: str) -> None:
    """Have a parser of TEXTS read a text. Refusals are fine."""
    with suppress(*REFUSALS):
        TEXTS[name](text)
