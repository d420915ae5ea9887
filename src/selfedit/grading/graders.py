"""The graders that need no model: (question, golds, answer) -> correct."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from selfedit.endpoints.replies import without_thoughts
from selfedit.grading.fitted import offline, shipped
from selfedit.grading.match import exact_match, f1
from selfedit.grading.stance import is_said
from selfedit.types import GradedAnswer, Query

Grader = Callable[[str, Sequence[str], str], bool]

F1_THRESHOLD = 0.5


def contains(question: str, golds: Sequence[str], answer: str) -> bool:
    """Correct if the answer holds a gold, as whole words in any form of them (`forms`), and means it
    (`stance`): answers may be sentences."""
    return is_said(question, golds, answer) or exact_match(golds, answer)


def exact(question: str, golds: Sequence[str], answer: str) -> bool:
    """Correct if the answer is a gold and nothing else."""
    return exact_match(golds, answer)


def by_f1(question: str, golds: Sequence[str], answer: str) -> bool:
    """Correct if the word overlap (F1) is at least F1_THRESHOLD: forgives a word more or less."""
    return f1(golds, answer) >= F1_THRESHOLD


GRADERS: dict[str, Grader] = {"offline": offline, "contains": contains, "exact": exact, "f1": by_f1}

# Part of the identity of each grader here: raised whenever a verdict may change, so that trials graded
# before are not mixed with those graded after.
_VERSION = 2
# What `identity` was before verdicts changed, the latest first.
_FORMER: dict[Grader, tuple[str, ...]] = {
    offline: ("offline (weights be4005ec)",),
    contains: ("contains",),
    exact: ("exact",),
    by_f1: ("by_f1",),
}


def identity(grader: Grader) -> str:
    """What determines a grader's verdicts, in words: part of the key under which they are stored."""
    if grader is offline:
        return f"offline {_VERSION} (weights {shipped().digest})"
    own = getattr(grader, "identity", None) or getattr(grader, "__name__", None)
    name = str(own or type(grader).__qualname__)
    return f"{name} {_VERSION}" if grader in _FORMER else name


def former_identities(grader: Grader) -> tuple[str, ...]:
    """What `identity` was before the grader's verdicts changed, the latest first."""
    return _FORMER.get(grader, ())


def verdicts(queries: Sequence[Query], answers: Sequence[str], grader: Grader) -> list[bool]:
    """Whether each answer is right; one without text never is, whoever grades. Thoughts before an
    answer are not graded.

    A grader that has `grade_many` (a judge) gets all of them together.
    """
    answers = [without_thoughts(answer) for answer in answers]
    many = getattr(grader, "grade_many", None)
    if many is not None:
        return list(many(queries, answers))
    pairs = zip(queries, answers, strict=True)
    return [bool(a) and grader(q.question, q.answers, a) for q, a in pairs]


def grade_all(
    queries: Sequence[Query], answers: Sequence[str], grader: Grader
) -> tuple[GradedAnswer, ...]:
    """The answers with their grades, in order."""
    answers = [without_thoughts(answer) for answer in answers]
    return tuple(
        GradedAnswer(
            question=query.question,
            gold=query.gold,
            answer=answer,
            correct=correct,
            exact=exact_match(query.answers, answer),
            f1=f1(query.answers, answer),
        )
        for query, answer, correct in zip(
            queries, answers, verdicts(queries, answers, grader), strict=True
        )
    )


def grade(query: Query, answer: str, grader: Grader = contains) -> GradedAnswer:
    """One answer with its grades."""
    return grade_all([query], [answer], grader)[0]
