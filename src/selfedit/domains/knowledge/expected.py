"""What self-edits will be trained on, about: for estimates that are made before any is written."""

from __future__ import annotations

from selfedit.domains.base import WRITTEN_RATIO
from selfedit.domains.knowledge.settings import KnowledgeSettings
from selfedit.domains.knowledge.strategies import edit_prompts
from selfedit.types import Task, TrainingSequence
from selfedit.words import is_unspaced

# Statements of an edit about a passage of 200 words; versions where whole ones are written.
_STATEMENTS, _VERSIONS = 20, WRITTEN_RATIO


def expected_sequences(
    task: Task, settings: KnowledgeSettings, edits: int = 1
) -> tuple[TrainingSequence, ...]:
    """The statements of so many edits, WRITTEN_RATIO times the passage each, and the passage, once.

    How many there are decides how often they are gone over (`TrainSettings.min_steps`).
    """
    passage = TrainingSequence(task.context)
    if settings.strategy == "none":
        return (passage,)
    units, space = (
        (list(task.context), "") if is_unspaced(task.context) else (task.context.split(), " ")
    )
    written = units * WRITTEN_RATIO * edits
    size = max(1, -(-len(written) // max(1, _num_statements(task, settings) * edits)))
    pieces = [space.join(written[at : at + size]) for at in range(0, len(written), size)]
    return (*map(TrainingSequence, pieces), passage)


def _num_statements(task: Task, settings: KnowledgeSettings) -> int:
    """Of one edit. With `sentences` the sentences themselves are trained on, too, and about as many
    restatements are left out."""
    if settings.strategy == "sentences":
        return len(edit_prompts(task, settings))
    most = _VERSIONS if settings.strategy == "rewrite" else _STATEMENTS
    return min(most, settings.max_sequences)
