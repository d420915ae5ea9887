"""What is to be learned: documents, their passages and questions, and what a version remembers of
them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from selfedit.domains.knowledge import (
    Document,
    Knowledge,
    assign_queries,
    split_passages,
    split_quiz,
)
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.learning.quiz_writer import Quiz, make_quiz
from selfedit.loops.sampler import Writer
from selfedit.store import AdapterRecord, LearnedDocument, LearnedPassage
from selfedit.types import Query, QuizKind, Task, TrainingPlan


@dataclass(frozen=True, slots=True)
class Passages:
    """Documents, each once, and the passages of each. A passage is a `Task` without questions yet."""

    documents: tuple[Document, ...]
    by_document: tuple[tuple[Task, ...], ...]

    @classmethod
    def of(cls, documents: Sequence[Document], max_words: int) -> Passages:
        """Passages of at most max_words words, or a little more."""
        unique = tuple({document.digest: document for document in documents}.values())
        return cls(unique, tuple(split_passages(document, max_words) for document in unique))

    def copies(self, documents: Sequence[Document]) -> tuple[str, ...]:
        """What to tell of those among the documents that these were made of which another one stands
        for: it is the same byte for byte."""
        names = {own.digest: own.source for own in self.documents}
        return tuple(
            f"{own.source} is a copy of {names[own.digest]}, under whose name it was learned."
            for own in documents
            if own.source != names[own.digest]
        )

    @property
    def tasks(self) -> tuple[Task, ...]:
        return tuple(task for own in self.by_document for task in own)


@dataclass(frozen=True, slots=True)
class Material:
    """Passages, the questions that choose candidates (selection) and those that are reported
    (held_out): all of them where there is one candidate, so that nothing is chosen.

    tasks: the passages, each with the selection questions that are about it. quiz: where they are from.
    """

    passages: Passages
    tasks: tuple[Task, ...]
    selection: tuple[Query, ...]
    held_out: tuple[Query, ...]
    quiz: QuizKind
    notes: tuple[str, ...] = ()

    @property
    def documents(self) -> tuple[Document, ...]:
        return self.passages.documents

    @property
    def reported(self) -> tuple[Query, ...]:
        return self.held_out or self.selection


def gather(
    passages: Passages,
    questions: Sequence[Query] | Quiz,
    writer: Writer,
    domain: Knowledge,
    settings: LearnSettings,
) -> Material:
    """Passages with their questions in two halves; if none are given, a quiz is made.

    questions: a person's, or a quiz that was made already. Raises InputError if there is nothing to
    measure with.
    """
    if isinstance(questions, Quiz):
        quiz = questions
    elif questions:
        quiz = Quiz(tuple(questions), tuple(map(str, range(len(questions)))), "given")
    else:
        quiz = make_quiz(writer, passages.tasks, domain, settings.seed)
    asked = quiz.queries
    if settings.knowledge.topic:
        asked = _with_topics(asked, passages.tasks)
    notes = [quiz.note] if quiz.note else []
    selection: tuple[Query, ...]
    held_out: tuple[Query, ...]
    if settings.candidates == 1:  # nothing is chosen, so all questions can measure
        selection, held_out = (), tuple(asked)
    else:
        selection, held_out = split_quiz(asked, settings.seed, settings.split_from, quiz.sources)
    if not held_out:
        why = (
            f"fewer than {settings.split_from}"
            if len(selection) < settings.split_from
            else ("all of one sentence")
        )
        notes.append(
            f"With {len(selection)} question{'s' * (len(selection) != 1)} ({why}), candidates are "
            "chosen and reported by the same ones."
        )
    tasks = assign_queries(passages.tasks, selection)
    return Material(passages, tasks, selection, held_out, quiz.kind, tuple(notes))


def learned_documents(
    material: Material, plans: Mapping[str, TrainingPlan | None]
) -> list[LearnedDocument]:
    """What a version will remember of each document. plans: of the kept self-edit, by passage; None if
    none is."""
    chosen_by = iter(material.tasks)
    measured_by = iter(assign_queries(material.passages.tasks, material.held_out))
    return [
        LearnedDocument(
            source=document.source,
            title=document.title,
            digest=document.digest,
            passages=tuple(_learned(task, plans[task.id]) for task in own),
            selection=tuple(query for task in islice(chosen_by, len(own)) for query in task.queries),
            held_out=tuple(query for task in islice(measured_by, len(own)) for query in task.queries),
        )
        for document, own in zip(material.documents, material.passages.by_document, strict=True)
    ]


def _learned(task: Task, plan: TrainingPlan | None) -> LearnedPassage:
    sequences = plan.sequences if plan is not None else ()
    return LearnedPassage(task.title, task.context, tuple(sequence.text for sequence in sequences))


def older_documents(
    parent: AdapterRecord | None, new: Sequence[LearnedDocument | Document]
) -> list[LearnedDocument]:
    """The parent's documents, except those that are learned anew. A new one of which no self-edit was
    kept takes nothing's place."""
    anew = [d for d in new if isinstance(d, Document) or d.sequences]
    return _apart(parent.documents if parent else (), anew)


def added_documents(
    older: Sequence[LearnedDocument], new: Sequence[LearnedDocument]
) -> tuple[LearnedDocument, ...]:
    """The new documents that go beside the older ones: all but those of which no self-edit was kept and
    that an older one stands for."""
    unknown = {d.digest for d in _apart(new, older)}
    return tuple(d for d in new if d.sequences or d.digest in unknown)


def with_older_passages(
    new: Sequence[LearnedDocument], known: Sequence[LearnedDocument]
) -> list[LearnedDocument]:
    """Documents that are learned anew, where a passage of which no self-edit was kept stays as it was
    learned before. known: the parent's documents."""
    before = {(p.title, p.context): p for d in known for p in d.passages if p.sequences and p.context}
    return [
        replace(
            document,
            passages=tuple(
                passage if passage.sequences else before.get((passage.title, passage.context), passage)
                for passage in document.passages
            ),
        )
        if document.sequences
        else document
        for document in new
    ]


def _apart(
    documents: Sequence[LearnedDocument], others: Sequence[LearnedDocument | Document]
) -> list[LearnedDocument]:
    """The documents that have neither the source nor the text of another one."""
    sources, digests = {d.source for d in others}, {d.digest for d in others}
    return [d for d in documents if d.source not in sources and d.digest not in digests]


def _with_topics(queries: Sequence[Query], tasks: Sequence[Task]) -> tuple[Query, ...]:
    """The questions, those without a topic under the title of the passage that answers them."""
    titles = {q: task.title for task in assign_queries(tasks, queries) for q in task.queries}
    return tuple(replace(q, topic=q.topic or titles[q]) for q in queries)
