"""Outcomes come back from the store as they were."""

from __future__ import annotations

from dataclasses import replace

from selfedit.domains.conditions import Outcome
from selfedit.evaluation.outcomes import put_outcomes, stored_outcomes
from selfedit.store import Store
from selfedit.types import GradedAnswer, Score, SelfEdit, Task, Trial


def test_a_shared_trial_keeps_the_number_of_this_runs_edit(tmp_path):
    """Another run, with more candidates, was the first to store it, as its edit 3."""
    score = Score((GradedAnswer("q", "g", "a", True, True),))
    stored = Trial("shared", "t", SelfEdit("t", 2, (), ("{}",)), 0, "scored", "", score)
    with Store(tmp_path / "store.sqlite") as store:
        former, run = (store.start_run("eval", "fake", "0", {}, {}) for _ in range(2))
        store.put_trials(former, [stored])
        own = tuple(replace(stored, edit=replace(stored.edit, index=n)) for n in range(2))
        outcome = Outcome(((score, score),), (own,))
        put_outcomes(store, run, [Task("t", "", "")], {"ttt": outcome})
        (found,) = stored_outcomes(store, store.run(run), 1)
        assert [trial.edit.index for trial in found.trials["ttt"]] == [0, 1]
