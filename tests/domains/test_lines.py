"""Which lines of a text stand for themselves: lists of facts, numbered items, chats, drawn tables."""

from __future__ import annotations

import time

import pytest

from selfedit.domains.knowledge import text_document
from selfedit.domains.knowledge.lines import paragraphs_of


@pytest.mark.parametrize(
    ("text", "paragraphs"),
    [
        ("Keeper: Ida Voss\nOil: thistle\nLit: 1802", 3),
        ("守塔人\uff1a艾达\n灯油\uff1a蓟油", 2),
        ("1. Trim the wick.\n2. Fill the lamp\nwith thistle oil.\n3) Light it.", 3),
        ("[03.05.21, 10:00] Ida: the lamp is lit\n[03.05.21, 10:01] Bo: good", 2),
        ("10:01 the gate opens\n10:05 the lamp is lit\n10:09 the gate closes", 3),
        ("1. Trim the wick.\n\u2028\n2. Fill it.\n\u2028\n3. Light it.", 3),
        ("Needed:\n200 g of wick\n3 lamps\n1 ladder", 4),
        # Prose, whatever it looks like.
        ("The keeper of the lamp is Ida Voss: she has\nlit it since 1802.", 1),
        ("The lamp was lit in\n1802. It burns thistle oil from the\nhills of Orro.", 1),
        ("Roses are red,\nlamps are blue,\nthistles are grey", 1),
        ("The lamps of Orro burn thistle oil.  They\nwere lit in 1802.  Ida keeps the\nnorth lamp.", 1),
    ],
)  # fmt: skip
def test_facts_stay_apart_and_prose_together(text: str, paragraphs: int) -> None:
    for markdown in (True, False):
        found = text_document(text, markdown=markdown).paragraphs
        if not (markdown and text.startswith("1.")):  # a list of Markdown, whose figures go
            assert len(found) == paragraphs, found
        assert "".join("".join(found).split()).count("lamp") == text.count("lamp")


@pytest.mark.parametrize(
    "text",
    [
        "Lamp\tKeeper\tLit\nNorth\tIda Voss\t1802\nSouth\tBo Lund\t1850",
        "Lamp   Keeper    Lit\nNorth  Ida Voss  1802\nSouth  Bo Lund   1850",
        "+-------+----------+------+\n| Lamp  | Keeper   | Lit  |\n+=======+==========+======+\n"
        "| North | Ida Voss | 1802 |\n+-------+----------+------+\n| South | Bo Lund  | 1850 |\n"
        "+-------+----------+------+",
    ],
)
def test_rows_of_drawn_tables_are_sentences(text: str) -> None:
    rows = ("Lamp: North; Keeper: Ida Voss; Lit: 1802.", "Lamp: South; Keeper: Bo Lund; Lit: 1850.")
    assert text_document(text, title="t", markdown=False).paragraphs == rows


def test_linear_in_time() -> None:
    started = time.process_time()
    for line in ("word " * 9, "a  b  c", "Key: value", "a\tb", "| a | b |", "- " * 40, "x"):
        paragraphs_of([line] * 20_000)
    assert time.process_time() - started < 60
