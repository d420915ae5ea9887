"""What RL changed in the choices: counted over all edits, and paired by task."""

from __future__ import annotations

from selfedit.domains.arc.choices import choosing
from selfedit.domains.arc.self_edit import ORACLE, ArcSelfEdit
from selfedit.domains.arc.settings import ArcBounds
from selfedit.domains.choices import compared
from selfedit.domains.conditions import TaskOutcome
from selfedit.show.wording import UNKNOWN
from selfedit.types import GradedAnswer, Score, SelfEdit, Task, Trial


def edit(rate: float, epochs: int, *groups: str, strategy="train_using_all_tokens") -> ArcSelfEdit:
    chosen = {
        f"use_{name}_augmentations": name in groups for name in ("basic", "size", "chain", "repeat")
    }
    training = {"strategy": strategy, "learning_rate": rate, "num_train_epochs": epochs}
    return ArcSelfEdit.model_validate({"data_generation": chosen, "training": training})


def trial(said: ArcSelfEdit | None, *, right=False, status="scored") -> Trial:
    text = "no edit" if said is None else said.text()
    score = None
    if status == "scored" and said is not None:
        score = Score((GradedAnswer("q", "1", "1", right, right),))
    return Trial("key", "id", SelfEdit("id", 0, (), (text,)), 0, status, "", score)


def outcome(i: int, **conditions) -> TaskOutcome:
    return TaskOutcome(Task(f"id{i}", "", ""), {name: tuple(own) for name, own in conditions.items()})


def rows(outcomes, seeds=1) -> dict[str, tuple[str, ...]]:
    (section,) = compared(choosing(ArcBounds()), outcomes, seeds, 0)
    return {row[0]: row[1:] for row in section.blocks[0].rows}


def test_rates_are_factors_and_the_rest_are_differences():
    before = [
        [trial(edit(1e-4, 2)), trial(None, status="invalid")],
        # Over the step limit: it failed, and chose all the same.
        [trial(edit(1e-2, 2, "size"), status="failed"), trial(edit(1e-4, 8))],
    ]
    after = [
        [trial(edit(1e-3, 2, "basic", "size"), right=True), trial(edit(1e-3, 2, "basic", "size"))],
        [trial(edit(1e-3, 4, "basic", strategy=ORACLE.training.strategy), right=True), trial(None)],
    ]
    found = rows(
        [outcome(i, ttt=a, seal=b) for i, (a, b) in enumerate(zip(before, after, strict=True))]
    )
    assert found["valid edits"][:2] == ("3 of 4", "3 of 4")
    # The mean over edits: 10 ** ((-4 - 2 - 4) / 3). The change is the mean over the two tasks of
    # log(1e-3 / 1e-4) and log(1e-3 / 1e-3).
    assert found["learning rate"][:3] == ("0.000464 (0.0001 to 0.01)", "0.001", "times 3.16")
    assert found["epochs"][:3] == ("3.17 (2 to 8)", "2.52 (2 to 4)", "times 1.00")
    assert found["basic augmentations"][:3] == ("0%", "100%", "+100.0 points")
    assert found["size augmentations"][:3] == ("33.3%", "66.7%", "+25.0 points")
    assert found["groups of augmentations"][2] == "+1.2"
    assert found["loss on all tokens"][:3] == ("100%", "66.7%", "-50.0 points")
    assert found["different edits"][:2] == (
        "3, the most frequent 1 times",
        "2, the most frequent 2 times",
    )


def test_out_of_bounds_is_not_chosen():
    both = [trial(edit(1e-3, 2)), trial(edit(1e-3, 9), status="invalid")]
    own = choosing(ArcBounds(epoch_bounds=(1, 3)))
    (section,) = compared(own, [outcome(0, ttt=both, seal=both)], 1, 0)
    rows_ = {row[0]: row[1:] for row in section.blocks[0].rows}
    assert rows_["valid edits"][0] == "1 of 2"
    assert rows_["epochs"][0] == "2"


def test_an_edit_with_several_seeds_counts_once():
    twice = [trial(edit(1e-3, 2)), trial(edit(1e-3, 2)), trial(edit(1e-4, 2)), trial(edit(1e-4, 2))]
    found = rows([outcome(0, ttt=twice, seal=twice)], seeds=2)
    assert found["valid edits"][0] == "2 of 2"
    assert found["learning rate"][3] == UNKNOWN, "one task has no interval"


def test_solved_and_not_are_drawn():
    before = [trial(edit(1e-4, 2)), trial(edit(1e-3, 4), right=True)]
    (section,) = compared(choosing(ArcBounds()), [outcome(0, ttt=before, seal=before)], 1, 0)
    (plot,) = [block for block in section.blocks if hasattr(block, "svg")]
    for label in ("ttt, not solved", "ttt, solved", "seal, solved"):
        assert label in plot.svg


def test_nothing_where_there_is_nothing_to_compare():
    one = [trial(edit(1e-3, 2))]
    assert compared(choosing(ArcBounds()), [outcome(0, ttt=one)], 1, 0) == []
    assert compared(choosing(ArcBounds()), [outcome(0, ttt=one, seal=())], 1, 0) == []
    nothing = [trial(None, status="invalid")]
    found = rows([outcome(0, ttt=one, seal=nothing)])
    assert found["learning rate"] == ("0.001", *(UNKNOWN,) * 3)
    assert found["different edits"][1] == "0"
