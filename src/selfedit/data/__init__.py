"""Questions and contexts, read from files and data sets of any of the usual shapes."""

from selfedit.data.read import Skipped, count_tasks, iter_tasks, read_quiz, read_tasks
from selfedit.data.tasks import drawn, merge_tasks, take

__all__ = [
    "Skipped",
    "count_tasks",
    "drawn",
    "iter_tasks",
    "merge_tasks",
    "read_quiz",
    "read_tasks",
    "take",
]
