"""Groups: out of trials, back to them, and which candidate is kept."""

from __future__ import annotations

import pytest

from selfedit.errors import StoreError
from selfedit.loops import groups as module
from selfedit.loops.groups import best_of, choose, group_of, trials_of
from selfedit.store import Store
from selfedit.types import GradedAnswer, Group, Query, Score, SelfEdit, Task, Trial, mean_of

TASK = Task("t", "", "", (Query("q", ("g",)),))


def trial(reward: float | None, status="scored", key="k", place=0) -> Trial:
    edit = SelfEdit("t", place, (), ("x",))
    n = 4
    answers = tuple(GradedAnswer("q", "g", "a", i < (reward or 0) * n) for i in range(n))
    score = Score(answers) if status == "scored" else None
    return Trial(key, "t", edit, 0, status, score=score)


def kept(baseline, candidates) -> tuple[int, ...]:
    return choose(group_of(TASK, baseline, candidates)).kept


def test_the_first_wins_a_tie_and_must_beat_the_baseline():
    groups = [(trial(0.25),), (trial(0.75),), (trial(0.75),)]
    assert kept(0.5, groups) == (1,)
    assert kept(0.75, groups) == ()
    seeds = [(trial(1.0), trial(0.0)), (trial(0.75), trial(0.5)), (trial(1.0), trial(0, "failed"))]
    assert kept(0.0, seeds) == (1,)  # by the mean; a failed seed takes the reward away
    assert kept(None, [(trial(0, "invalid"),), (trial(0.0),)]) == (1,)
    assert kept(None, [(trial(0.0), trial(0, "failed"))]) == ()


def test_a_group_out_of_trials():
    edit = SelfEdit("t", 0, (), ("x",))
    right = Score((GradedAnswer("q", "g", "g", True),))
    trials = [
        [Trial("a", "t", edit, 0, "scored", score=right), Trial("b", "t", edit, 1, "failed")],
        [Trial("c", "t", edit, 0, "scored", score=right)],
    ]
    candidates = group_of(TASK, 0.0, trials).candidates
    assert [c.rewards for c in candidates] == [(1.0, None), (1.0,)]
    assert [(c.status, c.trials) for c in candidates] == [("failed", ("a", "b")), ("scored", ("c",))]


def test_trials_come_back_each_as_its_candidates_own(tmp_path, monkeypatch):
    """Two candidates may share one; they are read some groups at a time."""
    monkeypatch.setattr(module, "_GROUPS_AT_ONCE", 2)
    store = Store(tmp_path / "store.sqlite")
    run = store.start_run("train", "fake", "r", {}, {})
    made = [
        [[trial(0.5, key=f"{i}"), trial(1.0, key=f"{i}b")], [trial(0.5, key="0", place=1)]]
        for i in range(5)
    ]
    store.put_trials(run, [t for own in made for candidate in own for t in candidate])
    groups = [group_of(TASK, None, own) for own in made]
    assert [list(map(list, own)) for own in trials_of(store, groups)] == made
    gone = [Group(TASK, None, group_of(TASK, None, [[trial(1.0, key="gone")]]).candidates)]
    with pytest.raises(StoreError, match="no longer in the store"):
        list(trials_of(store, gone))


def test_the_first_wins_a_tie_of_means_that_differ_in_the_last_bit():
    assert (0.6 + 0.6 + 0.0) / 3 != 0.4
    assert best_of([mean_of((0.6, 0.6, 0.0)), mean_of((0.4, 0.4, 0.4))]) == 0
    assert mean_of([0.1]) == 0.1
    assert mean_of([]) is None
    assert best_of([]) is None
