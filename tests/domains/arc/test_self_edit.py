"""The self-edit of a few-shot task: what is read, what is refused and why."""

from __future__ import annotations

import json

import pytest

from selfedit.config import stable_hash
from selfedit.domains.arc import Example, Grid
from selfedit.domains.arc.edit_pattern import pattern
from selfedit.domains.arc.self_edit import (
    LONGEST_OBJECT,
    ORACLE,
    ArcSelfEdit,
    instruction,
    parse_self_edit,
)
from selfedit.domains.arc.settings import ArcBounds
from selfedit.errors import InvalidSelfEdit

TEXT = ORACLE.text()
DEMONSTRATION = Example(Grid.of([[0, 1]]), Grid.of([[1, 0]]))


def edit(**changes):
    """The oracle's JSON with some values changed, by their own names."""
    data = ORACLE.model_dump()
    for name, value in changes.items():
        part = next(part for part in data.values() if name in part)
        part[name] = value
    return json.dumps(data)


def reason(text):
    with pytest.raises(InvalidSelfEdit) as caught:
        parse_self_edit(text)
    said = str(caught.value)
    assert len(said) < 200
    assert said.isascii()
    return said


def test_the_oracle_is_the_papers():
    assert parse_self_edit(TEXT) == ORACLE
    assert ORACLE.groups == ("basic", "size", "chain", "repeat")
    assert (ORACLE.learning_rate, ORACLE.num_train_epochs, ORACLE.supervise) == (1e-4, 2, "replies")


def test_what_the_choices_mean():
    for group in ("basic", "size", "chain", "repeat"):
        off = parse_self_edit(edit(**{f"use_{group}_augmentations": False}))
        assert off.groups == tuple(other for other in ORACLE.groups if other != group)
    assert parse_self_edit(edit(strategy="train_using_all_tokens")).supervise == "all"


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ORACLE.model_dump(), indent=4),
        f"```json\n{TEXT}\n```",
        f"```\n{TEXT}```",
        f"The rule is {{simple}}: I turn all on.\n\n{TEXT}\n\nThat {{should}} do, }} or [not].",
        f"\ufeff \n{TEXT}\n",
        TEXT.replace("0.0001", "1e-4").replace("{", "{ \r\n\t"),
    ],
)
def test_prose_and_fences_around_the_object(text):
    assert parse_self_edit(text) == ORACLE


@pytest.mark.parametrize("value", [0, -1e-4, 1e9, 0.1001, 2])
def test_learning_rates_out_of_bounds(value):
    assert reason(edit(learning_rate=value)).startswith(f"training.learning_rate is {value}; ")


@pytest.mark.parametrize("value", [0, -1, 1001, 10**6])
def test_epochs_out_of_bounds(value):
    assert reason(edit(num_train_epochs=value)).startswith(f"training.num_train_epochs is {value}; ")


def test_the_bounds_themselves():
    for rate, epochs in ((0.1, 1), (1e-9, 1000)):
        found = parse_self_edit(edit(learning_rate=rate, num_train_epochs=epochs))
        assert (found.learning_rate, found.num_train_epochs) == (rate, epochs)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (edit(learning_rate="1e-4"), 'training.learning_rate is "1e-4", not a number'),
        (edit(learning_rate=True), "training.learning_rate is true, not a number"),
        (edit(learning_rate=None), "training.learning_rate is null, not a number"),
        (edit(learning_rate=[[1]]), "training.learning_rate is a list, not a number"),
        (edit(learning_rate=float("nan")), "NaN is no JSON number"),
        (edit(learning_rate=float("-inf")), "-Infinity is no JSON number"),
        (TEXT.replace("0.0001", "1e999"), "training.learning_rate is Infinity, too large"),
        (edit(num_train_epochs="2"), 'training.num_train_epochs is "2", not a whole number'),
        (edit(num_train_epochs=True), "training.num_train_epochs is true, not a whole number"),
        (edit(num_train_epochs=2.0), "training.num_train_epochs is 2.0, not a whole number"),
        (edit(num_train_epochs=10**40), "a number has 41 digits"),
        (edit(use_size_augmentations=1), "data_generation.use_size_augmentations is 1, not true"),
        (edit(use_size_augmentations="true"), "data_generation.use_size_augmentations is"),
        (edit(strategy="all"), 'training.strategy is "all", not train_using_all_tokens or'),
        (edit(strategy="x" * 3000), f'training.strategy is "{"x" * 39} ..., not'),
    ],
)
def test_values_of_another_type(text, said):
    assert reason(text).startswith(said)


@pytest.mark.parametrize("digit", ["\u0663", "\uff12", "\u096a"])
def test_digits_of_other_scripts(digit):
    # The character itself, not its JSON escape.
    assert reason(TEXT.replace('"num_train_epochs": 2', f'"num_train_epochs": {digit}')).startswith(
        "invalid JSON"
    )
    assert "not a whole number" in reason(edit(num_train_epochs=digit))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no JSON object"),
        ("I cannot do this.", "no JSON object"),
        (str(ORACLE.model_dump()), "no JSON object with its names in double quotes"),
        ("{}", "data_generation is missing"),
        ('{"data_generation": 1, "training": {}}', "data_generation is not an object"),
        (f"{TEXT}\n{TEXT}", "more than one JSON object"),
        (f"{TEXT} or {{}}", "more than one JSON object"),
        (f"[{TEXT}]", "the JSON object stands inside another value"),
        (f"{{edit: {TEXT}}}", "the JSON object stands inside another value"),
        (f'{{"edit": {TEXT}}}', "data_generation is missing"),
        (TEXT.replace("}, ", ', "seed": 1}, '), 'data_generation."seed" is not a key of a self-edit'),
        (TEXT.replace("2}", '2, "num_train_epochs": 3}'), 'the key "num_train_epochs" comes twice'),
        (TEXT.replace('_epochs": 2', '_epochs": 02'), "invalid JSON"),
        (TEXT.replace("2}", "2,}"), "invalid JSON"),
        (TEXT.replace("true", "True"), "invalid JSON"),
        (TEXT.replace("{", "{\0"), "no JSON object with its names"),
        ('{"a\\ud800": 1}', "the self-edit is"),
    ],
)
def test_objects_that_are_none(text, said):
    assert reason(text).startswith(said)


def test_cut_off_anywhere():
    assert {reason(TEXT[:end]) for end in range(2, len(TEXT))} == {"the JSON object is cut off"}
    assert reason(f"Well: {TEXT[:-9]} \n") == "the JSON object is cut off"


def test_what_is_much_too_long():
    """Each of these takes no time if the work is linear, and for ever if it is not."""
    million = 1_000_000
    assert parse_self_edit("x" * 10 * million + TEXT + "{ " * 5 * million) == ORACLE
    assert "longer" in reason('{"a":' * 2 * million)
    assert "longer" in reason('{"a": "' + "x" * 10 * million + '"}')
    assert "nested too deeply" in reason('{"a":' + "[" * 10 * million)
    assert "no JSON object" in reason("{ " * 5 * million)
    assert "no JSON object" in reason("{" + " " * 10 * million)
    assert "invalid JSON" in reason('{"' * 5 * million)
    assert "digits" in reason(TEXT.replace("0.0001", "1" * 3000))
    spaced = TEXT.replace("{", "{" + " " * (LONGEST_OBJECT - len(TEXT)), 1)
    assert parse_self_edit(spaced) == ORACLE
    assert "longer" in reason(spaced.replace("{", "{ ", 1))
    for depth in (100, 900, 1000, 1900):
        said = reason(TEXT.replace("0.0001", "[" * depth + "]" * depth))
        assert said.startswith(("training.learning_rate is a list", "the JSON object is nested"))


def test_instructions_name_every_choice():
    """And what they show as an answer is one."""
    for short in (False, True):
        text = instruction([DEMONSTRATION], short=short)
        assert "Input 1:\n[[0, 1]]\nOutput 1:\n[[1, 0]]" in text
        for part in ArcSelfEdit.model_fields.values():
            assert all(name in text for name in part.annotation.model_fields)
    assert len(instruction([], short=True)) < len(instruction([])) / 3
    assert parse_self_edit(instruction([DEMONSTRATION], short=True)) == ORACLE
    nothing_to_copy = instruction([DEMONSTRATION], short=True, example=False)
    assert "true or false" in nothing_to_copy
    assert "0.0001" not in nothing_to_copy
    assert "Input 1:\n01\nOutput 1:\n10" in instruction([DEMONSTRATION], "compact")


def test_without_bounds_prompts_stay_what_they_are():
    """Hash of commit 9058463, before there were bounds: texts in a store are found by their prompts."""
    asked = [
        instruction([DEMONSTRATION], short=short, example=example)
        for short in (False, True)
        for example in (True, False)
    ]
    assert stable_hash([asked, pattern()]) == "ef2c8f0d27419722f88ffddb70d1492f"


@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize("example", [False, True])
def test_instructions_say_the_bounds(short, example):
    def asked(**bounds):
        return instruction([DEMONSTRATION], short=short, example=example, bounds=ArcBounds(**bounds))

    both = asked(rate_bounds=(1e-3, 1e-2), epoch_bounds=(3, 4))
    assert "from 0.001 to 0.01" in both
    assert "from 3 to 4" in both
    assert "at most 0.1" not in both
    assert "1000" not in both
    assert "from 3 to 4" not in asked(rate_bounds=(1e-3, 1e-2))
    assert "0.001" not in asked(epoch_bounds=(3, 4))
    if short and example:
        bounds = ArcBounds(rate_bounds=(1e-3, 1e-2), epoch_bounds=(3, 4))
        shown = parse_self_edit(both, bounds)
        assert (shown.learning_rate, shown.num_train_epochs) == (1e-3, 3)
