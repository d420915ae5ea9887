"""What constrained sampling allows is what the parser takes."""

from __future__ import annotations

import itertools
import re

import pytest

from selfedit.domains.arc.edit_pattern import LONGEST_MATCH, pattern
from selfedit.domains.arc.self_edit import ORACLE, parse_self_edit

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
