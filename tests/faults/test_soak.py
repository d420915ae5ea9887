"""A long life: what grows with the number of documents and questions, and what must not."""

from __future__ import annotations

import gc
import json
import os
import time
from pathlib import Path

import psutil

from selfedit.domains.knowledge import assign_queries, text_document
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.home import STORE
from selfedit.learning.library import Library
from selfedit.model.fake import FakeModel
from selfedit.types import Query, Task
from tests.faults import ledger
from tests.faults.torture import TORTURE, only_in_torture

DOCUMENTS, QUESTIONS = (500, 10_000) if TORTURE >= 50 else (60, 1000)


def _of(i: int) -> tuple[str, Query]:
    text = f"# Lamps of Place{i}\n\nThe lamps of Place{i} burn oil{i} oil.\n"
    return text, Query(f"What do the lamps of Place{i} burn?", (f"oil{i}",))


def _timed(work) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


@only_in_torture
def test_many_documents_one_after_the_other(tmp_path):
    """Memory and file handles stay; ask and learn take no longer than the number of versions."""
    process = psutil.Process(os.getpid())
    library = Library(FakeModel(), tmp_path / "lib")
    settings = LearnSettings(memory="routed", probe_questions=0)
    rows = []
    every = DOCUMENTS // 5
    for i in range(DOCUMENTS):
        text, query = _of(i)
        took = _timed(
            lambda t=text, q=query, n=i: library.learn(text_document(t, source=str(n)), [q], settings)
        )
        if i % every == every - 1:
            gc.collect()
            rows.append(
                {
                    "documents": i + 1,
                    "learn_s": round(took, 3),
                    "ask_s": round(_timed(lambda q=query: library.ask(q.question)), 3),
                    "list_s": round(_timed(library.adapters), 3),
                    "store_kib": sum(p.stat().st_size for p in (tmp_path / "lib").glob(f"{STORE}*"))
                    // 1024,
                    "memory_mib": process.memory_info().rss // 2**20,
                    "handles": process.num_fds(),
                }
            )
    for row in rows:
        ledger.note("soak", "documents", **row)
    first, last = rows[0], rows[-1]
    assert last["handles"] <= first["handles"] + 3
    assert last["memory_mib"] <= first["memory_mib"] + 0.5 * DOCUMENTS
    assert last["learn_s"] <= 0.5 + 6 * first["learn_s"], "5 times the documents"
    assert last["ask_s"] <= 0.5 + 6 * first["ask_s"]


@only_in_torture
def test_many_questions(tmp_path):
    process = psutil.Process(os.getpid())
    library = Library(FakeModel(), tmp_path / "lib")
    text, query = _of(1)
    library.learn(text_document(text, source="1"), [query])
    library.ask([query.question] * 100)
    before = process.memory_info().rss
    for start in range(0, QUESTIONS, 100):
        library.ask([f"{query.question} {start + n}" for n in range(100)])
    assert process.memory_info().rss < before + 100 * 2**20


def passages(n: int) -> list[Task]:
    words = [f"w{i}" for i in range(500)]
    return [
        Task(str(i), f"P{i}", " ".join(words[(i * 7 + j) % 500] for j in range(80)) + f" x{i}.")
        for i in range(n)
    ]


def test_questions_find_their_passages_in_linear_time():
    """A thousand passages and ten thousand questions (a tenth of both in the quick part)."""
    n = 1000 if TORTURE else 100
    tasks = passages(n)
    queries = [
        Query(f"What about w{i % 500} w{i * 3 % 500} of P{i % n}?", (f"x{i % n}",))
        for i in range(10 * n)
    ]
    took = _timed(lambda: assign_queries(tasks, queries))
    assert took < (30 if TORTURE else 5)


def test_a_long_quiz_is_read_in_linear_time_and_little_memory(tmp_path: Path):
    """A million lines; in the quick part a hundredth."""
    from selfedit.data import read_quiz

    n = 1_000_000 if TORTURE >= 50 else 100_000 if TORTURE else 10_000
    path = tmp_path / "quiz.jsonl"
    with path.open("w") as file:
        for i in range(n):
            file.write(json.dumps({"question": f"What is {i}?", "answers": [f"number {i}"]}) + "\n")
    before = psutil.Process(os.getpid()).memory_info().rss
    took = _timed(lambda: read_quiz(path))
    assert took < 30e-5 * n + 1
    assert psutil.Process(os.getpid()).memory_info().rss - before < 1500 * n + 50 * 2**20
