"""Trials in this process: what is found, what is saved, and whose model it is."""

from __future__ import annotations

import pytest

from selfedit.config import InnerSettings
from selfedit.domains.knowledge import Knowledge
from selfedit.errors import ModelError
from selfedit.loops.groups import trials_of
from selfedit.loops.policies import Policies, ref_of
from selfedit.model.fake import FakeModel
from selfedit.progress import Silent
from selfedit.runners import stored
from selfedit.runners.local import LocalRunner
from selfedit.seams import PolicyRef
from selfedit.store import Store
from selfedit.types import Prompt, Proposal, Query, SelfEdit, Task

SETTINGS = InnerSettings(seeds=2)
DOMAIN = Knowledge()


def proposals(count=3) -> list[Proposal]:
    made = []
    for i in range(count):
        queries = (Query(f"Which stone is tower number{i} made of?", (f"stone{i}",)),)
        task = Task(f"t{i}", f"Tower {i}", f"The tower number{i} is made of stone{i}.", queries)
        edits = tuple(
            SelfEdit(task.id, j, (Prompt("Restate."),), (said,))
            for j, said in enumerate((f"People built tower number{i} out of stone{i}.", ""))
        )
        made.append(Proposal(task, 0.5, edits))
    return made


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store.sqlite") as opened:
        yield opened


def test_what_is_in_the_store_is_not_run_again(store, monkeypatch):
    monkeypatch.setattr(stored, "CONTEXTS_AT_ONCE", 2)
    model, told = FakeModel(), []
    first = store.start_run("train", model.name, model.revision, {}, {})
    runner = LocalRunner(Policies(model), store, first, told.extend)
    groups = list(runner.run(ref_of(model), DOMAIN, proposals(2), SETTINGS, Silent()))
    assert [(g.baseline, [c.rewards for c in g.candidates]) for g in groups] == [
        (0.5, [(1.0, 1.0), (None, None)])
    ] * 2
    assert [c.status for c in groups[0].candidates] == ["scored", "invalid"]
    assert len(told) == 8
    second = store.start_run("train", model.name, model.revision, {}, {})
    calls, told = model.calls["train"], []
    runner = LocalRunner(Policies(model), store, second, told.extend)
    again = list(runner.run(ref_of(model), DOMAIN, proposals(3), SETTINGS, Silent()))
    assert again[:2] == groups
    assert model.calls["train"] == calls + 1
    assert {trial.task_id for trial in told} == {"t2"}
    assert [trial.task_id for trial in store.iter_trials(second)] == ["t2"] * 4
    (whole, _) = next(trials_of(store, again))
    assert [(t.seed, t.score.answers[0].gold) for t in whole] == [(0, "stone0"), (1, "stone0")]


def test_a_policy_is_loaded_when_it_is_another_one(store):
    def load(name):
        return FakeModel(name, f"weights of {name}")

    policies = Policies(FakeModel(), load)
    run = store.start_run("train", "fake", "", {}, {})
    runner = LocalRunner(policies, store, run)
    other = PolicyRef("other", "weights of other")
    list(runner.run(other, DOMAIN, proposals(1), SETTINGS, Silent()))
    assert policies.model.name == "other"
    changed = PolicyRef("other", "weights that were")
    with pytest.raises(ModelError, match="has changed"):
        list(runner.run(changed, DOMAIN, proposals(1), SETTINGS, Silent()))
    alone = LocalRunner(Policies(FakeModel()), store, run)
    with pytest.raises(ModelError, match="way to be loaded"):
        list(alone.run(other, DOMAIN, proposals(1), SETTINGS, Silent()))
