"""Which passage a question concerns, and that most questions concern none."""

from __future__ import annotations

import random

import pytest

from selfedit.memory.continual_kinds import RoutedMemory
from selfedit.memory.questions import general_questions
from selfedit.memory.router import RULES, Router, names
from selfedit.model.fake import FakeModel

LAMPS = "Lamps of Orro\nThe lamps of Orro burn thistle oil, and are lit by the warden Ilda Prunt."
BOATS = "Boats of Velm\nThe boats of Velm are painted saffron in the spring by the boatwrights."
OWLS = "Owls of Hask\nThe Hask owl eats only blue moths and nests in clock towers."


@pytest.mark.parametrize("texts", [[LAMPS], [LAMPS, BOATS, OWLS]])
def test_a_question_finds_its_passage_in_any_library_and_others_find_none(texts):
    router = Router(texts)
    for question in ("What do the lamps of Orro burn?", "Who lights the lamps of Orro?"):
        assert [hit.place for hit in router.find(question)] == [0]
    for question in ("What is the capital of Kenya?", "How many days are in a week?", "", "Who is it?"):
        assert router.find(question) == []
    assert Router([]).find("What do the lamps of Orro burn?") == []


def test_words_meet_in_other_forms_and_other_scripts():
    assert Router([OWLS]).find("In which clock tower does the owl of Hask nest?")
    chinese = Router(["灯\n奥罗的灯烧蓟油。", "船\n维尔姆的船漆成橙黄色。"])
    assert [hit.place for hit in chinese.find("奥罗的灯烧什么油?")] == [0]


def test_of_two_passages_that_cover_a_question_alike_the_later_one_comes_first():
    later = "Lamps of Orro\nThe lamps of Orro burn sunflower oil since the fair, as a letter has it."
    question = "What do the lamps of Orro burn?"
    assert [hit.place for hit in Router([LAMPS, later]).find(question, most=2)] == [1, 0]
    assert [hit.place for hit in Router([later, LAMPS]).find(question, most=2)] == [1, 0]
    partly = "Lamps of Tarn\nThe lamps of Tarn burn sunflower oil."
    assert [hit.place for hit in Router([LAMPS, partly]).find(question)] == [0]


def test_a_name_that_the_passage_lacks_leaves_the_question_alone():
    text = "Tidewell Observatory\nTidewell Observatory was founded on a hill by Dorit Amberley in 1887."
    router = Router([text])
    for own in ("Who founded Tidewell Observatory?", "Who founded it on a hill?", "Dorit Amberley?"):
        assert router.find(own), own
    for other in ("Who founded the Griffith Observatory?", "Griffith Observatory: who founded it?"):
        assert not router.find(other), other
    # One that names the subject concerns it, whatever else it names.
    assert router.find("Did Galileo found Tidewell Observatory?")
    # What shows no names is as it was: small letters, a heading, and capitals of another language.
    assert router.find("who founded the griffith observatory?")
    assert router.find("Who Founded The Hilltop Observatory First?")
    german = Router(["Sternwarte Tidewell\nDie Sternwarte liegt auf einem Berg und hat drei Kuppeln."])
    assert german.find("Wie viele Kuppeln hat die Sternwarte auf dem Land?")


def test_what_is_stored_of_a_router_is_stored_under_its_rules(monkeypatch):
    memory = RoutedMemory(FakeModel(), trainings=None)
    before = memory.key
    monkeypatch.setattr("selfedit.memory.continual_kinds.RULES", (*RULES[:-1], 1.0))
    assert memory.key != before


def test_names_of_a_question():
    assert names("Who founded the Griffith Observatory?") == {"griffith", "observatory"}
    asked = "Topic: Owls\nName the owl. Microsoft Word or Paint?"
    assert names(asked) == {"microsoft", "word", "paint"}
    assert names("") == names("who?") == set()


@pytest.mark.parametrize(
    ("passages", "found", "left_alone"), [(1, 0.955, 0.98), (8, 0.925, 0.95), (200, 0.86, 0.84)]
)
def test_held_out_articles_and_general_questions(shared_json, passages, found, left_alone):
    """The figures of docs/memory.md, a little below what was measured."""
    contexts = shared_json("squad/eval200.json")
    general = [own.query.question for own in general_questions()]
    right = asked = alone = others = 0
    draw = random.Random(0)
    for at in range(0, len(contexts), passages):
        own = contexts[at : at + passages]
        router = Router(f"{one['title'].replace('_', ' ')}\n{one['context']}" for one in own)
        for place, one in enumerate(own):
            for query in one["questions"]:
                asked += 1
                right += [hit.place for hit in router.find(query["question"])] == [place]
        for question in draw.sample(general, max(10, len(general) * passages // 200)):
            others += 1
            alone += not router.find(question)
    assert right / asked >= found
    assert alone / others >= left_alone
