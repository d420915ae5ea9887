"""Candidates compete: how many are trained for how long, and which one is kept."""

from __future__ import annotations

from typing import Any

import pytest

from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.learning.contest import compete, num_trainings
from selfedit.progress import Silent
from selfedit.types import Candidate, Group, Proposal, Query, SelfEdit, Task


class Runs:
    """Rewards by epochs and candidate; "-" for one that failed. Remembers what it was to train."""

    def __init__(self, rewards: dict[int, list[float | str]]) -> None:
        self.rewards, self.asked = rewards, []

    def __call__(self, proposals, settings, progress, *, full) -> list[Group]:
        epochs = settings.train.epochs
        self.asked.append((epochs, [[e.index for e in own.edits] for own in proposals], full))
        progress.start("training and testing self-edits", 1)
        return [
            Group(own.task, own.baseline, tuple(self.candidate(e, epochs) for e in own.edits))
            for own in proposals
        ]

    def candidate(self, edit: SelfEdit, epochs: int) -> Candidate:
        reward = self.rewards[epochs][edit.index]
        if reward == "-":
            return Candidate(edit, (None,), "failed", "its loss was not finite", ("k",))
        return Candidate(edit, (reward,), trials=(f"{edit.index}-{epochs}",))


def proposals(count: int = 4, baseline: float | None = 0.25, passages: int = 1) -> list[Proposal]:
    return [
        Proposal(
            Task(f"t{n}", "", "", (Query("q", ("g",)),)),
            baseline,
            tuple(SelfEdit(f"t{n}", i, (), ("x",)) for i in range(count)),
        )
        for n in range(passages)
    ]


def settings(**changes: Any) -> LearnSettings:
    base = {"train": {"epochs": 10}, "candidates": 4}
    return LearnSettings.model_validate({**base, **changes})


def test_without_a_heat_all_are_trained_in_full():
    runs = Runs({10: [0.5, 1.0, 1.0, "-"]})
    (group,) = compete(proposals(), settings(), runs, Silent())
    assert runs.asked == [(10, [[0, 1, 2, 3]], True)]
    assert group.kept == (1,)  # the first of the best


def test_a_heat_chooses_and_a_single_finalist_is_trained_by_the_final_adapter():
    runs = Runs({3: ["-", 0.5, 0.75, 0.5]})
    (group,) = compete(proposals(), settings(heat_epochs=3), runs, Silent())
    assert runs.asked == [(3, [[0, 1, 2, 3]], False)]
    assert group.kept == (2,)


@pytest.mark.parametrize(("reward", "kept"), [(0.25, (0,)), (0.0, ())])
def test_a_short_training_may_gain_nothing_but_must_not_lose(reward, kept):
    runs = Runs({3: [reward] * 4})
    (group,) = compete(proposals(), settings(heat_epochs=3), runs, Silent())
    assert group.kept == kept


def test_the_best_of_a_heat_are_trained_in_full_and_the_best_of_them_is_kept():
    runs = Runs({3: [0.75, "-", 0.5, 0.75], 10: [0.5, 1.0, 1.0, 0.75]})
    (group,) = compete(proposals(), settings(heat_epochs=3, finalists=2), runs, Silent())
    assert runs.asked == [(3, [[0, 1, 2, 3]], False), (10, [[0, 3]], True)]
    assert group.kept == (3,)
    assert [one.reward for one in group.candidates] == [0.5, None, 0.5, 0.75]
    assert [one.trials[0] for one in group.candidates] == ["0-10", "k", "2-3", "3-10"]
    assert group.candidates[2].reason == "not among the best after 3 epochs"
    assert group.candidates[1].reason == "its loss was not finite"


def test_finalists_that_gain_nothing_in_full_are_not_kept():
    runs = Runs({3: [0.25] * 4, 10: [0.25] * 4})
    (group,) = compete(proposals(), settings(heat_epochs=3, finalists=2), runs, Silent())
    assert group.kept == ()


def test_passages_compete_apart_and_one_without_a_sound_candidate_has_no_final():
    class Mixed(Runs):
        def candidate(self, edit, epochs):
            if edit.task_id == "t1":
                return Candidate(edit, (None,), "invalid", "empty")
            return super().candidate(edit, epochs)

    runs = Mixed({3: [0.5, 0.75, 1.0], 10: [0.5, 1.0, 1.0]})
    groups = compete(proposals(3, passages=3), settings(heat_epochs=3, finalists=2), runs, Silent())
    assert runs.asked[1] == (10, [[1, 2], [1, 2]], True)
    assert [group.task.id for group in groups] == ["t0", "t1", "t2"]
    assert [group.kept for group in groups] == [(1,), (), (1,)]


def test_without_questions_the_first_sound_candidate_goes_all_the_way():
    class Unasked(Runs):
        def candidate(self, edit, epochs):
            one = super().candidate(edit, epochs)
            return one if one.status != "scored" else Candidate(edit, (None,), trials=one.trials)

    rewards = {3: ["-", 0.0, 0.0, 0.0], 10: [0.0] * 4}
    for finalists in (1, 2):
        chosen = settings(heat_epochs=3, finalists=finalists)
        (group,) = compete(proposals(baseline=None), chosen, Unasked(rewards), Silent())
        assert group.kept == (1,)


def test_what_a_contest_takes():
    def trainings(**changes: Any) -> float:
        return num_trainings(settings(**changes))

    assert trainings() == 4
    assert trainings(seeds=3) == 12
    assert trainings(heat_epochs=3) == pytest.approx(1.2)
    assert trainings(heat_epochs=3, finalists=2, seeds=2) == pytest.approx(2 * 3.2)
    assert trainings(heat_epochs=3, finalists=9) == pytest.approx(5.2)


def test_progress_says_what_is_trained_for_how_long():
    class Names(Silent):
        said: list[str]

        def start(self, name: str, total: int) -> None:
            self.said.append(name)

    progress = Names()
    progress.said = []
    runs = Runs({1: [0.5] * 4, 10: [0.5] * 4})
    compete(proposals(), settings(heat_epochs=1, finalists=2), runs, progress)
    assert progress.said == ["training 4 candidates for 1 epoch", "training 2 candidates for 10 epochs"]
