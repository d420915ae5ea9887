from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfedit.domains.knowledge import split_sentences


@pytest.mark.parametrize(
    "sentences",
    [
        ["Dr. Smith came.", "He left."],
        ["Mr. and Mrs. J. R. Jones met Gen. Lee.", "They talked."],
        ["Use fruit, e.g. Apples or pears.", "Eat it."],
        ["It is in the U.S. Army.", "The end."],
        ["He lives in the U.S.", "The army does not."],
        ["It opens at 9 a.m.", "It closes at 5 p.m. on Fridays."],
        ["Pi is 3.14 and e is 2.72.", "Both go on."],
        ["No. 5 is alive.", "No.", "Really no."],
        ["On Jan. 3 it rained.", "It stopped in Feb.", "Then came spring."],
        ['"Stop!" he cried.', "She went on."],
        ["He said \u201cGo.\u201d", "\u201cWhy?\u201d she asked."],
        ["Really?!", "Yes...", "And then it stopped... for good."],
        ["Apples, pears, etc. are fruit.", "We sell pears, etc.", "The rest is gone."],
        ["Acme Inc. Chairman Li left.", "He sold Acme Inc.", "It closed."],
        ["It grew.[12]", "It shrank (a little).", "Then (see Fig. 3) it grew."],
        ["1. The cat sat.", "2. The dog stood."],
        ["In 1990. 20 people came."[:8], "20 people came."],
        ["We took plan B.", "They took ours."],
        ["Ask J. A. Hobson.", "A. Smith knows too."],
        ["\u732b\u304c\u3044\u308b\u3002", "\u72ac\u3082\u3044\u308b\u3002"],
        ["One line", "another line"],
    ],
)
def test_splits(sentences: list[str]) -> None:
    between = "\n" if sentences[0] == "One line" else " "
    assert split_sentences(between.join(sentences)) == sentences


@given(st.text(alphabet="aB.!? \n\"')1U.S\u2026\u3002[]("))
def test_loses_nothing(text: str) -> None:
    sentences = split_sentences(text)
    assert "".join("".join(sentences).split()) == "".join(text.split())
    assert all(sentence == " ".join(sentence.split()) and sentence for sentence in sentences)


@pytest.mark.parametrize("text", [".", "a. ", ".)", ".[1", " ", "! ", ".\u2026 ", "A. "])
def test_linear_on_hostile_runs(text: str) -> None:
    started = time.perf_counter()
    split_sentences(text * (1_000_000 // len(text)))
    assert time.perf_counter() - started < 5


def test_real_text(shared_json: Callable[[str], Any]) -> None:
    contexts = [item["context"] for item in shared_json("squad/eval200.json")]
    sentences = [sentence for context in contexts for sentence in split_sentences(context)]
    assert 900 < len(sentences) < 1050
    short = [sentence for sentence in sentences if len(sentence.split()) < 3]
    assert len(short) < 0.01 * len(sentences)
