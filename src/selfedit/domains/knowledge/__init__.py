"""Knowledge incorporation: from documents to self-edits, questions and grades."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfedit.domains.knowledge.assign import assign_queries as assign_queries
    from selfedit.domains.knowledge.cloze import cloze_items as cloze_items
    from selfedit.domains.knowledge.cloze import gold_reply as gold_reply
    from selfedit.domains.knowledge.documents import Document as Document
    from selfedit.domains.knowledge.documents import Section as Section
    from selfedit.domains.knowledge.documents import read_document as read_document
    from selfedit.domains.knowledge.documents import split_passages as split_passages
    from selfedit.domains.knowledge.documents import text_document as text_document
    from selfedit.domains.knowledge.domain import Knowledge as Knowledge
    from selfedit.domains.knowledge.quiz import read_quiz as read_quiz
    from selfedit.domains.knowledge.quiz import split_quiz as split_quiz
    from selfedit.domains.knowledge.self_quiz import is_fair_question as is_fair_question
    from selfedit.domains.knowledge.self_quiz import open_book as open_book
    from selfedit.domains.knowledge.self_quiz import parse_question as parse_question
    from selfedit.domains.knowledge.self_quiz import question_prompts as question_prompts
    from selfedit.domains.knowledge.self_quiz import usable_questions as usable_questions
    from selfedit.domains.knowledge.self_quiz import worth_asking as worth_asking
    from selfedit.domains.knowledge.sentences import split_sentences as split_sentences
    from selfedit.domains.knowledge.sources import left_out_note as left_out_note
    from selfedit.domains.knowledge.sources import read_sources as read_sources

_HOMES = {
    "Document": "documents",
    "Knowledge": "domain",
    "Section": "documents",
    "assign_queries": "assign",
    "cloze_items": "cloze",
    "gold_reply": "cloze",
    "left_out_note": "sources",
    "is_fair_question": "self_quiz",
    "open_book": "self_quiz",
    "parse_question": "self_quiz",
    "question_prompts": "self_quiz",
    "read_document": "documents",
    "read_quiz": "quiz",
    "read_sources": "sources",
    "split_passages": "documents",
    "split_quiz": "quiz",
    "split_sentences": "sentences",
    "text_document": "documents",
    "usable_questions": "self_quiz",
    "worth_asking": "self_quiz",
}


def __getattr__(name: str) -> Any:
    """Import on first use: the options of a command must not wait for what the command needs."""
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
