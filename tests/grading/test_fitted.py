"""The offline grader: its features, its weights, and how far it agrees with the recorded judge."""

from __future__ import annotations

import json
import math
import time
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfedit.grading import GRADERS, grade
from selfedit.grading.dates import periods, within
from selfedit.grading.features import features
from selfedit.grading.fitted import Weights, offline, probability, shipped
from selfedit.grading.synonyms import groups
from selfedit.grading.words import similarity, stem, words
from selfedit.types import Query


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1,200,000 or 1.2 million", [1.2e6, 1.2e6]),
        ("twenty-five thousand", [25000]),
        ("the thirteenth, 13th and XIII", [13, 13, 13]),
        ("in the 1990s", [1990]),
        ("1,5 billion", [1.5e9]),
        ("1835\u20131836", [1835, 1836]),
        ("no number", []),
    ],
)
def test_numbers_are_read(text, numbers):
    assert [word.number for word in words(text) if word.number is not None] == numbers


def test_word_forms():
    assert stem("mediator") == stem("mediating")
    assert stem("hormones") == stem("hormonal")
    assert words("Norwegians in the United States")[0].stem == words("Norway")[0].stem
    assert words("the United States")[-1] == words("the US")[-1]
    assert similarity(stem("france"), stem("germany")) == 0
    assert [word.text for word in words("190 B.C.E. in the U.S.")] == ["190", "bc", "in", "the", "us"]


RIGHT = [
    ("How many died?", "1,200", "About twelve hundred people died."),
    ("When was it built?", "March 5, 1923", "It was built on 5 March 1923."),
    ("Who runs it?", "International Monetary Fund", "It is run by the IMF."),
    ("Who runs it?", "the IMF", "The International Monetary Fund runs it."),
    ("Who wrote it?", "J. R. R. Tolkien", "Tolkien wrote it."),
    ("What role has Egypt played?", "mediator", "Egypt has played a mediating role."),
    ("Who sings?", "Ada Lovelace and Alan Turing", "Alan Turing and Ada Lovelace."),
    ("Is it open?", "yes", "Yes, it is."),
    ("Where is it?", "Paris", "Paris"),
    ("When was the word coined?", "19th century", "The word was coined by William Whewell in 1834."),
    ("When did Bacon live?", "the Middle Ages", "Bacon lived in the 13th century."),
    ("Where was the minister from?", "Norway", "The minister was Norwegian."),
    ("Where did they work?", "on farms", "They worked in agriculture."),
]
WRONG = [
    ("How many died?", "1,200", "About 1,300 people died."),
    ("When was it built?", "1923", "It was built in 1924."),
    ("Who won?", "Denver Broncos", "The Carolina Panthers won."),
    ("What is it made of?", "steel", "It is not made of steel but of copper."),
    ("What is it made of?", "steel", "I do not know."),
    ("Is it open?", "yes", "No, it is closed."),
    ("When was it added?", "In November 2008", "It was added in July 2008."),
    ("When was the word coined?", "19th century", "The word was coined in 1734."),
    ("What is it made of?", "steel", "  "),
]


@pytest.mark.parametrize(("question", "gold", "answer"), RIGHT)
def test_right(question, gold, answer):
    assert offline(question, [gold], answer)


@pytest.mark.parametrize(("question", "gold", "answer"), WRONG)
def test_wrong(question, gold, answer):
    assert not offline(question, [gold], answer)


@pytest.mark.parametrize(
    ("gold", "said", "right"),
    [
        ("the 5th century BC", "in 480 BC", True),
        ("the 5th century BC", "in 480", False),
        ("the 1920s", "in 1929", True),
        ("the 1920s", "in 1930", False),
        ("the 1900s", "in 1930", True),
        ("the Middle Ages", "in the 13th century", True),
        ("the Middle Ages", "in the 16th century", False),
        ("the 13th century", "in the Middle Ages", False),
        ("the 19th century", "with 1834.5 men", True),  # a number is not known to be no year
        ("the 19th century", "with 18 men", False),
        ("1834", "in the 19th century", False),
    ],
)
def test_years_and_the_periods_that_hold_them(gold, said, right):
    found = [within(period, words(said)) >= 0 for period in periods(words(gold))]
    assert found == ([] if gold == "1834" else [right])


def test_synonyms_are_found_by_their_stem():
    assert groups(stem("modification")) & groups(stem("updated"))
    assert not groups(stem("increase")) & groups(stem("decrease"))
    assert groups("xylophone") == frozenset()


def test_the_best_gold_counts():
    assert offline("Who won?", ["Carolina", "Denver"], "It was Denver.")
    assert not offline("Who won?", ["Carolina", "Seattle"], "It was Denver.")
    assert not offline("Who won?", [], "It was Denver.")


def test_it_is_a_grader():
    assert GRADERS["offline"] is offline
    query = Query("When was it built?", ("twenty-five years ago",))
    assert grade(query, "It was built 25 years ago.", offline).correct
    assert not grade(query, "It was built 25 years ago.", GRADERS["exact"]).correct


@given(st.text(), st.text(), st.text())
def test_features_are_finite_and_always_the_same(question, gold, answer):
    named = features(question, gold, answer)
    assert set(named) == {name for name, *_ in shipped().terms}
    assert all(math.isfinite(value) for value in named.values())
    assert 0 <= probability(question, [gold], answer) <= 1


@pytest.mark.parametrize(
    "answer", ["9" * 500, "1" * 20 + " million billion", "a." * 5000, "\n" * 999, "1200s " * 3000]
)
def test_hostile_answers(answer):
    assert not offline("How many?", ["12"], answer)


def weights_json() -> dict:
    return json.loads(files("selfedit.grading").joinpath("weights.json").read_text(encoding="utf-8"))


def test_a_probability_by_hand():
    value = {
        "features": {"a": {"mean": 1, "scale": 2, "weight": 3}},
        "intercept": -1, "threshold": 0.5, "clip": 4,
    }  # fmt: skip
    weights = Weights.from_json(json.dumps(value))
    assert weights.probability({"a": 3}) == pytest.approx(1 / (1 + math.exp(-2)))
    assert weights.probability({"a": 1e9}) == pytest.approx(1 / (1 + math.exp(-11)))
    with pytest.raises(KeyError):
        weights.probability({"b": 1})


def test_broken_weights_are_refused():
    value = weights_json()
    value["intercept"] = float("nan")
    with pytest.raises(ValueError, match="finite"):
        Weights.from_json(json.dumps(value))
    del value["features"]
    with pytest.raises(KeyError):
        Weights.from_json(json.dumps(value))


def test_the_page_shows_what_was_measured():
    """docs/graders.md repeats the numbers that fit_grader.py wrote beside the weights."""
    measured = weights_json()["cross_validated"]["adapter"]
    page = (Path(__file__).parents[2] / "docs" / "graders.md").read_text(encoding="utf-8")
    low, high = measured["interval"]
    gap_low, gap_high = measured["yes_gap_interval"]
    assert (
        f"| `offline` (cross-validated) | {measured['kappa']:.3f} | {low:.3f} to {high:.3f} | "
        f"{measured['agreement']:.1%} | {measured['yes_rate']:.1%} | "
        f"{100 * gap_low:+.1f} to {100 * gap_high:+.1f} |"
    ) in page


def test_agrees_with_the_recorded_judge(shared_json):
    """On what it was fitted on: tells that weights and code belong together, not how good it is."""
    from selfedit.grading.agreement import agreement

    asked = [
        (q["question"], [q["answer"]], q["adapter_answer"], q["adapter_correct"])
        for article in shared_json("recorded/round1_trials.json")["articles"]
        for edit in article["completions"]
        for q in edit["questions"]
    ]
    start = time.process_time()
    correct = [offline(question, golds, answer) for question, golds, answer, _ in asked]
    assert len(asked) / (time.process_time() - start) > 100  # 1,900 on an idle core
    found = agreement(correct, [verdict for *_, verdict in asked])
    assert found.kappa > 0.76
    assert abs(found.yes_rate - found.verdict_yes_rate) < 0.03
