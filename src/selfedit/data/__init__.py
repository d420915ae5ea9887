"""Questions and contexts, read from files and data sets of any of the usual shapes."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfedit.data.read import Skipped as Skipped
    from selfedit.data.read import count_tasks as count_tasks
    from selfedit.data.read import iter_tasks as iter_tasks
    from selfedit.data.read import read_quiz as read_quiz
    from selfedit.data.read import read_tasks as read_tasks
    from selfedit.data.tasks import drawn as drawn
    from selfedit.data.tasks import merge_tasks as merge_tasks
    from selfedit.data.tasks import take as take

_HOMES = {
    "Skipped": "read",
    "count_tasks": "read",
    "drawn": "tasks",
    "iter_tasks": "read",
    "merge_tasks": "tasks",
    "read_quiz": "read",
    "read_tasks": "read",
    "take": "tasks",
}


def __getattr__(name: str) -> Any:
    """Import on first use: the options of a command must not wait for what `tasks` needs."""
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
