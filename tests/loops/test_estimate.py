"""Calibration: as many adapters together as a wave would hold, and fewer where memory is short."""

from __future__ import annotations

import pytest

from selfedit.config import TrainSettings
from selfedit.domains.knowledge import Knowledge
from selfedit.domains.knowledge.settings import KnowledgeSettings, LearnSettings
from selfedit.errors import OutOfMemory
from selfedit.loops.estimate import estimate, estimate_plans
from selfedit.model.fake import FakeModel
from selfedit.types import SelfEdit, Task, TrainingPlan, TrainingSequence

TASKS = [Task(f"t{i}", "T", "The tower was built in 1900.") for i in range(3)]


class Crowded(FakeModel):
    """Trains up to `room` adapters together."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.seen: list[int] = []

    def train(self, plans, *rest, **options):
        self.seen.append(len(plans))
        self.sequences = [len(plan.sequences) for plan in plans]
        if len(plans) > self.room:
            raise OutOfMemory("does not fit")
        return super().train(plans, *rest, **options)


@pytest.mark.parametrize(("room", "seen"), [(9, [4]), (1, [4, 2, 1])])
def test_a_calibration_trains_a_wave_of_what_fits(room, seen):
    model = Crowded(room)
    found = estimate(model, Knowledge(), TASKS, LearnSettings(candidates=2))
    assert model.seen == seen
    assert found.trainings == 3 * 2
    assert found.seconds > 0


def test_what_is_made_once_is_no_part_of_the_speed():
    """An anchor's texts are written when they are first asked for, which the planner does."""

    class Anchored(Crowded):
        def planned_memory(self, lora, train):
            def planned(plans, seeds, slots):
                self.seen.append(0)
                return 0

            return planned

    model = Anchored(9)
    estimate(model, Knowledge(), TASKS[:1], LearnSettings(candidates=1))
    assert model.seen == [0, 1]


def test_as_many_statements_as_an_edit_has():
    """Their number decides how often they are gone over: five long ones would be far more often."""
    said = [f"The tower number {i} was built by the mason Ellery Vant in {1900 + i}." for i in range(7)]
    task = Task("t", "Towers", " ".join(said))
    settings, model = LearnSettings(), FakeModel()
    domain = Knowledge(settings.knowledge)
    edit = SelfEdit(
        "t", 0, (), tuple(f"In {1900 + i} Ellery Vant built tower number {i}." for i in range(7)) * 3
    )
    plan = domain.parse(task, edit)
    _, (record,) = model.train([plan], settings.lora, settings.train, [0])
    assert 0.7 < estimate(model, domain, [task], settings).tokens / record.tokens < 1.6
    unspaced = Task("u", "", "\u5854" * 70)
    assert len(domain.expected_plan(unspaced).sequences) == 1 + 3
    for strategy, count in (("none", 1), ("implications", 21), ("rewrite", 5)):
        other = Knowledge(KnowledgeSettings(strategy=strategy))
        assert len(other.expected_plan(task).sequences) == count


@pytest.mark.parametrize(("words", "trained"), [(1000, 4), (80, 13)])
def test_a_calibration_is_no_shorter_where_sequences_are_short(words, trained):
    model = Crowded(9)
    plan = TrainingPlan((TrainingSequence("word " * words),) * 40)
    estimate_plans(model, [plan], LearnSettings(), 1)
    assert model.sequences == [trained]


def test_what_never_fits_is_an_error():
    with pytest.raises(OutOfMemory):
        estimate(Crowded(0), Knowledge(), TASKS, LearnSettings())


def test_tokens_are_those_of_the_context_and_what_is_written_about_it():
    model = Crowded(9)
    settings = LearnSettings(candidates=4, train=TrainSettings(epochs=10))
    found = estimate(model, Knowledge(), TASKS, settings, each=5)
    assert found.tokens == 3 * (6 * 5 * 10) * (4 + 1)  # words, passage and edit, epochs; candidates
    alone = Knowledge(KnowledgeSettings(strategy="none"))
    assert estimate(model, alone, TASKS, settings).tokens == 3 * (6 * 10) * 4
    assert estimate(model, Knowledge(), [], LearnSettings()).tokens == 0
