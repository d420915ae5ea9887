"""What an evaluation will train, and how long that takes here: before it begins."""

from __future__ import annotations

from selfedit.domains.conditions import Expected
from selfedit.evaluation.bench import StoredBench
from selfedit.loops.estimate import Estimate, estimate_plans


def plan_evaluation(bench: StoredBench) -> Estimate | None:
    """Trainings, tokens and seconds of all trained rows, as if none were stored; None without any.

    Calibrated by a few steps. Writing edits and answering are apart.
    """
    names = [name for name in bench.settings.conditions if bench.conditions[name].trained]
    parts = [_estimate(bench, bench.domain.expected(bench, name)) for name in names]
    if not parts:
        return None
    return Estimate(
        len(bench.tasks),
        sum(part.trainings for part in parts),
        sum(part.tokens for part in parts),
        sum(part.seconds for part in parts),
    )


def _estimate(bench: StoredBench, expected: Expected) -> Estimate:
    inner, plans, repeats = bench.settings.inner, expected.plans, expected.repeats
    if expected.rate is not None:
        sequences = [sequence for plan in plans for sequence in plan.sequences]
        passes = inner.train.passes(len(sequences))
        tokens = sum(map(bench.model.sequence_tokens, sequences)) * passes * repeats
        return Estimate(len(bench.tasks), len(plans) * repeats, tokens, tokens / expected.rate)
    return estimate_plans(bench.model, plans, inner, repeats, side_by_side=expected.side_by_side)
