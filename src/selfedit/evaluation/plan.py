"""What an evaluation will train, and how long that takes here: before it begins."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from selfedit.evaluation.conditions import CONDITIONS
from selfedit.evaluation.regimes import finetunable
from selfedit.evaluation.settings import EvaluationSettings
from selfedit.loops.estimate import Estimate, estimate
from selfedit.seams import Model
from selfedit.types import Task, TrainingPlan, TrainingSequence


def plan_evaluation(
    model: Model, tasks: Sequence[Task], settings: EvaluationSettings
) -> Estimate | None:
    """Trainings, tokens and seconds of all trained rows, as if none were stored; None without any.

    Calibrated by a few steps. Writing edits and answering are apart.
    """
    names = [name for name in settings.conditions if CONDITIONS[name].trained]
    if not names:
        return None
    inner = settings.inner
    alone = inner.model_copy(
        update={
            "candidates": 1,
            "knowledge": inner.knowledge.model_copy(update={"strategy": "none"}),
        }
    )
    in_waves = settings.regime == "single"
    parts = [
        estimate(model, tasks, alone if name == "passage" else inner, final=False, in_waves=in_waves)
        for name in names
    ]
    per_row = len(tasks) * inner.seeds if settings.regime == "single" else inner.seeds
    tokens = sum(part.tokens for part in parts)
    seconds = sum(part.seconds for part in parts)
    if settings.regime == "cpt-full":
        seconds = tokens / _full_rate(model, tasks[0], settings)
    return replace(parts[0], trainings=per_row * len(names), tokens=tokens, seconds=seconds)


def _full_rate(model: Model, task: Task, settings: EvaluationSettings) -> float:
    """Tokens a second of full finetuning, by two steps."""
    short = settings.inner.train.model_copy(update={"epochs": 2})
    sample = TrainingPlan((TrainingSequence(task.context),) * settings.inner.train.batch_size)
    start = time.perf_counter()
    _, record = finetunable(model).finetune(sample, short, 0)
    return record.tokens / (time.perf_counter() - start)
