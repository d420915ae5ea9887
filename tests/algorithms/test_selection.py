"""Which self-edits ReST-EM keeps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from selfedit.algorithms.rest_em import select
from selfedit.types import Candidate, Group, SelfEdit, Task

TASK = Task("t", "title", "context")


def group(baseline: float | None, *rewards: tuple[float | None, ...]) -> Group:
    edits = [SelfEdit("t", i, (), (f"edit {i}",)) for i in range(len(rewards))]
    return Group(TASK, baseline, tuple(map(Candidate, edits, rewards)))


def kept(groups: list[Group], *rule) -> list[int]:
    return [place for group in select(groups, *rule) for place in group.kept]


def test_best_takes_one_of_each_task_even_if_it_hurts():
    groups = [group(0.9, (0.2, 0.4), (0.5, 0.3), (0.0, 0.8)), group(None, (0.0,), (0.0,))]
    assert kept(groups, "best") == [1, 0]  # the first wins a tie
    (first, _) = select(groups, "best")
    assert first == replace(groups[0], kept=(1,))


def test_candidates_without_reward_never_win():
    groups = [group(0.0, (1.0, None), (0.1, 0.1)), group(0.0, (None,), ()), group(0.5)]
    assert kept(groups, "best") == [1]
    assert kept(groups) == [1]
    assert kept(groups, "all-correct") == []


def test_positive_must_beat_the_baseline_by_more_than_the_margin():
    groups = [group(0.4, (0.4,), (0.6,)), group(0.6, (0.6,)), group(0.5, (0.4,))]
    assert kept(groups) == [1]
    assert kept(groups, "positive", 0.1) == [1]
    assert kept(groups, "positive", 0.2) == []
    assert kept([group(0.2, (0.2, 0.2, 0.2))]) == []  # sum / 3 is 0.20000000000000004
    assert kept([group(2 / 3, (2 / 3, 2 / 3, 2 / 3))]) == []
    assert kept([group(None, (None,))]) == []
    with pytest.raises(ValueError, match="no baseline"):
        select([group(None, (0.5,))])


def test_all_correct_keeps_every_one_that_solves_the_task():
    groups = [group(0.0, (1.0, 1.0), (1.0, 0.0), (1.0,)), group(0.0, (0.0,))]
    assert kept(groups, "all-correct") == [0, 2]


def test_distinct_correct_keeps_equal_edits_of_a_task_once():
    """Three equal edits share one training, whose luck is not to count three times."""
    solving = group(0.0, (0.0,), (1.0,), (1.0,), (1.0,))
    texts = ("a", "b", "c", "b")
    candidates = tuple(
        replace(one, edit=SelfEdit("t", i, (), (texts[i],))) for i, one in enumerate(solving.candidates)
    )
    groups = [replace(solving, candidates=candidates)] * 2  # of each task, not of all
    assert kept(groups, "distinct-correct") == [1, 2, 1, 2]
    assert kept(groups, "all-correct") == [1, 2, 3, 1, 2, 3]


def test_a_mistyped_rule():
    with pytest.raises(ValueError, match="no rule"):
        select([group(0.0, (1.0,))], "bset")


def test_the_first_wins_a_tie_of_means_that_differ_in_the_last_bit():
    assert kept([group(0.0, (0.6, 0.6, 0.0), (0.4, 0.4, 0.4))], "best") == [0]
