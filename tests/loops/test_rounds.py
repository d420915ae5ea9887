"""Rounds as they lie in the store: what earlier versions wrote is read, and written alike."""

from __future__ import annotations

from selfedit.cli.rounds import round_line
from selfedit.loops.rounds import (
    RoundRecord,
    context_values,
    put_round,
    round_record,
    stored_groups,
)
from selfedit.model.fake import FakeModel
from selfedit.report.train_run import _curves, _read, _round_row
from selfedit.seams import Update
from selfedit.store import Store
from selfedit.types import Candidate, Group, Query, SelfEdit, Task

# As commit 69870e9 wrote it (2026-11-26).
STORED = {
    "id": "t",
    "title": "Tower",
    "passage": "It is tin.",
    "questions": [["What?", "tin"], ["Since when?", "1900"]],
    "baseline": 0.5,
    "edits": [
        {
            "text": "Tin it is.",
            "reward": 0.75,
            "rewards": [1.0, 0.5],
            "status": "scored",
            "reason": "",
            "selected": True,
            "trials": ["k1", "k2"],
        },
        {
            "text": "",
            "reward": None,
            "rewards": [None],
            "status": "unscored",
            "reason": "the judge rated others higher",
            "selected": False,
            "trials": [],
        },
    ],
}


def test_groups_of_a_round(tmp_path):
    store = Store(tmp_path / "store.sqlite")
    task = Task(
        "t", "Tower", "It is tin.", (Query("What?", ("tin", "Sn")), Query("Since when?", ("1900",)))
    )
    edits = [SelfEdit("t", i, (), (said,)) for i, said in enumerate((" Tin it is.\n", ""))]
    unscored = Candidate(edits[1], (None,), "unscored", "the judge rated others higher")
    group = Group(task, 0.5, (Candidate(edits[0], (1.0, 0.5), trials=("k1", "k2")), unscored))
    record = RoundRecord(1, "p", True, 1, 2, 0, 0.5, 0.75, 0.75, ("Tin it is.",), (), 1.0)
    put_round(store, "run", record, [group], [edits[0]])
    (read,) = stored_groups(store, "run", record)
    assert context_values(read) == STORED
    assert (read.kept, read.task.queries[0], read.candidates[0].reward) == (
        (0,),
        Query("What?", ("tin",)),
        0.75,
    )


def test_every_edit_was_invalid_is_said_only_if_it_was():
    """A cascade finds an edit invalid before it is trained, so that it has no trial."""
    own = Task("t", "T", "C", (Query("Which?", ("this",)),))
    bad = Candidate(SelfEdit("t", 0, (), ("no",)), (None,), "invalid", "it is empty")
    good = Candidate(SelfEdit("t", 1, (), ("yes",)), (0.0,), trials=("key",))

    def note(*candidates):
        return round_record(
            1, FakeModel(), [0.0], [Group(own, 0.0, candidates)], Update(None), 1.0
        ).note

    assert "no edit was selected" in note(bad, good)
    assert "every edit was invalid (it is empty)" in note(bad, bad)


def round_of(rewards: dict[float, list[list[float | None]]]) -> tuple[RoundRecord, list[Group]]:
    """rewards: for each accuracy without an edit, contexts' rewards of their edits."""
    groups = []
    for before, contexts in rewards.items():
        for own in contexts:
            task = Task(f"t{len(groups)}", "T", "c", (Query("What?", ("tin",)),))
            edits = [SelfEdit(task.id, i, (), ("e",)) for i in range(len(own))]
            candidates = tuple(
                Candidate(edit, (reward,), "invalid" if reward is None else "scored")
                for edit, reward in zip(edits, own, strict=True)
            )
            groups.append(Group(task, before, candidates))
    before = [group.baseline for group in groups if group.baseline is not None]
    return round_record(1, FakeModel(), before, groups, Update(None), 1.0), groups


def test_a_rounds_numbers_are_means_over_the_same_contexts():
    """A context counts once, however many of its edits have a reward, and not at all without one."""
    record, groups = round_of({0.9: [[None] * 4] * 5, 0.1: [[0.3, None], [0.5, 0.7, 0.9, 0.7]]})
    assert (record.baseline, record.num_rewarded, record.num_tasks) == (0.1, 2, 7)
    assert (record.mean_reward, record.best_reward) == (0.5, 0.6)
    own = _read(groups, 1, {})
    shown = [value for value, _ in own.values(record).values()]
    assert shown == [record.baseline, record.mean_reward, record.best_reward]
    row = _round_row(record, own)
    assert [cell.split(" [")[0] for cell in row[2:6]] == ["10%", "50%", "60%", "+40 points"]
    assert "of the 2 of 7 with a rewarded edit" in round_line(record)


def test_what_a_round_has_not_measured_is_not_zero():
    record, groups = round_of({0.5: [[None, None]] * 3})
    assert (record.baseline, record.mean_reward, record.best_reward) == (0.5, None, None)
    own = _read(groups, 1, {})
    assert _round_row(record, own)[2:6] == ("50%", "—", "—", "—")
    assert list(_curves([record], {1: own})) == ["without edits"]
