"""Calibration: as many adapters together as a wave would hold, and fewer where memory is short."""

from __future__ import annotations

import pytest

from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.errors import OutOfMemory
from selfedit.loops.estimate import estimate
from selfedit.model.fake import FakeModel
from selfedit.types import Task

TASKS = [Task(f"t{i}", "T", "The tower was built in 1900.") for i in range(3)]


class Crowded(FakeModel):
    """Trains up to `room` adapters together."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.seen: list[int] = []

    def train(self, plans, *rest, **options):
        self.seen.append(len(plans))
        if len(plans) > self.room:
            raise OutOfMemory("does not fit")
        return super().train(plans, *rest, **options)


@pytest.mark.parametrize(
    ("room", "in_waves", "seen"), [(9, True, [4]), (9, False, [1]), (1, True, [4, 2, 1])]
)
def test_a_calibration_trains_a_wave_of_what_fits(room, in_waves, seen):
    model = Crowded(room)
    found = estimate(model, TASKS, LearnSettings(), in_waves=in_waves)
    assert model.seen == seen
    assert found.trainings == 3 * LearnSettings().candidates
    assert found.seconds > 0


def test_what_never_fits_is_an_error():
    with pytest.raises(OutOfMemory):
        estimate(Crowded(0), TASKS, LearnSettings())
