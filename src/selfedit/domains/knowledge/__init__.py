"""Knowledge incorporation: from documents to self-edits, questions and grades."""

from selfedit.domains.knowledge.assign import assign_queries
from selfedit.domains.knowledge.cloze import cloze_items, gold_reply
from selfedit.domains.knowledge.documents import (
    Document,
    Section,
    read_document,
    split_passages,
    text_document,
)
from selfedit.domains.knowledge.domain import Knowledge
from selfedit.domains.knowledge.quiz import read_quiz, split_quiz
from selfedit.domains.knowledge.self_quiz import (
    is_fair_question,
    open_book,
    parse_question,
    question_prompts,
    worth_asking,
)
from selfedit.domains.knowledge.sentences import split_sentences

__all__ = [
    "Document",
    "Knowledge",
    "Section",
    "assign_queries",
    "cloze_items",
    "gold_reply",
    "is_fair_question",
    "open_book",
    "parse_question",
    "question_prompts",
    "read_document",
    "read_quiz",
    "split_passages",
    "split_quiz",
    "split_sentences",
    "text_document",
    "worth_asking",
]
