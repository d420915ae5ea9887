"""Few-shot learning on ARC: tasks of grids, and the test-time training sets made from them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfedit.domains.arc.grids import Grid as Grid
    from selfedit.domains.arc.grids import MalformedGrid as MalformedGrid
    from selfedit.domains.arc.selection import LengthFilter as LengthFilter
    from selfedit.domains.arc.selection import longest_prompt as longest_prompt
    from selfedit.domains.arc.selection import parse_filter as parse_filter
    from selfedit.domains.arc.selection import parse_ids as parse_ids
    from selfedit.domains.arc.selection import select as select
    from selfedit.domains.arc.sources import find_task as find_task
    from selfedit.domains.arc.sources import load_dataset as load_dataset
    from selfedit.domains.arc.sources import read_tasks as read_tasks
    from selfedit.domains.arc.tasks import ArcTask as ArcTask
    from selfedit.domains.arc.tasks import Example as Example
    from selfedit.domains.arc.text import grid_to_text as grid_to_text
    from selfedit.domains.arc.text import parse_grid as parse_grid
    from selfedit.domains.arc.training_set import TrainingTask as TrainingTask
    from selfedit.domains.arc.training_set import full_set as full_set
    from selfedit.domains.arc.training_set import geometric_set as geometric_set

_HOMES = {
    "ArcTask": "tasks",
    "Example": "tasks",
    "Grid": "grids",
    "LengthFilter": "selection",
    "MalformedGrid": "grids",
    "TrainingTask": "training_set",
    "find_task": "sources",
    "full_set": "training_set",
    "geometric_set": "training_set",
    "grid_to_text": "text",
    "load_dataset": "sources",
    "longest_prompt": "selection",
    "parse_filter": "selection",
    "parse_grid": "text",
    "parse_ids": "selection",
    "read_tasks": "sources",
    "select": "selection",
}


def __getattr__(name: str) -> Any:
    """Import on first use: the options of a command must not wait for what the command needs."""
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
