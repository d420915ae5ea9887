"""Blanks in a document's own sentences: what is blanked, how it is asked, what counts as right."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfedit.domains.knowledge import (
    Knowledge,
    cloze_items,
    gold_reply,
    read_document,
    split_passages,
    split_quiz,
    split_sentences,
)
from selfedit.domains.knowledge.cloze import BLANK, ENOUGH, PER_PASSAGE, goes_on_with
from selfedit.domains.knowledge.spans import find_spans, words_of
from selfedit.grading import GRADERS, normalise
from selfedit.model.prompts import render
from selfedit.model.tiny import byte_tokenizer
from selfedit.types import Query, Task

ROOT = Path(__file__).parents[2]


def golds(sentence: str, title: str = "") -> list[str]:
    spans = find_spans(sentence, title, Counter(words_of(sentence)))
    return [sentence[span.start : span.end] for span in spans]


def task(text: str, title: str = "Tidewell Observatory") -> Task:
    return Task("t", title, text)


@pytest.mark.parametrize(
    ("sentence", "wanted"),
    [
        ("The abbey was founded on 12 March 1887 by monks.", "12 March 1887"),
        ("The abbey was sacked on March 12, 1887.", "March 12, 1887"),
        ("The abbey has held 1,200.5 books since then.", "1,200.5"),
        ("The tower leans by 3.5% to the west.", "3.5%"),
        ("The war of the counts lasted from 1939\u201345.", "1939\u201345"),
        ("It was then sold to Maren van der Hollick for nothing.", "Maren van der Hollick"),
        ("The ship docked at the Isle of Man last.", "Isle of Man"),
        ("The letter was signed by J. R. Smith in ink.", "J. R. Smith"),
        ("The treaty with the U.S. Navy ended there.", "U.S. Navy"),
        ('The keeper calls the bell "old grey hen" at night.', "old grey hen"),
        ("Keys are kept in docs/keys.md since spring.", "docs/keys.md"),
        ("Стены Кремля построил Аристотель Фиораванти.", "Аристотель Фиораванти"),
        ("東京タワーは1958年に建設された。", "1958"),
        ("この本は「風の谷」という題である。", "風の谷"),
        ("東京タワーはNHKの放送に使われた。", "NHK"),
        ("ताजमहल का निर्माण शाहजहाँ ने करवाया था", "शाहजहाँ"),
        ("بُني الهرم الأكبر في عام 2560 قبل الميلاد", "2560"),
    ],
)
def test_details_are_found_whole(sentence: str, wanted: str) -> None:
    found = [gold for gold in golds(sentence) if gold in wanted or wanted in gold]
    assert found[0] == wanted


def test_details_come_first_and_what_gives_itself_away_not_at_all() -> None:
    sentence = "The dome of Tidewell is covered with tin from Orrsay, as all of Tidewell knows."
    found = golds(sentence, "Tidewell Observatory")
    assert found[0] == "Orrsay"
    assert not any("Tidewell" in gold for gold in found), "named twice, and by the title"
    assert "The" not in found
    assert "dome" not in found, "nothing stands before it that says what is spoken of"
    assert golds("It is old Juniper.", "Old Juniper") == []
    assert golds("The keeper [12] sleeps [note 3].") == ["sleeps"]


def test_a_pronoun_and_a_word_that_recurs_are_worth_less() -> None:
    counts = Counter({"orrsay": 5, "velkin": 1})
    spans = find_spans("The mail boat from Orrsay lands near Velkin.", "", counts)
    assert [span.worth for span in spans] == sorted((s.worth for s in spans), reverse=True)
    by_text = {s.start: s.worth for s in find_spans("She sailed from Orrsay then.", "", Counter())}
    named = {s.start: s.worth for s in find_spans("Ida sailed from Orrsay then.", "", Counter())}
    assert by_text[16] == pytest.approx(named[16] - 2)
    assert spans[0].start == "The mail boat from Orrsay lands near ".__len__()


def test_one_blank_a_sentence_first_and_twelve_where_there_are_fewer() -> None:
    for name in ("tidewell-observatory", "marrowtide-festival", "pellworth-seed-dryer"):
        passages = split_passages(read_document(ROOT / "examples" / f"{name}.md"))
        items = cloze_items(passages)
        assert len(items) == ENOUGH
        counts = Counter(item.sentence for item in items)
        assert set(counts) == set(split_sentences(passages[0].context))
        assert max(counts.values()) == 2
    long = task(" ".join(f"The tower of day {i} has {i + 100} steps of Granite{i}." for i in range(60)))
    other = task(
        " ".join(f"The bell of day {i} is called Brannoch{i} there." for i in range(60)), "Bells"
    )
    items = cloze_items([long, other])
    assert Counter(item.title for item in items) == {long.title: PER_PASSAGE, "Bells": PER_PASSAGE}
    assert len({item.sentence for item in items}) == len(items)
    assert len({item.sentence for item in cloze_items([long])}) == ENOUGH


def test_every_item_can_be_put_together_again() -> None:
    for path in (ROOT / "README.md", ROOT / "docs" / "performance.md", *ROOT.glob("examples/*.md")):
        passages = split_passages(read_document(path))
        items = cloze_items(passages)
        assert len(items) >= 5
        sentences = " ".join(" ".join(passage.context.split()) for passage in passages)
        for item in items:
            query = item.query
            assert query.question.count(BLANK) == 1
            assert query.question.replace(BLANK, query.gold) == item.sentence
            assert item.sentence in sentences
            said = f" {normalise(query.question.replace(BLANK, ' '))} {normalise(item.title)} "
            assert f" {normalise(query.gold)} " not in said, "not given away"


def test_questions_headings_code_and_lists_are_no_statements() -> None:
    text = (
        "Who built the tower of Orrsay? This is how it works: \nfor x in range(10) { print(x); }\n"
        "See https://example.org/a for the tower.\nYes, indeed.\nWhen and how it is done."
    )
    assert cloze_items([task(text)]) == ()


SCRIPTS = st.text(
    st.sampled_from("Aa1 .,\u201c\u201d\"'-_[]年東京กขิ।ش\u0301\u2029\n\ud800?!%$:/\u2013"), max_size=80
)


@settings(max_examples=100, deadline=None)
@given(SCRIPTS)
def test_no_text_is_too_odd(text: str) -> None:
    for item in cloze_items([task(text, "T")]):
        parts = item.query.question.split(BLANK)
        assert item.gold.join(parts) == item.sentence
        assert item.gold.strip() == item.gold != ""
        assert item.gold != item.sentence


@pytest.mark.parametrize(
    "piece", ["a", "A ", "1", "1.", "'", "東", "a.", "A. ", '"', "[1", "a-", "$", "1:"]
)
def test_long_junk_takes_linear_time(piece: str, monkeypatch) -> None:
    """Calls of Python functions, at two sizes: twice the text, twice the calls, and no more."""
    counts = []
    for size in (500, 1_000):
        calls = 0

        def count(frame, event, arg) -> None:
            nonlocal calls
            calls += event == "call"

        before = sys.getprofile()
        sys.setprofile(count)
        try:
            cloze_items([task(size * piece)])
        finally:
            sys.setprofile(before)
        counts.append(calls)
    assert counts[1] <= 2.5 * counts[0] + 100


def test_it_is_asked_by_a_text_that_breaks_off() -> None:
    query = Query(f"The dome is of {BLANK} tin.", ("hammered",), "Tidewell", form="cloze")
    prompt = Knowledge().question(query)
    assert prompt.prefix == "The dome is of"
    assert prompt.kind == "question"
    assert gold_reply(query) == " hammered"
    assert gold_reply(Query(f"東京は{BLANK}年", ("1958",), form="cloze")) == "1958"
    tokenizer = byte_tokenizer(chat=False)
    rendered = tokenizer.decode(render(tokenizer, prompt, "plain").ids)
    assert rendered == (
        f"Question: Complete this sentence about Tidewell: The dome is of {BLANK} tin.\n"
        "Answer: The dome is of"
    )
    assert "about" not in Knowledge().question(Query(f"It is {BLANK}.", ("x",), form="cloze")).text


@pytest.mark.parametrize(
    ("gold", "reply", "right"),
    [
        ("hammered", "hammered tin.", True),
        ("Maren Hollick", " the Maren Hollick, who", True),
        ("1,200", "1200 books", True),
        ("83", "8", False),
        ("83", "830 metres", False),
        ("tin", "hammered tin", False),
        ("tin", "", False),
        ("建設", "建設された。", True),
        ("建設", "中に建設された。", False),
        ("1958", "1958年に", False),
    ],
)
def test_right_is_what_begins_with_the_words(gold: str, reply: str, right: bool) -> None:
    assert goes_on_with([gold], reply) is right


def test_blanks_have_a_rule_of_their_own_whatever_the_grader() -> None:
    both = (
        Query("What is it?", ("tin",)),
        Query(f"It is {BLANK}.", ("tin",), form="cloze"),
        Query("What else?", ("lead",)),
    )
    for grader in (GRADERS["contains"], GRADERS["exact"]):
        score = Knowledge(grader=grader).score(Task("", "", "", both), ["tin", "tin and lead", "tin"])
        assert [answer.correct for answer in score.answers] == [True, True, False]
        assert [answer.question for answer in score.answers] == [query.question for query in both]


def test_blanks_of_a_sentence_are_held_out_together() -> None:
    queries = [Query(f"Q{i}", ("a",)) for i in range(12)]
    sources = [f"sentence {i // 2}" for i in range(12)]
    for seed in range(20):
        halves = split_quiz(queries, seed, 8, sources)
        sides = [{sources[queries.index(query)] for query in half} for half in halves]
        assert [len(half) for half in halves] == [6, 6]
        assert not sides[0] & sides[1]
    assert split_quiz(queries, 0, 8, ["one"] * 12) == (tuple(queries), ())
    assert split_quiz(queries, 3, 8) == split_quiz(queries, 3, 8, list(map(str, range(12))))


def test_nineteen_of_twenty_documents_have_five_items(shared_json) -> None:
    items = [
        len(cloze_items([Task("", entry["title"], entry["context"])]))
        for entry in shared_json("squad/train_round1.json")
    ]
    assert len(items) == 100
    assert sum(count >= 5 for count in items) >= 95
