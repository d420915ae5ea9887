"""Reliability of rewards: known variance components, and the paper's own recorded round."""

from __future__ import annotations

import math

import numpy as np
import pytest

from selfedit.grading.reliability import choice, complete, reliability


def rewards_of(between: float, within: float, contexts: int = 400, edits: int = 5, seeds: int = 3):
    draws = np.random.default_rng(1)
    worth = draws.normal(0.5, between, (contexts, edits, 1))
    shift = draws.normal(0, 1, (contexts, 1, 1))  # contexts differ, which says nothing about edits
    return (worth + shift + draws.normal(0, within, (contexts, edits, seeds))).tolist()


def test_known_components_come_back():
    found = reliability(rewards_of(0.2, 0.2))
    assert found.single == pytest.approx(0.5, abs=0.04)
    assert found.mean == pytest.approx(0.75, abs=0.04)
    assert found.mean == pytest.approx(found.of(3))
    assert found.low < 0.75 < found.high
    assert (found.between, found.within) == (pytest.approx(0.2, abs=0.01), pytest.approx(0.2, abs=0.01))
    assert found.seeds_for(0.5) == 1
    assert found.seeds_for(0.75) in (3, 4)


def test_noise_alone_is_not_reliable():
    found = reliability(rewards_of(0.0, 0.2))
    assert abs(found.mean) < 0.15
    chosen = choice(rewards_of(0.0, 0.2))
    assert chosen.best > chosen.mean + 0.1
    assert chosen.fresh == pytest.approx(chosen.mean, abs=0.02)


@pytest.mark.parametrize(
    "rewards",
    [[], [[[0.5], [0.2]]], [[[0.4, 0.6]]], [[[0.5, 0.5], [0.5, 0.5]]], [[[None, 0.5], [0.2, 0.3]]]],
    ids=["nothing", "one seed", "one edit", "all equal", "a failed trial"],
)
def test_what_says_nothing_is_not_a_number(rewards):
    found = reliability(rewards)
    assert not found.is_known
    assert found.seeds_for() is None


def test_edits_with_a_failed_trial_do_not_count():
    assert complete([[0.1, None], [0.2, 0.3], [0.4, math.nan], [0.5, 0.6]]).tolist() == [
        [0.2, 0.3],
        [0.5, 0.6],
    ]


def test_the_papers_recorded_round(shared_json):
    """PAPER: 50 contexts x 5 edits x 3 seeds, GPT-4.1's verdicts."""
    contexts = []
    for article in shared_json("recorded/round1_trials.json")["articles"]:
        edits = []
        for edit in article["completions"]:
            by_seed: dict[int, list[bool]] = {}
            for asked in edit["questions"]:
                by_seed.setdefault(asked["rep"], []).append(asked["adapter_correct"])
            edits.append([float(np.mean(by_seed[rep])) for rep in sorted(by_seed)])
        contexts.append(edits)
    found = reliability(contexts)
    assert (found.contexts, found.edits, found.seeds) == (50, 250, 3)
    assert found.mean == pytest.approx(0.32, abs=0.005)
    assert (found.low, found.high) == (pytest.approx(0.13, abs=0.02), pytest.approx(0.45, abs=0.02))
    assert found.between == pytest.approx(0.075, abs=0.0006)
    assert found.within == pytest.approx(0.19, abs=0.003)
    chosen = choice(contexts)
    assert chosen.best == pytest.approx(0.543, abs=0.0005)
    assert chosen.fresh == pytest.approx(0.427, abs=0.0005)
    assert chosen.mean == pytest.approx(0.402, abs=0.0005)
    assert found.seeds_for() == 7


def test_edits_that_differ_by_their_seeds_alone_are_as_unreliable_as_can_be():
    """Not unknown: a plan and a report have to say that nothing can be learned from such rewards."""
    found = reliability([[[1.0, 0.5], [0.5, 1.0]], [[1.0, 0.0], [0.5, 0.5]]])
    assert (found.mean, found.low, found.high) == (-1.0, -1.0, -1.0)
    assert found.single < 0
