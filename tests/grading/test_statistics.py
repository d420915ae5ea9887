"""Intervals against plain references, their coverage, and what a verdict may say."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfedit.grading.statistics import (
    MIN_CONTEXTS,
    Interval,
    accuracy_interval,
    paired_difference,
    verdict,
)

SHARES = st.sampled_from([0.0, 0.25, 1 / 3, 0.5, 1.0])


def plain_interval(values, seed, resamples):
    """Draw, average, sort, read off: without numpy's help."""
    draw = random.Random(seed)
    means = sorted(sum(draw.choice(values) for _ in values) / len(values) for _ in range(resamples))
    return means[round(0.025 * (resamples - 1))], means[round(0.975 * (resamples - 1))]


def test_interval_is_a_plain_bootstrap():
    values = [0.0, 0.2, 0.25, 0.4, 0.5, 0.5, 0.6, 0.75, 0.8, 1.0] * 3
    got = accuracy_interval(values, resamples=10_000)
    low, high = plain_interval(values, 1, 10_000)
    assert got.value == pytest.approx(0.5)
    assert (got.low, got.high) == (pytest.approx(low, abs=0.01), pytest.approx(high, abs=0.01))
    spread = np.std(values) / math.sqrt(len(values))  # and both near the normal one
    assert got.high - got.low == pytest.approx(2 * 1.96 * spread, rel=0.05)


def test_the_same_seed_gives_the_same_interval():
    values = [0.0, 0.5, 1.0, 0.5, 0.2, 0.1]
    assert accuracy_interval(values, 3, 500) == accuracy_interval(values, 3, 500)
    assert accuracy_interval(values, 3, 500) != accuracy_interval(values, 4, 500)


def test_large_sets_are_drawn_in_parts():
    values = list(np.random.default_rng(0).random(5_000))
    got = accuracy_interval(values, resamples=1_000)
    assert got.high - got.low == pytest.approx(2 * 1.96 * np.std(values) / math.sqrt(5_000), rel=0.15)


def test_coverage_on_simulated_contexts():
    """Questions of a context stand or fall together; the interval must still hold the truth."""
    draws = np.random.default_rng(7)
    held = 0
    for trial in range(300):
        easiness = draws.beta(1.2, 1.8, size=40)  # mean 0.4
        values = draws.binomial(5, easiness) / 5
        found = accuracy_interval(list(values), trial, 400)
        held += found.low <= 0.4 <= found.high
    assert 0.90 <= held / 300 <= 0.98


def test_pairing_makes_the_interval_narrower():
    draws = np.random.default_rng(1)
    b = draws.random(60)
    a = np.clip(b + 0.1 + draws.normal(0, 0.02, 60), 0, 2)
    paired = paired_difference(list(a), list(b))
    alone = accuracy_interval(list(b))
    assert paired.low > 0.08
    assert paired.high - paired.low < (alone.high - alone.low) / 5
    swapped = paired_difference(list(b), list(a))
    assert (swapped.low, swapped.high) == pytest.approx((-paired.high, -paired.low), abs=2e-3)


def test_without_spread_or_contexts():
    alike = accuracy_interval([0.0] * 10)
    assert alike.low == pytest.approx(0, abs=1e-12)
    assert 0.2 < alike.high < 0.4  # Wilson's, of ten
    assert math.isnan(accuracy_interval([0.5]).low)
    assert math.isnan(accuracy_interval([]).value)
    noise = paired_difference([0.1 + 0.2] * 10, [0.3] * 10)
    assert (noise.low, noise.high) == (0.0, 0.0)


@given(st.lists(st.tuples(SHARES, SHARES), min_size=0, max_size=25), st.integers(0, 5))
def test_a_verdict_claims_nothing_while_zero_is_held(pairs, seed):
    found = paired_difference([a for a, _ in pairs], [b for _, b in pairs], seed, 200)
    said = verdict(found, "own", "base")
    if "better" in said:
        assert found.low > 0
        assert found.value > 0
    if "worse" in said:
        assert found.high < 0
    if "better" in said or "worse" in said:
        assert found.contexts >= MIN_CONTEXTS


@given(st.floats(-1, 0), st.floats(0, 1))
def test_never_better_when_the_interval_holds_zero(low, high):
    said = verdict(Interval((low + high) / 2, low, high, 100), "a", "b")
    assert said == "no difference shown between a and b"


def test_verdicts():
    assert verdict(Interval(0.2, 0.1, 0.3, 20), "a", "b") == "a is better than b"
    assert verdict(Interval(-0.2, -0.3, -0.1, 20), "a", "b") == "a is worse than b"
    assert "too few" in verdict(Interval(1.0, 1.0, 1.0, 5), "a", "b")
    said = verdict(Interval(1.0, 1.0, 1.0, 3), "a", "b", "sequences")
    assert said == "too few sequences (3) to tell a from b"
    assert "too few" in verdict(Interval(1.0, math.nan, math.nan, 1), "a", "b")


def test_the_papers_accuracy_is_a_mean_over_contexts(shared_json):
    """A share of the 974 questions would be k / 974; the recorded means are not."""
    runs = shared_json("recorded/table2_single_passage.json")
    overall = [entry["overall"] for entry in runs.values()]
    means = [one[f"{kind}_mean_accuracy"] for one in overall for kind in ("baseline", "adapter")]
    pooled = {round(k / 974, 4) for k in range(975)}
    assert sum(mean in pooled for mean in means) < len(means) / 2, means
