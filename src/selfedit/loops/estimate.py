"""How long trainings will take on this machine, found out by a short one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from selfedit.config import InnerSettings, TrainSettings
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.errors import InvalidSelfEdit, OutOfMemory
from selfedit.loops.jobs import fitting
from selfedit.loops.waves import Job, WaveBudget, plan_waves
from selfedit.seams import Model
from selfedit.types import SelfEdit, Task, TrainingPlan, TrainingSequence

# Adapters that a calibration trains together at most, so that it stays short; a GPU's waves are wider,
# and rather quicker than it says.
_MOST = 8
# Tokens of a self-edit for each token of its passage (recorded runs and `sentences`: 3 to 5).
WRITTEN_RATIO = 4


@dataclass(frozen=True, slots=True)
class Estimate:
    """Work ahead. tokens: of all trainings and epochs; seconds: at the calibrated speed."""

    passages: int
    trainings: int
    tokens: int
    seconds: float


Confirm = Callable[[Estimate], bool]


def estimate(
    model: Model,
    tasks: Sequence[Task],
    settings: LearnSettings,
    *,
    final: bool = True,
    in_waves: bool = True,
) -> Estimate:
    """Candidates and seeds of all passages and, with `final`, once more all that is kept.

    Calibrated by four steps on the first passage. in_waves: False where adapters are trained one after
    the other.
    """
    per_passage = 1 if settings.knowledge.strategy == "none" else 1 + WRITTEN_RATIO
    words = sum(len(task.context.split()) for task in tasks)
    sample = TrainingPlan((TrainingSequence(tasks[0].context),))
    per_word = model.count_tokens(tasks[0].context) / max(1, len(tasks[0].context.split()))
    short = settings.train.model_copy(update={"epochs": 4})
    repeats = settings.candidates * settings.seeds
    rate = _rate(model, sample, settings, short, len(tasks) * repeats if in_waves else 1)
    tokens = int(words * per_word * per_passage * settings.train.epochs) * (repeats + final)
    return Estimate(len(tasks), len(tasks) * repeats, tokens, tokens / rate)


def _rate(
    model: Model, sample: TrainingPlan, inner: InnerSettings, train: TrainSettings, trainings: int
) -> float:
    """Tokens a second of training the sample, as many times together as a wave would hold."""
    jobs = [_job(model, sample, seed, train) for seed in range(min(trainings, _MOST))]
    together = next(plan_waves(jobs, WaveBudget.of(model, inner))).slots
    start = time.perf_counter()
    try:
        _, records = model.train([sample] * together, inner.lora, train, range(together))
    except OutOfMemory:  # then waves will be halved, too
        if together == 1:
            raise
        return _rate(model, sample, inner, train, together // 2)
    return sum(record.tokens for record in records) / (time.perf_counter() - start)


def _job(model: Model, plan: TrainingPlan, seed: int, train: TrainSettings) -> Job:
    tokens = sum(map(model.sequence_tokens, plan.sequences))
    return Job.of(str(seed), Task("", "", ""), SelfEdit("", 0, (), ()), seed, plan, tokens, train)


# Sequences that a calibration by real training plans takes.
_CALIBRATION = 4


def estimate_plans(
    model: Model, plans: Sequence[TrainingPlan], settings: InnerSettings, repeats: int
) -> Estimate:
    """Training each of these plans `repeats` times, calibrated by a few sequences of the first.

    Sequences that are too long to be trained on count for nothing.
    """
    tokens, sample = 0, None
    for plan in plans:
        try:
            fits, length, _ = fitting(model, plan, settings.train.max_tokens)
        except InvalidSelfEdit:
            continue
        tokens += length * (plan.epochs or settings.train.epochs) * repeats
        sample = sample or replace(fits, sequences=fits.sequences[:_CALIBRATION], epochs=1)
    if sample is None:
        return Estimate(len(plans), 0, 0, 0.0)
    rate = _rate(model, sample, settings, settings.train, len(plans) * repeats)
    return Estimate(len(plans), len(plans) * repeats, tokens, tokens / rate)
