"""Whether an answer is right."""

from selfedit.grading.graders import GRADERS, Grader, contains, grade
from selfedit.grading.match import contains_gold, exact_match, f1, normalise

__all__ = [
    "GRADERS",
    "Grader",
    "contains",
    "contains_gold",
    "exact_match",
    "f1",
    "grade",
    "normalise",
]
