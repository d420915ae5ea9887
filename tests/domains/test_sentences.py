# ruff: noqa: RUF001
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


@pytest.mark.parametrize(
    "sentences",
    [
        ["灯台は「白鯨。」と呼ばれた。", "高い！", "なぜ?", "海のため。"],
        ["灯塔由陈海建造。", "“好。”", "她说。", "它很高吗？", "是的。"],
        ["등대는 1912년에 세워졌다.", "누가 세웠나요?", "이수진이다."],
        ["ประภาคารสร้างโดยสมหญิง ปี 2455", "โคมไฟหลักชื่อว่าดาวเหนือ"],
        ["डॉ. मीरा ने इसे बनाया।", "यह ऊँचा है।", "क्यों?"],
        ["مینار ۱۹۱۲ میں بنا۔", "کس نے بنایا؟", "احمد نے۔"],
        ["بناه د. سامي سنة 1912.", "هل هو عال؟", "نعم!"],
        ["မီးပြတိုက်သည်။", "မြင့်သည်။"],
        ["ግንቡ ረጅም ነው።", "ማን ሠራው፧"],
        ["Ποιος τον έχτισε;", "Ο Νίκος."],
        ["Der Turm wurde am 4. Mai 1912 von Dr. Voss eröffnet.", "Er ist z. B. nachts zu sehen."],
        ["Im 19. Jahrhundert stand er in der Hafenstr. 5.", "Dann zog er um."],
        ["König Ludwig II. Albrecht kam um 1912.", "Die Lampe war neu.", "„Schön.“", "Er ging."],
        ["M. Duval habite av. Foch, p. ex. en été.", "Il part le 3.", "Elle reste."],
        ["El Sr. Gil y la Dra. Paz viven en la Avda. Sur.", "¿Quién es?", "Nadie."],
        ["Башня построена в 1912 г. на ул. Морской.", "И т. д.", "Она высокая."],
        ["Wieża stoi przy ul. Morskiej, tj. obok portu.", "W 1912 r. była nowa."],
        ["the tower was built by ida voss.", "the lamp is new.", "is it high?", "yes, e.g. at night."],
        [
            "It grew.¹",
            "It shrank.[a]",
            "It stayed.*",
            "It fell.[note 4]",
            "Then came rain.12",
            "It rose.",
        ],
        ["See Fig.3 The plan.", "It ends."],
    ],
)
def test_sentences_of_other_languages(sentences: list[str]) -> None:
    wide = sentences[0][-1] in "\u3002\u104b"
    assert split_sentences(("" if wide else " ").join(sentences)) == sentences


def test_what_has_no_full_stops_is_cut_between_clauses() -> None:
    clause = "the mill stands by the river in the old part of the town with its two wheels of oak "
    pieces = split_sentences((clause + "and ") * 30)
    assert max(len(piece.split()) for piece in pieces) <= 40
    assert all(piece.startswith("and the mill") for piece in pieces[1:])
    assert " ".join(pieces).split() == ((clause + "and ") * 30).split()
    sentence = "\u706f\u5854\u5f88\u9ad8\u5927\uff0c" * 100
    pieces = split_sentences(sentence)
    assert "".join(pieces) == sentence
    assert all(piece.endswith("\uff0c") and len(piece) < 160 for piece in pieces)
    whole = "word " * 79 + "end."
    assert split_sentences(whole) == [whole]


@given(st.text(alphabet="aB.!? \n\"')1U.S\u2026\u3002[]("))
def test_loses_nothing(text: str) -> None:
    sentences = split_sentences(text)
    assert "".join("".join(sentences).split()) == "".join(text.split())
    assert all(sentence == " ".join(sentence.split()) and sentence for sentence in sentences)


@pytest.mark.parametrize("text", [".", "a. ", ".)", ".[1", " ", "! ", ".\u2026 ", "A. "])
def test_linear_on_hostile_runs(text: str) -> None:
    started = time.process_time()
    split_sentences(text * (1_000_000 // len(text)))
    assert time.process_time() - started < 60


def test_real_text(shared_json: Callable[[str], Any]) -> None:
    contexts = [item["context"] for item in shared_json("squad/eval200.json")]
    sentences = [sentence for context in contexts for sentence in split_sentences(context)]
    assert 900 < len(sentences) < 1050
    short = [sentence for sentence in sentences if len(sentence.split()) < 3]
    assert len(short) < 0.01 * len(sentences)
