"""What an edit of several completions has earned less its distance from the first policy."""

import pytest

from selfedit.algorithms.credit import credited, distances_of
from selfedit.types import Completion, Prompt, Sample


def sample(unit: int, logprobs: tuple[float, ...], reference: tuple[float, ...]) -> Sample:
    return Sample(Prompt("p"), Completion("t", logprobs), 0.0, unit, reference)


HELD = [
    sample(0, (-1.0, -2.0), (-1.5, -2.5)),
    sample(1, (-3.0,), (-1.0,)),
    sample(0, (-0.5,), (-0.75,)),
]


def test_a_unit_s_distance_is_the_log_ratio_of_all_its_tokens():
    """Positive where the policy that drew it likes it more than the first one does."""
    assert distances_of(HELD, 3) == pytest.approx([1.25, -2.0, 0.0])


def test_samples_get_the_advantage_of_their_unit_and_keep_the_rest():
    assert [own.advantage for own in credited(HELD, [0.5, -0.5])] == [0.5, -0.5, 0.5]
    assert [own.reference for own in credited(HELD, [0.5, -0.5])] == [own.reference for own in HELD]
