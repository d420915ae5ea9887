"""How long a piece of work will take on this machine, found out by a short training."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from selfedit.config import LearnSettings
from selfedit.model import Model
from selfedit.types import Task, TrainingPlan, TrainingSequence

# Tokens of a self-edit for each token of its passage (recorded runs and `sentences`: 3 to 5).
_WRITTEN_RATIO = 4


@dataclass(frozen=True, slots=True)
class Estimate:
    """Work ahead. tokens: of all trainings and epochs; seconds: at the calibrated speed."""

    passages: int
    trainings: int
    tokens: int
    seconds: float


Confirm = Callable[[Estimate], bool]


def estimate(model: Model, tasks: Sequence[Task], settings: LearnSettings) -> Estimate:
    """Candidates and seeds of all passages, and once more all that is kept.

    Calibrated by four steps on the first passage.
    """
    per_passage = 1 if settings.knowledge.strategy == "none" else 1 + _WRITTEN_RATIO
    words = sum(len(task.context.split()) for task in tasks)
    sample = TrainingPlan((TrainingSequence(tasks[0].context),))
    per_word = model.count_tokens(tasks[0].context) / max(1, len(tasks[0].context.split()))
    short = settings.train.model_copy(update={"epochs": 4})
    start = time.perf_counter()
    _, records = model.train([sample], settings.lora, short, [0])
    rate = sum(record.tokens for record in records) / (time.perf_counter() - start)
    repeats = settings.candidates * settings.seeds
    tokens = int(words * per_word * per_passage * settings.train.epochs) * (repeats + 1)
    return Estimate(len(tasks), len(tasks) * repeats, tokens, tokens / rate)
