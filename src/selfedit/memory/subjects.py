"""What a document is about, as the questions about its neighbours need it."""

from __future__ import annotations

from collections.abc import Sequence

from selfedit.domains.knowledge import Document
from selfedit.memory.neighbours import Subject
from selfedit.store import LearnedDocument
from selfedit.types import Query


def subject_of_text(document: Document, questions: Sequence[Query] = ()) -> Subject:
    """The subject of a document, with questions about it (others do no harm)."""
    return Subject(document.title, "\n".join(document.paragraphs), tuple(questions))


def subject_of_learned(document: LearnedDocument) -> Subject:
    """The subject of a document as a version remembers it: its training texts stand for its text."""
    texts = dict.fromkeys(line for text in document.statements for line in text.splitlines())
    return Subject(document.title, "\n".join(texts), (*document.selection, *document.held_out))
