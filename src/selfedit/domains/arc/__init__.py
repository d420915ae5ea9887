"""Few-shot learning on ARC: tasks of grids, and the test-time training sets made from them."""

from selfedit.domains.arc.grids import Grid, MalformedGrid
from selfedit.domains.arc.selection import LengthFilter, longest_prompt, parse_filter, parse_ids, select
from selfedit.domains.arc.sources import find_task, load_dataset, read_tasks
from selfedit.domains.arc.tasks import ArcTask, Example
from selfedit.domains.arc.text import grid_to_text, parse_grid
from selfedit.domains.arc.training_set import TrainingTask, full_set, geometric_set, training_set

__all__ = [
    "ArcTask",
    "Example",
    "Grid",
    "LengthFilter",
    "MalformedGrid",
    "TrainingTask",
    "find_task",
    "full_set",
    "geometric_set",
    "grid_to_text",
    "load_dataset",
    "longest_prompt",
    "parse_filter",
    "parse_grid",
    "parse_ids",
    "read_tasks",
    "select",
    "training_set",
]
