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
)
from selfedit.memory.subjects import subject_of_text
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
