"""Everything that reads what others wrote, each as a function of one text or of the bytes of one file.

Such a function may refuse with a SelfEditError (an endpoint's reply: UnreadableReply) and nothing else.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

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
from selfedit.lora.peft_folder import _config
from selfedit.model.constrained import Constraint
from selfedit.model.tiny import tiny_model
from selfedit.release import read_release
from selfedit.release.continual import import_continual
from selfedit.release.run import RecordedRun
from selfedit.serve.learning_jobs import statements_document
from selfedit.store import Store
from selfedit.types import Query, SelfEdit, Task
from tests.domains.test_converters import docx, epub, pdf
from tests.release.test_release import example

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


def _lora(path: Path) -> object:
    folder = path.with_suffix("")
    folder.mkdir()
    path.rename(folder / "adapter_config.json")
    try:
        return _config(folder)
    finally:
        shutil.rmtree(folder)


@cache
def _in_memory() -> Store:
    return Store(":memory:")


def _matrix(path: Path) -> object:
    return import_continual(path, _in_memory())


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


ARC_EDIT = json.dumps(
    {
        "data_generation": {
            f"use_{kind}_augmentations": True for kind in ("basic", "size", "chain", "repeat")
        },
        "training": {
            "strategy": "train_using_all_tokens",
            "learning_rate": 1e-4,
            "num_train_epochs": 2,
        },
    },
    indent=1,
)
# Texts of the kind that a parser expects, for what is nearly one.
SAMPLES = {
    "self-edit ARC": [ARC_EDIT],
    "self-edit": [
        "1. The mill at Quxville was built in 1851.\n2. Anna Berg runs it.",
        "Question 1: Who runs the mill?\nAnswer: Anna Berg\n\nQuestion 2: When?\nAnswer: 1851",
        "<think>It is old.</think>Implications:\n- The **mill** is old.\n- It has a `miller`.",
    ],
    "answer ARC rows": ["[[0, 1], [2, 3]]", "0 1\n2 3"],
    "answer ARC compact": ["01\n23"],
    "answer": [
        "Anna Berg",
        "It is run by Anna Berg, since 3 March 1851.",
        "not Anna Berg but 1,200.5 km",
    ],
    "gold": ["Anna Berg", "3 March 1851", "twenty-one km", "apples, pears, and plums"],
    "asked": ["When was the mill built?", "Is the mill old or new?"],
    "question": ["Who runs the mill? Anna Berg runs it, e.g. on 3. May."],
    "verdict": ["yes", "**No**, it is not.", "The verdict is: yes"],
    "rubric": ['```json\n{"length": 3, "diversity": 4, "quality": 5, "correctness": 2}\n```'],
    "completion": ['{"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}'],
    "error": ['{"error": {"message": "no", "type": "t", "code": 1}}'],
    "constraint": ["(yes|no)[0-9]{1,3}(?:ab?)*"],
    "own prompt": ["Write about {title}: {context}"],
    "document": [
        "---\ntitle: Mills\ntags: [a, b]\n---\n# Mills\n\nThe *mill* is [old](x).\n\n- one\n  - two\n\n"
        "| a | b |\n| - | - |\n| 1 | 2 |\n\n```py\nx = 1\n```\n\n> Quoted[^1].\n\n[^1]: A note.\n",
        "<html><head><title>Mills</title></head><body><h1>Mills</h1><p>The <b>mill</b> is old.</p>"
        "<table><tr><th>a<td>1</table><ul><li>one<li>two</ul><pre>x</pre></body></html>",
        "Mills\n=====\n\nThe :func:`mill` is old [1]_.\n\n.. image:: x.png\n\n.. [1] A note.\n",
        'def mill():\n    """It grinds."""\n    return "flour"  # always\n',
    ],
}


def samples_of(name: str) -> list[str]:
    return next((own for start, own in SAMPLES.items() if name.startswith(start)), [])


def _release(path: Path) -> RecordedRun:
    return read_release(path)


def _store(path: Path) -> None:
    with Store(path) as store:
        store.adapters()


def _store_bytes() -> bytes:
    with TemporaryDirectory() as folder:
        with Store(Path(folder) / "store.db") as store:
            store.start_run("learn", "fake", "1", {}, {})
        return (Path(folder) / "store.db").read_bytes()


def _parquet() -> bytes:
    pyarrow = pytest.importorskip("pyarrow", reason="the extra `data`")
    from pyarrow import parquet

    made = io.BytesIO()
    parquet.write_table(pyarrow.table({"question": ["Who?"], "answers": [["Ada"]]}), made)
    return made.getvalue()


_QUIZ = [{"question": "Who runs it?", "answers": ["Anna", "Berg"], "topic": "Mill"}]
_SQUAD = {"title": "T", "paragraphs": [{"context": "The mill is old.", "qas": [
    {"question": "How is it?", "id": "1", "is_impossible": False,
     "answers": [{"text": "old", "answer_start": 12}]}]}]}  # fmt: skip
_GRIDS = {"input": [[0, 1]], "output": [[1, 0]]}
_ARC = {"007bbfb7": {"train": [_GRIDS, _GRIDS], "test": [_GRIDS]}}
_ANSWERED = {"question": "Who?", "gold": ["Ada"], "answer": "It was Ada.", "verdict": "yes"}
_MATRIX = {"mean_over_sequences": [[0.1, 0.2], [0.3, 0.1], [0.2, 0.4]], "n_datapoints": 2,
           "n_sequences": 3, "base_model": "m", "dataset": "d"}  # fmt: skip
_CHAT = {"messages": [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Ada"}]}
_LORA = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "bias": "none", "target_modules": ["q_proj"]}


# What a file holds: its suffix, what reads it, and samples (values, or functions that make bytes).
FILES: dict[str, tuple[str, Callable[[Path], object], list[Any]]] = {
    "quiz json": (".json", read_quiz, [_QUIZ, {"data": [_SQUAD]}, [_CHAT]]),
    "quiz jsonl": (".jsonl", read_quiz, [*_QUIZ, _CHAT, {"instruction": "Who?", "output": "Ada"}]),
    "quiz csv": (".csv", read_quiz, [b'question,answer\nWho?,Ada\n"Who, then?","A ""B"""\n']),
    "quiz tsv": (".tsv", read_quiz, [b"question\tanswer\nWho?\tAda\n", b"Who?\tAda\n"]),
    "quiz parquet": (".parquet", read_quiz, [_parquet]),
    "data": (
        ".json",
        read_tasks,
        [{"data": [_SQUAD]}, {"title": "T", "context": "It.", "questions": _QUIZ}],
    ),
    "edits": (".jsonl", read_edits, [{"title": "T", "context": "The mill.", "edit": "It is old."}]),
    "answers": (
        ".jsonl",
        lambda path: parse_answers(path, path.read_text("utf-8", "replace")),
        [_ANSWERED],
    ),
    "ARC tasks": (".json", read_arc, [_ARC, _ARC["007bbfb7"]]),
    "ARC solutions": (".json", read_solutions, [{"007bbfb7": [[[1, 0]]]}]),
    "ARC submission": (
        ".json",
        read_submission,
        [{"007bbfb7": [{"attempt_1": [[1]], "attempt_2": []}]}],
    ),
    "release": (".json", _release, [example()]),
    "matrix": (".json", _matrix, [_MATRIX]),
    "statements": (
        ".jsonl",
        lambda path: statements_document(path.read_bytes(), "x"),
        [_CHAT, {"text": "It is old."}],
    ),
    "LoRA": (".json", _lora, [_LORA]),
    "pdf": (
        ".pdf",
        lambda path: document_of(path.read_bytes(), ".pdf", "x.pdf"),
        [lambda: pdf(["The mill is old."])],
    ),
    "docx": (".docx", lambda path: document_of(path.read_bytes(), ".docx", "x.docx"), [docx]),
    "epub": (".epub", lambda path: document_of(path.read_bytes(), ".epub", "x.epub"), [epub]),
    "store": (".db", _store, [_store_bytes]),
}
SLOW = ("pdf", "docx", "epub", "store", "document .rst")  # to read: a tenth of them


def made_samples(name: str) -> list[Any]:
    return [one() if callable(one) else one for one in FILES[name][2]]


_number = itertools.count()


def read_file(name: str, data: bytes, folder: Path) -> None:
    """Have a parser of FILES read a file with these bytes. Refusals are fine."""
    suffix, parse, _ = FILES[name]
    path = folder / f"{os.getpid()}-{next(_number)}{suffix}"
    path.write_bytes(data)
    try:
        parse(path)
    except REFUSALS:
        pass
    finally:
        for made in folder.iterdir():
            made.unlink()


def read_text(name: str, text: str) -> None:
    """Have a parser of TEXTS read a text. Refusals are fine."""
    with suppress(*REFUSALS):
        TEXTS[name](text)
