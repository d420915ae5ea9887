"""What a new version broke, before it is decided about."""

from __future__ import annotations

from dataclasses import replace

from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.learning.draft import Draft
from selfedit.learning.outcome import judged
from selfedit.memory.probe import probe
from selfedit.memory.subjects import subject_of_learned
from selfedit.progress import Progress
from selfedit.seams import Model
from selfedit.types import LearnResult


def probed(
    result: LearnResult,
    draft: Draft,
    model: Model,
    settings: LearnSettings,
    progress: Progress,
    *,
    certain: bool = False,
) -> LearnResult:
    """The result with the draft's probe, unless it is rejected anyway (certain: it is not) or no probe
    is wanted."""
    if not settings.probe_questions:
        return result
    if not certain and not judged(result, settings.max_forgetting, settings.max_damage).committed:
        return result
    found = probe(
        model,
        draft.answering,
        [subject_of_learned(document) for document in draft.documents],
        progress=progress,
        sample=settings.probe_questions,
    )
    return replace(result, probe=found, notes=(*result.notes, *found.notes))
