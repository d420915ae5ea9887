"""Words in any script (selfedit.words)."""

# ruff: noqa: RUF001
from __future__ import annotations

import re
import time

import pytest

from selfedit.words import is_unspaced, joined, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't pay 1,200.5 to v1.2, a_b; 3.", "Don|t|pay|1,200.5|to|v1.2|a_b|3"),
        ("灯台は1912年に建った。", "灯|台|は|1912|年|に|建|っ|た"),
        ("ベル・コーヒーを3杯", "ベル|コーヒー|を|3|杯"),
        ("등대는 1912년에", "등대는|1912년에"),
        ("ประภาคาร ๑๒", "ป|ร|ะ|ภ|า|ค|า|ร|๑๒"),
        ("मीरा की दूरबीन।", "मीरा|की|दूरबीन"),
        ("كَتَبَهُ لِمُحَمَّد؟", "كَتَبَهُ|لِمُحَمَّد"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("cafe\u0301 noir", "cafe\u0301|noir"),
        ("𠀀𠀁 x", "𠀀|𠀁|x"),
        ("\u200d \u0301 -- ¡!", ""),
    ],
)
def test_words_of_many_scripts(text, expected):
    assert "|".join(words(text)) == expected


def test_english_is_split_as_ever_and_in_linear_time():
    text = "The Heron (built 1931) isn't Brill's_only 3.5-ton boat; see v2.10, p. 1,000!" * 20
    assert words(text) == re.findall(r"\w+(?:[.,]\d+)*", text)
    start = time.process_time()
    for unit in ("a", "的", "ト", "\u0301", "1,", "\u200d"):
        words(unit * 100_000)
    assert time.process_time() - start < 60


def test_scripts_without_spaces_are_known_and_joined_without_them():
    assert is_unspaced("the 塔")
    assert not is_unspaced("등대 and मीरा ๑")
    assert joined(words("灯台は Beacon です")) == "灯台は Beacon です"
    assert joined(["two", "boats"]) == "two boats"
