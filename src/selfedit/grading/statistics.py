"""How sure a measured accuracy and a measured difference are: a bootstrap over contexts.

The accuracy of a row is the mean over contexts of each one's share of right answers. That is how the
paper's table was computed: none of its release's rounded means is a whole number of its 974 questions
divided by 974 (tests/grading/test_statistics.py). The questions of a context stand or fall together,
so contexts are what is drawn again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selfedit.show.plots import wilson_interval

# With 5 contexts even a sign test of 5 out of 5 is not significant at 5 % (2 / 2**5 = 0.0625).
MIN_CONTEXTS = 6

_CHUNK = 4_000_000  # draws held at a time


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over contexts with its 95 % interval; NaN where there is nothing to draw from."""

    value: float
    low: float
    high: float
    contexts: int


def accuracy_interval(values: Sequence[float], seed: int = 0, resamples: int = 10_000) -> Interval:
    """Mean of the contexts' accuracies, each in [0, 1], with its percentile bootstrap interval.

    Where all are 0, or all 1, drawing again shows no spread: Wilson's interval of one observation a
    context is given instead. A single context has no interval.
    """
    interval = _bootstrap(np.asarray(values, dtype=np.float64), seed, resamples)
    if len(values) > 1 and interval.low == interval.high and interval.value in (0.0, 1.0):
        low, high = wilson_interval(interval.value, len(values))
        return Interval(interval.value, low, high, interval.contexts)
    return interval


def mean_interval(values: Sequence[float], seed: int = 0, resamples: int = 10_000) -> Interval:
    """Mean of any values, such as nats, with its percentile bootstrap interval."""
    return _bootstrap(np.asarray(values, dtype=np.float64), seed, resamples)


def paired_difference(
    a: Sequence[float], b: Sequence[float], seed: int = 0, resamples: int = 10_000
) -> Interval:
    """Mean of a - b over the same contexts in the same order, with its interval (paired)."""
    assert len(a) == len(b), "a pair is measured on the same contexts"
    # Rounded: what is smaller than 1e-12 is no difference but arithmetic.
    difference_C = np.round(np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64), 12)
    return _bootstrap(difference_C, seed, resamples)


def verdict(difference: Interval, a: str, b: str, noun: str = "contexts") -> str:
    """What the difference a - b allows to say. Neither "better" nor "worse" while the interval holds
    zero, nor on fewer than MIN_CONTEXTS contexts. noun: what the contexts are called."""
    if difference.contexts < MIN_CONTEXTS or not math.isfinite(difference.low + difference.high):
        return f"too few {noun} ({difference.contexts}) to tell {a} from {b}"
    if difference.low > 0:
        return f"{a} is better than {b}"
    if difference.high < 0:
        return f"{a} is worse than {b}"
    return f"no difference shown between {a} and {b}"


def _bootstrap(values_C: NDArray[np.float64], seed: int, resamples: int) -> Interval:
    """The mean and the 2.5 and 97.5 % quantiles of the means of seeded draws with replacement."""
    count = len(values_C)
    if count == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean = float(values_C.mean())
    if count == 1:
        return Interval(mean, math.nan, math.nan, 1)
    draws = np.random.default_rng(seed)
    rows = max(1, _CHUNK // count)
    means = [
        values_C[draws.integers(0, count, (min(rows, resamples - at), count))].mean(axis=1)
        for at in range(0, resamples, rows)
    ]
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return Interval(mean, float(low), float(high), count)
