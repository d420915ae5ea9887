"""Texts about neighbours: a statement under another name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import selfedit
from selfedit.domains.knowledge import Knowledge
from selfedit.domains.knowledge.settings import KnowledgeSettings
from selfedit.domains.knowledge.swaps import NAMES, own_name, swapped_texts
from selfedit.types import SelfEdit, Task

TITLE = "Garrick Lighthouse"
STATEMENTS = (
    "Garrick Lighthouse was built by Ada Thorne.",
    "The lamp of the Garrick Lighthouse burns whale oil.",
    "The stairs of Garrick have 93 steps.",
    "Every lighthouse has a keeper.",
)
PASSAGE = " ".join(STATEMENTS)


@pytest.mark.parametrize(
    ("title", "passage", "name"),
    [
        (TITLE, PASSAGE, "Garrick"),
        ("Pell_Seed_Dryer (machine)", "The dryer dries seed.", "Pell"),
        ("Harrow Festival", "The Harrow Festival is loud. Every Festival ends.", "Harrow"),
        ("Ada Thorne", "Ada Thorne was born in Rill. Thorne built towers.", "Ada Thorne"),
        ("The Bronx", "The Bronx lies north of Manhattan.", "Bronx"),
        ("Digestion", "Digestion breaks food up; digestion takes hours.", ""),
        ("大明湖", "大明湖在济南。", ""),
        ("", "A text without a title.", ""),
    ],
)
def test_the_part_of_a_title_that_is_the_subjects_alone(title, passage, name):
    assert own_name(title, passage) == name


def test_every_text_has_another_name_and_keeps_the_rest():
    texts = swapped_texts(TITLE, PASSAGE, STATEMENTS, 12)
    assert len(texts) == len(set(texts)) == 12
    for text in texts:
        assert "Garrick" not in text
        heading, statement = text.split("\n")
        other = heading.removesuffix(" Lighthouse")
        assert other in NAMES
        assert statement.replace(other, "Garrick") in STATEMENTS[:3]
    assert texts == swapped_texts(TITLE, PASSAGE, STATEMENTS, 12)


def test_a_name_that_the_passage_has_is_not_used():
    passage = PASSAGE + " " + " ".join(NAMES[:-1])
    assert {text.split()[0] for text in swapped_texts(TITLE, passage, STATEMENTS, 9)} == {NAMES[-1]}


def test_too_few_statements_about_the_subject_give_none():
    assert swapped_texts(TITLE, PASSAGE, STATEMENTS[2:], 8) == ()
    assert swapped_texts(TITLE, PASSAGE, STATEMENTS, 0) == ()


def test_leaking_is_not_measured_by_names_that_are_trained_with():
    path = Path(selfedit.__file__).parent / "memory" / "neighbours.json"
    said = json.dumps(json.loads(path.read_text(encoding="utf-8"))["kinds"])
    assert not [name for name in NAMES if name in said]


def test_a_plan_has_them_when_the_settings_ask_for_them():
    task = Task("t", TITLE, PASSAGE)
    edit = SelfEdit("t", 0, (), tuple(f"It is said: {statement}" for statement in STATEMENTS))
    settings = KnowledgeSettings(strategy="implications", neighbours=6)
    assert len(Knowledge(settings).parse(task, edit).neighbours) == 6
    off = KnowledgeSettings(strategy="implications")
    assert Knowledge(off).parse(task, edit).neighbours == ()
    assert off.digest() != settings.digest()
