"""Kappa by hand, and its interval."""

from __future__ import annotations

import math

import numpy as np
import pytest

from selfedit.grading.agreement import agreement, kappa_interval, yes_gap_interval


def test_kappa_by_hand():
    """20 yes yes, 5 yes no, 10 no yes, 15 no no: 0.7 agreed, 0.5 by chance."""
    correct = [True] * 25 + [False] * 25
    verdicts = [True] * 20 + [False] * 5 + [True] * 10 + [False] * 15
    found = agreement(correct, verdicts)
    assert found.kappa == pytest.approx(0.4)
    assert found.agreement == pytest.approx(0.7)
    assert (found.num, found.yes_rate, found.verdict_yes_rate) == (50, 0.5, pytest.approx(0.6))


def test_extremes():
    assert agreement([True, False], [True, False]).kappa == 1
    assert agreement([True, False], [False, True]).kappa == -1
    assert math.isnan(agreement([True, True], [True, True]).kappa)
    assert agreement([True, True], [True, True]).agreement == 1
    assert math.isnan(agreement([], []).kappa)
    assert math.isnan(agreement([], []).agreement)
    with pytest.raises(ValueError, match="1 decisions"):
        agreement([True], [True, False])


def test_the_interval_draws_groups():
    """The same answers: in groups that agree or disagree as a whole, kappa is far less certain."""
    rng = np.random.default_rng(0)
    verdicts = rng.random(400) < 0.5
    wrong = np.arange(400) < 80
    correct = np.where(wrong, ~verdicts, verdicts).tolist()
    alone = kappa_interval([correct], verdicts.tolist(), list(range(400)), draws=2000)
    together = kappa_interval([correct], verdicts.tolist(), [n // 40 for n in range(400)], draws=2000)
    kappa = agreement(correct, verdicts.tolist()).kappa
    assert alone[0] < kappa < alone[1]
    assert together[1] - together[0] > 2 * (alone[1] - alone[0])
    assert alone == kappa_interval([correct], verdicts.tolist(), list(range(400)), draws=2000)
    assert all(map(math.isnan, kappa_interval([[]], [], [])))


def test_the_interval_of_the_yes_rates_difference():
    correct, verdicts = [True] * 60 + [False] * 40, [True] * 50 + [False] * 50
    low, high = yes_gap_interval([correct], verdicts, list(range(100)), draws=2000)
    assert low < 0.1 < high
    assert (low, high) == pytest.approx((0.04, 0.16), abs=0.02)  # 0.1 and twice its standard error
    assert yes_gap_interval([verdicts], verdicts, list(range(100)), draws=20) == (0, 0)
