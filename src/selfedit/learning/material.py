"""What is to be learned: documents, their passages and questions, and the records kept of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from selfedit.config import LearnSettings
from selfedit.domains.knowledge import (
    Document,
    assign_queries,
    read_document,
    read_quiz,
    split_passages,
)
from selfedit.store import AdapterRecord
from selfedit.types import Query, Task, TrainingPlan


@dataclass(frozen=True, slots=True)
class Material:
    """What is to be learned: passages by document, and the questions to choose and to report by."""

    documents: tuple[Document, ...]
    passages: tuple[tuple[Task, ...], ...]
    selection: tuple[Query, ...]
    held_out: tuple[Query, ...]
    notes: tuple[str, ...] = ()

    @property
    def reported(self) -> tuple[Query, ...]:
        return self.held_out or self.selection

    @property
    def tasks(self) -> tuple[Task, ...]:
        return tuple(task for tasks in self.passages for task in tasks)


def read_material(
    files: Sequence[Path], quiz: Path | None, settings: LearnSettings
) -> tuple[tuple[Document, ...], tuple[tuple[Task, ...], ...], tuple[Query, ...]]:
    """Documents, their passages, and the quiz's questions (none without a quiz)."""
    read = [read_document(path) for path in files]
    documents = tuple({document.digest: document for document in read}.values())  # each once
    words = settings.knowledge.passage_words
    passages = tuple(split_passages(document, words) for document in documents)
    return documents, passages, read_quiz(quiz) if quiz is not None else ()


def document_records(material: Material, plans: dict[str, TrainingPlan | None]) -> list[dict[str, Any]]:
    """What a version remembers of each document: the text it is trained on, and its questions."""
    records = []
    questions = questions_by_document(material)
    for document, tasks in zip(material.documents, material.passages, strict=True):
        kept = [plan for task in tasks if (plan := plans[task.id]) is not None]
        records.append(
            {
                "source": str(Path(document.source).resolve()),
                "title": document.title,
                "digest": document.digest,
                "sequences": [s.text for plan in kept for s in plan.sequences],
                **questions[document.digest],
            }
        )
    return records


def with_topics(queries: Sequence[Query], passages: Sequence[Sequence[Task]]) -> tuple[Query, ...]:
    """The questions, those without a topic under the title of the passage that answers them."""
    tasks = [task for own in passages for task in own]
    titles = {q: task.title for task in assign_queries(tasks, queries) for q in task.queries}
    return tuple(replace(q, topic=q.topic or titles[q]) for q in queries)


def questions_by_document(material: Material) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Each document's own questions, as JSON, under "selection" and "held_out"."""
    owner = {
        task.id: document.digest
        for document, tasks in zip(material.documents, material.passages, strict=True)
        for task in tasks
    }
    result: dict[str, dict[str, list[dict[str, Any]]]] = {
        document.digest: {"selection": [], "held_out": []} for document in material.documents
    }
    for name, queries in (("selection", material.selection), ("held_out", material.held_out)):
        for task in assign_queries(material.tasks, queries):
            result[owner[task.id]][name] += [
                {"question": q.question, "answers": list(q.answers), "topic": q.topic}
                for q in task.queries
            ]
    return result


def older_documents(
    parent: AdapterRecord | None, new: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The parent's documents, without those that are learned anew."""
    replaced = {record["source"] for record in new} | {record["digest"] for record in new}
    documents = parent.documents if parent else []
    return [d for d in documents if d["source"] not in replaced and d["digest"] not in replaced]


def query_of(entry: dict[str, Any]) -> Query:
    return Query(entry["question"], tuple(entry["answers"]), entry["topic"])
