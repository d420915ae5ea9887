"""How long trainings will take on this machine, found out by a short one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from selfedit.config import InnerSettings
from selfedit.domains.base import BaseDomain
from selfedit.errors import InvalidSelfEdit, OutOfMemory
from selfedit.loops.jobs import fitting
from selfedit.loops.waves import Job, WaveBudget, plan_waves
from selfedit.seams import Model
from selfedit.types import SelfEdit, Task, TrainingPlan

# Adapters that a calibration trains together at most, so that it stays short; a GPU's waves are wider,
# and rather quicker than it says.
_MOST = 8
# What a calibration takes: sequences, at least, and so many more as make up so many tokens.
_SEQUENCES, _TOKENS = 4, 1000


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
    domain: BaseDomain,
    tasks: Sequence[Task],
    settings: InnerSettings,
    *,
    each: float | None = None,
) -> Estimate:
    """Training all tasks' self-edits, each as large as the domain expects it to be. each: trainings of
    full length for a task; None: one for each candidate and seed."""
    plans = [domain.expected_plan(task) for task in tasks]
    repeats = settings.candidates * settings.seeds
    found = estimate_plans(model, plans, settings, repeats)
    more = 1.0 if each is None else each / repeats
    return replace(found, tokens=round(found.tokens * more), seconds=found.seconds * more)


def estimate_plans(
    model: Model,
    plans: Sequence[TrainingPlan],
    settings: InnerSettings,
    repeats: int,
    *,
    side_by_side: bool = True,
) -> Estimate:
    """Training each of these plans `repeats` times, calibrated by a few sequences of the first.

    side_by_side: in waves, and not one after the other. Sequences that are too long to be trained on
    count for nothing.
    """
    tokens, sample = 0, None
    for plan in plans:
        try:
            fits, length, _ = fitting(model, plan, settings.train.max_tokens)
        except InvalidSelfEdit:
            continue
        tokens += length * settings.train.passes(len(fits.sequences), plan.epochs) * repeats
        sample = sample or _few(model, fits)
    if sample is None:
        return Estimate(len(plans), 0, 0, 0.0)
    rate = _rate(model, sample, settings, len(plans) * repeats if side_by_side else 1)
    return Estimate(len(plans), len(plans) * repeats, tokens, tokens / rate)


def _few(model: Model, plan: TrainingPlan) -> TrainingPlan:
    """The beginning of a plan, once; of short sequences more, or its start would be what is timed."""
    count = tokens = 0
    for sequence in plan.sequences:
        if count >= _SEQUENCES and tokens >= _TOKENS:
            break
        count, tokens = count + 1, tokens + model.sequence_tokens(sequence)
    return replace(plan, sequences=plan.sequences[:count], epochs=1)


def _rate(model: Model, sample: TrainingPlan, inner: InnerSettings, trainings: int) -> float:
    """Tokens a second of training the sample, as many times together as a wave would hold."""
    jobs = [_job(model, sample, seed, inner) for seed in range(min(trainings, _MOST))]
    together = next(plan_waves(jobs, WaveBudget.of(model, inner))).slots
    # What is made once for a model, such as an anchor's texts, is made now.
    model.planned_memory(inner.lora, inner.train)([sample], [0], None)
    start = time.perf_counter()
    try:
        _, records = model.train([sample] * together, inner.lora, inner.train, range(together))
    except OutOfMemory:  # then waves will be halved, too
        if together == 1:
            raise
        return _rate(model, sample, inner, together // 2)
    return sum(record.tokens for record in records) / (time.perf_counter() - start)


def _job(model: Model, plan: TrainingPlan, seed: int, inner: InnerSettings) -> Job:
    tokens = sum(map(model.sequence_tokens, plan.sequences))
    empty = SelfEdit("", 0, (), ())
    return Job.of(str(seed), Task("", "", ""), empty, seed, plan, tokens, inner.train)
