"""What constrained sampling allows is what the parser takes."""

from __future__ import annotations

import itertools
import re

import pytest

from selfedit.domains.arc.edit_pattern import LONGEST_MATCH, pattern
from selfedit.domains.arc.self_edit import ORACLE, parse_self_edit
from selfedit.domains.arc.settings import ArcBounds
from selfedit.errors import InvalidSelfEdit

TEXT = ORACLE.text()


def rate(text):
    return TEXT.replace("0.0001", text)


def test_all_choices_can_be_said():
    oracle = ORACLE.model_dump()
    for on in itertools.product((True, False), repeat=4):
        for strategy in ("train_using_all_tokens", "train_using_output_tokens"):
            groups = dict(zip(oracle["data_generation"], on, strict=True))
            training = oracle["training"] | {"strategy": strategy}
            edit = type(ORACLE)(data_generation=groups, training=training)
            assert re.fullmatch(pattern(), edit.text())
            assert parse_self_edit(edit.text()) == edit


@pytest.mark.parametrize(
    "text", ["0.1", "0.01", "0.099", "0.000000999", "1e-9", "1e-05", "9.99e-2", "2.5e-4", "0.0001"]
)
def test_learning_rates(text):
    assert re.fullmatch(pattern(), rate(text))
    assert parse_self_edit(rate(text)).learning_rate == float(text)


@pytest.mark.parametrize(
    "text", ["0", "0.0", "0.11", "1", "1e-1", "1e9", "-0.01", "01e-4", ".1", "\u0661e-4"]
)
def test_no_other_learning_rates(text):
    assert not re.fullmatch(pattern(), rate(text))


def test_epochs_and_the_longest_match():
    for epochs in ("1", "375", "1000"):
        assert re.fullmatch(pattern(), TEXT.replace(": 2}", f": {epochs}}}"))
    for epochs in ("0", "1001", "02", "2.0", "9999"):
        assert not re.fullmatch(pattern(), TEXT.replace(": 2}", f": {epochs}}}"))
    longest = rate("0.000000123").replace("true", "false").replace(": 2}", ": 1000}")
    assert re.fullmatch(pattern(), longest)
    assert len(longest) <= LONGEST_MATCH


def test_the_pattern_keeps_to_the_bounds():
    bounds = ArcBounds(rate_bounds=(1.2e-5, 1e-2), epoch_bounds=(2, 11))
    said = pattern(bounds)
    for rate_ in ("0.000012", "0.00002", "0.00015", "0.007", "0.01"):
        assert re.fullmatch(said, rate(rate_))
        assert parse_self_edit(rate(rate_), bounds).learning_rate == float(rate_)
    for rate_ in ("0.00001", "0.015", "0.1", "1e-7"):
        assert not re.fullmatch(said, rate(rate_))
        with pytest.raises(InvalidSelfEdit, match=r"learning_rate is .*, not from 0\.000012 to 0\.01"):
            parse_self_edit(rate(rate_), bounds)
    for epochs, ok in (("1", False), ("2", True), ("9", True), ("11", True), ("12", False)):
        assert bool(re.fullmatch(said, TEXT.replace(": 2}", f": {epochs}}}"))) == ok
    with pytest.raises(InvalidSelfEdit, match="num_train_epochs is 12, not from 2 to 11"):
        parse_self_edit(TEXT.replace(": 2}", ": 12}"), bounds)


def test_one_bound_leaves_the_other_as_it_is():
    free = pattern(ArcBounds(epoch_bounds=(1, 3)))
    assert re.fullmatch(free, rate("9.99e-2"))
    assert not re.fullmatch(free, TEXT.replace(": 2}", ": 4}"))
    assert re.fullmatch(pattern(ArcBounds(rate_bounds=(1e-5, 1e-2))), TEXT.replace(": 2}", ": 999}"))


def test_the_longest_match_with_bounds():
    """The lowest rate, with as many digits as a float has."""
    low = 1.2345678901234567e-9
    bounds = ArcBounds(rate_bounds=(low, 0.1), epoch_bounds=(1000, 1000))
    longest = rate(f"{low:.25f}").replace("true", "false").replace(": 2}", ": 1000}")
    assert re.fullmatch(pattern(bounds), longest)
    assert len(longest) <= LONGEST_MATCH
