"""The graders that need no model: (question, golds, answer) -> correct."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from selfedit.grading.fitted import offline
from selfedit.grading.match import contains_gold, exact_match, f1
from selfedit.types import GradedAnswer, Query

Grader = Callable[[str, Sequence[str], str], bool]

F1_THRESHOLD = 0.5


def contains(question: str, golds: Sequence[str], answer: str) -> bool:
    """Correct if the answer holds a gold, as whole words: answers may be sentences."""
    return contains_gold(golds, answer)


def exact(question: str, golds: Sequence[str], answer: str) -> bool:
    """Correct if the answer is a gold and nothing else."""
    return exact_match(golds, answer)


def by_f1(question: str, golds: Sequence[str], answer: str) -> bool:
    """Correct from a word overlap (F1) of F1_THRESHOLD: forgives a word more or less."""
    return f1(golds, answer) >= F1_THRESHOLD


GRADERS: dict[str, Grader] = {"contains": contains, "exact": exact, "f1": by_f1, "offline": offline}


def grade(query: Query, answer: str, grader: Grader = contains) -> GradedAnswer:
    """The answer with its grades. An answer without text is never correct, whoever grades."""
    answer = answer.strip()
    return GradedAnswer(
        question=query.question,
        gold=query.gold,
        answer=answer,
        correct=bool(answer) and grader(query.question, query.answers, answer),
        exact=exact_match(query.answers, answer),
        f1=f1(query.answers, answer),
    )
