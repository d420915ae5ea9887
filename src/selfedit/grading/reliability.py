"""Whether rewards can be trusted: would other seeds of the same self-edits have said the same?

Reinforcement compares the edits of one context with each other. What it can learn from is the part of
their differences that comes back with another seed: the expected correlation, within contexts, of the
edits' mean rewards over one set of seeds with those over another of the same size (all split halves at
once: the intraclass correlation of a one-way analysis of variance, Shrout & Fleiss 1979, with context
means taken out). A context's edits stand or fall together, so contexts are drawn again for intervals.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Below this, most of what edits differ by is chance.
ENOUGH = 0.5

Rewards = Sequence[Sequence[float | None]]  # of a context: [edit][seed]


@dataclass(frozen=True, slots=True)
class Reliability:
    """Of rewards over `seeds` seeds (their mean number, if contexts differ in it).

    mean: of the mean over the seeds, -1 at least, with its 95 % interval low..high; single: of one
    training. NaN where nothing differs, or too little is there. between, within: standard deviations,
    of edits of a context (without noise) and of one edit's seeds. contexts, edits: that were counted.
    """

    single: float
    mean: float
    low: float
    high: float
    between: float
    within: float
    seeds: float
    contexts: int
    edits: int

    @property
    def is_known(self) -> bool:
        return math.isfinite(self.single)

    def of(self, seeds: int) -> float:
        """Of the mean over so many seeds (Spearman-Brown)."""
        if self.single <= 0:
            return min(self.single, 0.0)
        return seeds * self.single / (1 + (seeds - 1) * self.single)

    def seeds_for(self, wanted: float = ENOUGH) -> int | None:
        """Seeds whose mean is as reliable as wanted; None if no number of them is."""
        if not self.single > 0:
            return None
        return max(1, math.ceil(wanted * (1 - self.single) / (self.single * (1 - wanted)) - 1e-9))


@dataclass(frozen=True, slots=True)
class Choice:
    """Means over contexts. best: of the best edit, by all seeds that chose it; fresh: the same choice,
    made by all seeds but one and judged by that one; mean: of all edits."""

    best: float
    fresh: float
    mean: float


def reliability(contexts: Iterable[Rewards], resamples: int = 2000, seed: int = 0) -> Reliability:
    """See `Reliability`. Edits without a reward for every seed are left out, and so are contexts with
    fewer than two others."""
    whole = [own for own in map(complete, contexts) if own.shape[0] > 1 and own.shape[1] > 1]
    if not whole:
        nan = math.nan
        return Reliability(nan, nan, nan, nan, nan, nan, 0.0, 0, 0)
    parts_C4 = np.array([_parts(own) for own in whole])
    draws = np.random.default_rng(seed).integers(0, len(whole), (resamples, len(whole)))
    single, mean, between, within, seeds = _ratios(parts_C4.sum(axis=0))
    drawn = np.array([_ratios(parts_C4[own].sum(axis=0))[1] for own in draws])
    known = drawn[np.isfinite(drawn)]
    low, high = np.quantile(known, [0.025, 0.975]) if len(whole) > 1 and len(known) else (math.nan,) * 2
    edits = sum(len(own) for own in whole)
    return Reliability(single, mean, float(low), float(high), between, within, seeds, len(whole), edits)


def choice(contexts: Iterable[Rewards]) -> Choice:
    """What choosing the best edit of each context is worth. NaN where no context has two edits with
    two seeds."""
    whole = [own for own in map(complete, contexts) if own.shape[0] > 1 and own.shape[1] > 1]
    best = [own.mean(axis=1).max() for own in whole]
    fresh = [
        own[np.delete(own, s, axis=1).mean(axis=1).argmax(), s]
        for own in whole
        for s in range(own.shape[1])
    ]
    weights = [1 / own.shape[1] for own in whole for _ in range(own.shape[1])]
    if not whole:
        return Choice(math.nan, math.nan, math.nan)
    mean = [own.mean() for own in whole]
    return Choice(float(np.mean(best)), float(np.average(fresh, weights=weights)), float(np.mean(mean)))


def complete(rewards: Rewards) -> NDArray[np.float64]:
    """[edit, seed] of the edits that have a reward for every seed that the context has."""
    rows = [[math.nan if r is None else float(r) for r in own] for own in rewards]
    most = max((len(row) for row in rows), default=0)
    kept = [row for row in rows if len(row) == most and all(map(math.isfinite, row))]
    return np.array(kept, dtype=np.float64).reshape(len(kept), most)


def _parts(own_ES: NDArray[np.float64]) -> tuple[float, ...]:
    """Sums of squares and degrees of freedom: between edits, within edits; and the seeds, weighted."""
    edits, seeds = own_ES.shape
    means_E = own_ES.mean(axis=1)
    between = seeds * float(((means_E - means_E.mean()) ** 2).sum())
    within = float(((own_ES - means_E[:, None]) ** 2).sum())
    return between, edits - 1, within, edits * (seeds - 1), seeds * (edits - 1)


def _ratios(sums: NDArray[np.float64]) -> tuple[float, float, float, float, float]:
    """single, mean, the two standard deviations, and the seeds."""
    between, free, within, inner, weighted = map(float, sums)
    ms_between, ms_within, seeds = between / free, within / inner, weighted / free
    difference = ms_between - ms_within
    whole = ms_between + (seeds - 1) * ms_within
    if max(ms_between, ms_within) < 1e-18:  # all rewards are equal
        return math.nan, math.nan, 0.0, 0.0, seeds
    return (
        difference / whole,
        max(-1.0, difference / ms_between) if ms_between > 0 else -1.0,
        math.sqrt(max(0.0, difference / seeds)),
        math.sqrt(ms_within),
        seeds,
    )
