"""Normalisation and the matches made on it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfedit.grading import GRADERS, contains_gold, exact_match, f1, grade, normalise
from selfedit.types import Query


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Denver\nBroncos!", "denver broncos"),
        ("an apple a day", "apple day"),
        ("U.S.", "us"),
        ("Don't", "dont"),
        ("13th-century", "13th century"),
        ("24\u201310", "24 10"),
        ("1,200,000", "1200000"),
        ("1,2 and 1990,19", "1 2 and 1990 19"),
        ("3.5%", "3.5"),
        ("-5 degrees", "-5 degrees"),
        ("\u22125", "-5"),
        ("$5 or \u20ac5", "5 or 5"),
        ("Japan\u2019s cars", "japan cars"),
        ("the 1990's", "1990s"),
        ("\uff21\uff22\uff23 \ufb01sh", "abc fish"),
        ("Paris,France", "paris france"),
        ("?!", ""),
    ],
)
def test_normalise(text: str, expected: str) -> None:
    assert normalise(text) == expected


@given(st.text())
def test_normalise_is_idempotent_but_for_what_it_uncovers(text: str) -> None:
    once = normalise(text)
    assert once == " ".join(once.split())
    assert exact_match([text], text) or not text.strip()


@pytest.mark.parametrize(
    ("golds", "answer", "expected"),
    [
        (["art"], "They had a party.", False),
        (["art"], "They loved art.", True),
        (["1200"], "About 1,200 people came.", True),
        (["35"], "It was 3.5 metres.", False),
        (["5"], "It was -5 degrees.", False),
        (["Vienna", "Wien"], "In Wien, of course.", True),
        (["the White House"], "It is white house territory", True),
        (["New York"], "York is new", False),
        (["Denver"], "", False),
        (["Denver"], " \n", False),
        (["The"], "The cat sat", False),  # a gold of nothing but an article
        (["The"], "the.", True),
        (["A"], "Vitamin A and the rest", False),
        (["+"], "+", True),
        (["+"], "-", False),
        ([""], "", False),
    ],
)
def test_contains(golds: list[str], answer: str, expected: bool) -> None:
    assert contains_gold(golds, answer) is expected


def test_exact_and_f1_take_the_nearest_gold() -> None:
    golds = ["Danes and Germans", "the Danes"]
    assert exact_match(golds, "Danes.")
    assert not exact_match(golds, "Danes and Swedes")
    assert f1(golds, "Danes and Swedes") == pytest.approx(2 / 3)
    assert f1(golds, "danes") == 1.0
    assert f1(golds, "Romans") == 0.0
    assert f1(golds, "") == 0.0
    assert f1(["The"], "the") == 1.0
    # Words count as often as they stand: "a b" against "b b" shares one.
    assert f1(["red blue"], "blue blue") == 0.5


@pytest.mark.parametrize("name", GRADERS)
def test_no_grader_likes_an_empty_answer(name: str) -> None:
    for gold in ("Paris", "The", "!"):
        graded = grade(Query("Where?", (gold,)), "  ", GRADERS[name])
        assert not graded.correct
        assert not graded.exact
        assert graded.f1 == 0.0


def test_an_empty_answer_is_wrong_even_for_a_lenient_grader() -> None:
    assert not grade(Query("Where?", ("Paris",)), "", lambda *_: True).correct


def test_graders_differ_where_they_should() -> None:
    query = Query("Where?", ("Santa Clara, California",))
    told = "It took place in Santa Clara, California, in 2016."
    assert {name: g(query.question, query.answers, told) for name, g in GRADERS.items()} == {
        "offline": True,
        "contains": True,
        "exact": False,
        "f1": True,
    }
    assert {name: grade(query, "Santa Clara", g).correct for name, g in GRADERS.items()} == {
        "offline": True,
        "contains": False,
        "exact": False,
        "f1": True,
    }
    graded = grade(query, " santa clara california ")
    assert (graded.correct, graded.exact, graded.f1) == (True, True, 1.0)
    assert (graded.gold, graded.answer) == ("Santa Clara, California", "santa clara california")
