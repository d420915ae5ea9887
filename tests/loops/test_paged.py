"""A round in little memory: nothing is changed by its pages, and few self-edits are there at a time."""

from __future__ import annotations

import gc

import pytest

from selfedit.algorithms.rest_em import ReSTEM
from selfedit.errors import StoreError
from selfedit.loops import paged
from selfedit.loops.paged import Paged, Rewards
from selfedit.runners import local, stored
from selfedit.seams import Update
from selfedit.types import Candidate, Group, Proposal, SelfEdit, Task
from tests.loops.test_outer import SETTINGS, outer, task


def test_values_are_read_a_page_at_a_time():
    read = []

    def values(places):
        read.append(places)
        return [10 * place for place in places]

    tens = Paged(5, values, page=2)
    assert list(tens) == [0, 10, 20, 30, 40]
    assert read == [range(0, 2), range(2, 4), range(4, 5)]
    assert (tens[-1], tens[1:4], len(tens)) == (40, [10, 20, 30], 5)
    with pytest.raises(IndexError):
        tens[5]


def test_groups_come_back_as_they_were(tmp_path, monkeypatch):
    monkeypatch.setattr(paged, "PAGE", 1)
    about = [Task(f"t{i}", f"Tower {i}", "It is tin.") for i in range(3)]
    edits = [tuple(SelfEdit(own.id, i, (), (f"Tin, {i}.",)) for i in range(2)) for own in about]
    proposals = [Proposal(own, None, made) for own, made in zip(about, edits, strict=True)]
    rated = Candidate(edits[0][0], (0.1 + 0.2, 1 / 3), "scored", "", ("k1", "k2"), (None, -0.25))
    bad = Candidate(edits[0][1], (None, None), "invalid", "nothing to train on", ("k3", "k4"))
    groups = [
        Group(about[0], 0.5, (rated, bad)),
        Group(about[1], None, (Candidate(edits[1][1], (1.0,)),)),  # of the second edit alone
        Group(about[2], 0.0, ()),
    ]
    rewards = Rewards(tmp_path)
    for group in groups:
        rewards.add(group)
    found = rewards.groups(proposals)
    assert list(found) == groups
    assert list(found) == groups, "as often as it is asked for"
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def test_a_folder_that_takes_nothing_is_an_error_with_advice(tmp_path):
    with pytest.raises(StoreError, match="free some space"):
        Rewards(tmp_path / "gone")


def test_a_round_holds_the_self_edits_of_few_contexts(tmp_path, monkeypatch):
    monkeypatch.setattr(paged, "PAGE", 2)
    monkeypatch.setattr(stored, "CONTEXTS_AT_ONCE", 2)
    seen, contexts = [], 30

    def alive():
        return sum(type(thing) is SelfEdit for thing in gc.get_objects())

    def look():
        seen.append(alive())

    original = local.run_trials

    def looked(*args, **options):
        look()
        return original(*args, **options)

    class Looking(ReSTEM):
        def improve(self, policy, groups, out, progress):
            for place, group in enumerate(groups):
                assert len(group.candidates) == 2
                if place % 10 == 9:
                    look()
            return Update(None)

    monkeypatch.setattr(local, "run_trials", looked)
    settings = SETTINGS.model_copy(update={"contexts": contexts, "rounds": 1})
    algorithm = Looking(settings.rule, settings.margin, settings.policy, settings.seed)
    before = alive()
    run = outer(
        tmp_path, settings=settings, tasks=[task(i) for i in range(contexts)], algorithm=algorithm
    )
    (record,) = run.run()
    assert record.num_edits == 2 * contexts
    assert len(seen) == contexts // 2 + contexts // 10
    assert max(seen) - before <= 5 * 2 * 2, "pages of two contexts with two self-edits each"
