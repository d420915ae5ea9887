"""An evaluation's predictions as a submission to ARC."""

from __future__ import annotations

from pathlib import Path

from selfedit.domains.arc.predict import Attempts
from selfedit.domains.arc.submission import write_submission
from selfedit.evaluation.arc import ArcEvaluator
from selfedit.evaluation.arc_outcome import Outcome
from selfedit.types import Score


def write(path: Path, evaluator: ArcEvaluator) -> None:
    """Two attempts at each test input: of the last condition, and of each task's first edit that was
    trained (none: attempts that are no grids). Raises InputError if the file cannot be written."""
    outcome = evaluator.outcomes[evaluator.settings.conditions[-1]]
    made = {}
    for place, task in enumerate(evaluator.tasks):
        score = _first_score(outcome, place)
        if score is None:
            made[task.id] = tuple(Attempts(None, None) for _ in task.queries)
        else:
            made[task.id] = evaluator.domain.attempts(score)
    write_submission(path, made)


def _first_score(outcome: Outcome, place: int) -> Score | None:
    if outcome.scores:
        return outcome.scores[place]
    return next((trial.score for trial in outcome.trials[place] if trial.score is not None), None)
