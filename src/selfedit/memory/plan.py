"""What the experiments of memory will train, and how long that takes here: before they begin.

As if nothing were stored or shared, with plans as large as the domain expects them to be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from selfedit.config import InnerSettings, TrainSettings
from selfedit.domains.conditions import Bench
from selfedit.domains.knowledge.evaluation import REGIMES
from selfedit.domains.knowledge.settings import LearnSettings, for_memory
from selfedit.loops.estimate import Estimate, estimate_plans
from selfedit.memory.continual import ContinualSettings
from selfedit.memory.continual_kinds import REPLAYED
from selfedit.memory.many import ManySettings
from selfedit.types import TrainingPlan, TrainingSequence


def plan_continual(bench: Bench, how: ContinualSettings) -> Estimate:
    """The trainings of all sequences by all kinds of memory."""
    inner, plans = cast(LearnSettings, bench.settings.inner), _plans(bench)
    sequences = [plans[at : at + how.contexts] for at in range(0, len(plans), how.contexts)]
    found = []
    for kind in how.kinds:
        own = [plan for each in sequences for plan in _course(kind, each)]
        found.append(_one_by_one(bench, own, for_memory(inner, kind)))
    return _together(bench, found)


def plan_many(bench: Bench, how: ManySettings) -> Estimate | None:
    """The trainings of all ways, with an adapter of each passage that is asked about; None: none."""
    inner, plans = cast(LearnSettings, bench.settings.inner), _plans(bench)
    found = []
    if {"own", "routed", "summed"} & set(how.ways):
        most = max(how.counts)
        found.append(_one_by_one(bench, plans[: min(how.asked or most, most)], inner))
    joined = [_joined(plans[:count]) for count in how.counts]
    if "single" in how.ways:
        found.append(_one_by_one(bench, joined, for_memory(inner, "single")))
    if "cpt" in how.ways:
        train = TrainSettings.model_validate(REGIMES["cpt"]["train"])
        found.append(_one_by_one(bench, joined, inner.model_copy(update={"train": train})))
    return _together(bench, found) if found else None


def _plans(bench: Bench) -> list[TrainingPlan]:
    return list(map(bench.domain.expected_plan, bench.tasks))


def _course(kind: str, plans: Sequence[TrainingPlan]) -> list[TrainingPlan]:
    """What a memory of that kind trains on, document by document."""
    if kind == "single":
        return [_joined(plans[: i + 1]) for i in range(len(plans))]
    if kind == "stack-anchored":
        return [_joined([plan, *_replayed(plans[:i])]) for i, plan in enumerate(plans)]
    return list(plans)


def _joined(plans: Sequence[TrainingPlan]) -> TrainingPlan:
    """Expected sequences may be alike, and count each for itself."""
    return TrainingPlan(tuple(one for plan in plans for one in plan.sequences))


def _replayed(plans: Sequence[TrainingPlan]) -> list[TrainingPlan]:
    earlier: tuple[TrainingSequence, ...] = _joined(plans).sequences
    return [TrainingPlan(earlier[-REPLAYED:])]


def _one_by_one(bench: Bench, plans: Sequence[TrainingPlan], inner: InnerSettings) -> Estimate:
    return estimate_plans(bench.model, plans, inner, 1, side_by_side=False)


def _together(bench: Bench, parts: Sequence[Estimate]) -> Estimate:
    return Estimate(
        len(bench.tasks),
        sum(part.trainings for part in parts),
        sum(part.tokens for part in parts),
        sum(part.seconds for part in parts),
    )
