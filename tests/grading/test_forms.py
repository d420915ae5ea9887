"""The same answer in another form, in any script; and answers that are not the same."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfedit.grading import GRADERS, exact_match, f1
from selfedit.grading.forms import held, same
from selfedit.grading.numerals import han, leading
from selfedit.grading.tokens import readings
from selfedit.grading.written import versions

# Each line: a gold, and answers that hold it.
HELD = {
    "14 July 1901": ("on July 14th, 1901", "1901-07-14", "the 14th of July 1901", "14.07.1901",
                     "14/7/1901", "7/14/1901", "1901年7月14日", "le 14 juillet 1901", "Jul. 14, 1901"),
    "1901-07-14": ("July 14, 1901",),
    "July 1901": ("on 14 July 1901", "14.7.1901"),
    "3/4/1901": ("3 April 1901", "March 4, 1901"),
    "9. Mai 1833": ("May 9, 1833",),
    "9": ("nine hens", "9.0", "neun", "有九只", "\uff19"),
    "forty-two": ("42", "in 42 houses"),
    "1,250": ("1250", "1 250 people", "1.250 Einwohner", "one thousand two hundred and fifty", "1'250"),
    "2.5 million": ("2,500,000", "2 500 000", "two and 2.5 mn", "2.5m or 2.5 million"),
    "7 km": ("7km", "seven kilometres", "7,000 metres", "a 7-kilometre walk", "7"),
    "7": ("7 km", "7%", "$7"),
    "40 %": ("forty percent", "40 per cent", "40%"),
    "$12": ("12 dollars", "twelve USD"),
    "-8 °C": ("minus 8 degrees Celsius", "\u22128 degrees", "-8"),
    "half an hour": ("30 minutes",),
    "the twenty-third": ("the 23rd",),
    "v3.4": ("version 3.4", "3.4 v3.4"),
    "3.4": ("v3.4",),
    "Malmö": ("in Malmo", "Malmoe"),
    "Malmoe": ("in Malmö",),
    "Łódź": ("in Lodz",),
    "Cafe\u0301": ("a café",),
    "Émile": ("EMILE",),
    "l'Escaut": ("Escaut",),
    "赵云": ("由赵云于1901年建成。",),
    "三十五": ("35只",),
    "김철수": ("김철수가 지었다", "김철수입니다"),
    "สมหญิง": ("สร้างโดยสมหญิง",),
    "गीता": ("इसे गीता ने बनाया।",),
    "سليم": ("بناه سَلِيم", "هو لسليم", "وسليم"),
    "المتحف": ("في المتحف", "للمتحف"),
    "חיפה": ("בחיפה", "ומחיפה"),
    "١٩٠١": ("1901",),
}  # fmt: skip
NOT_HELD = {
    "14 July 1901": ("24 July 1901", "4 July 1901", "14 July", "1901"),
    "9": ("-9", "9.5", "19", "ninety-nine", "9th", "B9", "9 million", "the ninth"),
    "7 km": ("7 miles", "7 km/h", "70 km", "7 kg"),
    "$12": ("12 euros", "12 %"),
    "250": ("1 250 people", "1,250", "two hundred and fifty-one"),
    "art": ("party", "art\u00edculo"),
    "가": ("나",),
    "سر": ("سرير",),
    "23rd": ("23 of them",),
    "5": ("version 1.2.3rd", "10.0.0.5th", f"the {'9' * 400}th"),
    "Ann": ("Anna", "Annual"),
}


@pytest.mark.parametrize(("gold", "answer"), [(g, a) for g, all_ in HELD.items() for a in all_])
def test_other_forms(gold: str, answer: str) -> None:
    assert held(gold, answer) is not None


@pytest.mark.parametrize(("gold", "answer"), [(g, a) for g, all_ in NOT_HELD.items() for a in all_])
def test_others(gold: str, answer: str) -> None:
    assert held(gold, answer) is None


def test_exact_and_overlap_by_tokens() -> None:
    assert same("3 May 1850", "May 3rd, 1850.")
    assert exact_match(["two"], "2")
    assert not same("5 km", "5 miles")
    assert not same("赵云", "赵云于")
    assert f1(["赵云"], "赵云于一") == pytest.approx(2 * 2 / (2 + 4))
    assert f1(["three red hens"], "3 hens") == pytest.approx(0.8)


def test_a_place_is_where_it_stands() -> None:
    found = held("red hen", "One hen. A red hen, red hens.")
    assert found is not None
    ((first, last),) = found.spans
    assert [token.text for token in found.said.tokens[first : last + 1]] == ["red", "hen"]
    assert found.said.tokens[first].sentence == 1


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("three hundred and five", 305),
        ("two thousand five hundred", 2500),
        ("one million two hundred thousand and one", 1_200_001),
        ("twelve hundred", 1200),
        ("ninety nine", 99),
        ("2 dozen", 24),
    ],
)
def test_number_words(words: str, value: float) -> None:
    split = words.split()
    assert leading(split, 0) == (value, len(split))


def test_numbers_end_where_another_begins() -> None:
    assert leading("five six".split(), 0) == (5, 1)
    assert leading("twenty thirty".split(), 0) == (20, 1)
    assert han("二千零六") == 2006
    assert han("一九〇一") == 1901
    assert han("三万五千") == 35000
    assert han("山") is None


def test_letters_that_marks_make_stay_others() -> None:
    for one, other in (("か", "が"), ("के", "क"), ("ที่", "ที")):
        assert held(one, other) is None
        assert held(one, one) is not None


@given(st.text(max_size=40))
def test_any_text_holds_itself_if_it_says_anything(text: str) -> None:
    assert list(versions(text)) == list(versions(text))
    if readings(text)[0].tokens:
        assert same(text, text)
        assert held(text, text) is not None


LONG = " ".join(f"word{i} Name{i % 97} {i}" for i in range(1800))


@pytest.mark.parametrize("name", GRADERS)
@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        (LONG, LONG + " x"), (LONG, LONG[::-1]), ("Ada", "Ada, " * 6_000),
        ("x " * 15_000, "x " * 15_001), ("5 km", "5 m, " * 6_000),
        ("IMF " * 7_000, "Int Mon Fund " * 2_000), ("1," * 9_000, "1,1," * 7_000),
    ],
)  # fmt: skip
def test_time_grows_with_the_length(name: str, gold: str, answer: str) -> None:
    """30,000 characters took six seconds, 100,000 over a minute: n²."""

    def seconds(part: int) -> float:
        start = time.process_time()
        GRADERS[name]("What is it?", [gold[: len(gold) // part]], answer[: len(answer) // part])
        return time.process_time() - start

    seconds(8)  # loads what it needs
    quarter = seconds(4)  # some of it is cached: two seconds on a busy machine are not counted
    assert seconds(1) < 8 * quarter + 6
