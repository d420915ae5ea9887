"""Whether an answer is right."""

from selfedit.grading.fitted import offline
from selfedit.grading.graders import (
    GRADERS,
    Grader,
    contains,
    former_identities,
    grade,
    grade_all,
    identity,
    verdicts,
)
from selfedit.grading.match import contains_gold, exact_match, f1, normalise

__all__ = [
    "GRADERS",
    "Grader",
    "contains",
    "contains_gold",
    "exact_match",
    "f1",
    "former_identities",
    "grade",
    "grade_all",
    "identity",
    "normalise",
    "offline",
    "verdicts",
]
