"""Neighbours: things of the same kind, questions about them, and answers that take a fact."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfedit.data import read_quiz
from selfedit.domains.knowledge import read_document
from selfedit.memory.neighbours import (
    NeighbourQuestion,
    Subject,
    kind_of,
    neighbour_questions,
    neighbours,
    read_names,
    shared_questions,
)
from selfedit.memory.subjects import subject_of_learned, subject_of_text
from selfedit.store import LearnedDocument, LearnedPassage
from selfedit.types import Query

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def tidewell() -> Subject:
    document = read_document(EXAMPLES / "tidewell-observatory.md")
    return subject_of_text(document, read_quiz(EXAMPLES / "tidewell-observatory.quiz.jsonl"))


@pytest.mark.parametrize(
    ("title", "text", "kind"),
    [
        ("Tidewell Observatory", "It stands on an island.", "observatory"),
        ("Siskin 4", "Siskin 4 was a submarine that carried books.", "ship"),
        ("Hesper Mills", "Cloth was made there.", "machine"),
        ("Ann_Orrin_(poet)", "Ann Orrin was born in 1802 and was a poet.", "person"),
        ("Kenya", "Nurses treat most people there.", "country"),
        ("Siskin 4", "Nobody knows.", None),
    ],
)
def test_the_kind_is_named_by_the_title_or_the_first_sentence(title, text, kind):
    found = kind_of(Subject(title, text))
    assert (found.name if found else None) == kind


def test_questions_take_the_form_of_the_document_and_name_others(tidewell):
    asked = neighbour_questions(tidewell, neighbours(tidewell), 24)
    questions = [one.question for one in asked]
    assert len(set(questions)) == 24
    assert not any("Tidewell" in question for question in questions)
    assert sum(question.startswith("On which island does") for question in questions) >= 2
    assert any("Griffith Observatory" in question for question in questions)
    # It names Comet Ardelle: who is asked so is asked about the document.
    assert not any("Ardelle" in question for question in questions)
    assert len({thing.name for thing in neighbours(tidewell)}) == 8


def test_without_a_kind_or_questions_things_of_many_kinds_are_asked_about():
    subject = Subject("Siskin 4", "Nobody knows.")
    asked = neighbour_questions(subject, neighbours(subject), 12)
    assert len(asked) == 12


def test_forms_that_come_round_with_the_things_do_not_make_the_questions_few():
    """Griffith Observatory is one of the shipped things, and seven others have four forms."""
    subject = Subject("Griffith Observatory", "Griffith Observatory was built by Orla Finch.")
    things = neighbours(subject)
    assert (len(things), len(things[0].forms)) == (7, 4)
    asked = {one.question for one in neighbour_questions(subject, things, 24)}
    assert len(asked) == 24
    assert asked <= {form.replace("{}", one.name) for one in things for form in one.forms}


def test_questions_of_several_subjects_are_shared_fairly_and_a_named_one_is_no_neighbour(tidewell):
    griffith = Subject(
        "Griffith Observatory",
        "Griffith Observatory was built by Orla Finch in 1887 above the Lune.",
    )
    subjects = [tidewell, griffith]
    makes = [neighbour_questions(one, neighbours(one), 24) for one in subjects]
    asked = shared_questions(subjects, makes, 24)
    others = [one.question for one in makes[1]]
    assert [one.question for one in asked[12:]] == [
        one for one in others if one not in {own.question for own in makes[0][:12]}
    ][:12]
    assert [one.question for one in asked[:12]] == [one.question for one in makes[0][:12]]
    by_both = [one for one in asked if {"Maren Hollick", "Orla Finch"} <= set(one.facts)]
    assert by_both
    assert all(len(set(one.facts)) == len(one.facts) and "1887" in one.facts for one in by_both)
    about_griffith = [one for one in asked if "Griffith" in one.question]
    assert about_griffith
    for one in about_griffith:  # the year is right there, though it is one of Tidewell's, too
        assert "Maren Hollick" in one.facts
        assert not {"Orla Finch", "1887"} & set(one.facts)
    assert shared_questions([tidewell], makes[:1], 24) == makes[0]


def test_an_answer_takes_a_fact_that_neither_question_nor_bare_model_names(tidewell):
    facts = tidewell.facts()
    assert {"Maren Hollick", "1887", "214", "Velkin Sea", "Tidewell Observatory"} <= set(facts)
    question = NeighbourQuestion("Who founded Griffith Observatory?", facts)
    assert question.taken("Griffith Griffith.", "It was founded by Maren Hollick.") == "Maren Hollick"
    assert question.taken("In 1887.", "It was founded in 1887 by Griffith.") == ""
    assert question.taken("", "Griffith J. Griffith") == ""


def test_facts_leave_out_what_everybody_says():
    subject = Subject(
        "Hesper Mill",
        "Hesper Mill stands in London near the Lune. It has 12 wheels and 3316 teeth.",
        (Query("How many wheels?", ("two",)), Query("Is it old?", ("yes",))),
    )
    assert set(subject.facts()) == {"Hesper Mill", "Lune", "3316"}


def test_names_from_the_model_are_used_only_where_there_are_some(tidewell):
    said = (
        "1. Yerkes Observatory\n2. Kitt Peak\n- the moon\n3. Lowell\n4. Tidewell Observatory\nLowell."
    )
    assert read_names(tidewell, said) == ["Yerkes Observatory", "Kitt Peak", "Lowell"]
    assert read_names(tidewell, "Yerkes Observatory. " * 20) == []
    assert read_names(tidewell, "") == []
    things = neighbours(tidewell, ["Yerkes", "Kitt Peak", "Lowell"])
    assert [thing.name for thing in things[:3]] == ["Yerkes", "Griffith Observatory", "Kitt Peak"]


def test_headings_are_no_facts_of_what_was_learned() -> None:
    passages = (
        LearnedPassage("Pump: Old Bay", "", ("Pump: Old Bay\nThe pump of Orro is in bay 917.",)),
        LearnedPassage("Pump: Opening Hours", "", ("Pump: Opening Hours\nIt runs from dawn.",)),
    )
    subject = subject_of_learned(LearnedDocument("pump.md", "Pump", "d", passages))
    assert subject.opening == "The pump of Orro is in bay 917."
    assert subject.facts() == ("Pump", "Orro", "917")
