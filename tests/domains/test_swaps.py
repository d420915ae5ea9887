"""Texts about neighbours: a statement under another name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import selfedit
from selfedit.domains.knowledge import Knowledge
from selfedit.domains.knowledge.settings import KnowledgeSettings
from selfedit.domains.knowledge.swaps import NAMES, own_name, swapped
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
    texts = swapped(TITLE, PASSAGE, STATEMENTS, 12)
    assert len(texts) == len(set(texts)) == 12
    for i, (other, statement) in enumerate(texts):
        assert "Garrick" not in statement
        first = other.split()[0]
        if i % 2:
            assert other == f"{first} Lighthouse"
            assert any(name.startswith(f"{first} ") for name in NAMES)
        else:
            assert other in NAMES
        assert statement.replace(other, TITLE).replace(first, "Garrick") in STATEMENTS[:3]
    assert texts == swapped(TITLE, PASSAGE, STATEMENTS, 12)


def test_names_that_share_a_word_with_the_passage_are_not_used():
    last = NAMES[-1]
    passage = PASSAGE + " ".join(["", *(name.split()[1] for name in NAMES[:-1])])
    texts = swapped(TITLE, passage, STATEMENTS, 9)
    assert {other for other, _ in texts} == {last, f"{last.split()[0]} Lighthouse"}
    passage += f" {last}"
    assert swapped(TITLE, passage, STATEMENTS, 9) == ()


def test_too_few_statements_about_the_subject_give_none():
    assert swapped(TITLE, PASSAGE, STATEMENTS[2:], 8) == ()
    assert swapped(TITLE, PASSAGE, STATEMENTS, 0) == ()


def test_leaking_is_not_measured_by_names_that_are_trained_with():
    path = Path(selfedit.__file__).parent / "memory" / "neighbours.json"
    said = json.dumps(json.loads(path.read_text(encoding="utf-8"))["kinds"])
    assert not [name for name in NAMES if name in said]


def test_a_plan_has_them_when_the_settings_ask_for_them():
    task = Task("t", TITLE, PASSAGE)
    edit = SelfEdit("t", 0, (), tuple(f"It is said: {statement}" for statement in STATEMENTS))
    settings = KnowledgeSettings(strategy="implications", neighbours=6)
    near = Knowledge(settings).parse(task, edit).neighbours
    assert len(near) == 6
    assert all(one.prompt is None and one.text.split("\n")[0] in NAMES for one in near[::2])
    mixed = KnowledgeSettings(strategy="implications", neighbours=6, form="mixed")
    turns = [one.prompt for one in Knowledge(mixed).parse(task, edit).neighbours]
    assert [turn is None for turn in turns] == [True, True, False, False, True, True]
    assert turns[2] is not None
    assert turns[2].text.removeprefix("Tell me about ")[:-1] in NAMES
    off = KnowledgeSettings(strategy="implications")
    assert Knowledge(off).parse(task, edit).neighbours == ()
    assert off.digest() != settings.digest()
