"""What other programs write: subtitles, e-mails, tables, notebooks, compressed files; and odd names."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest

from selfedit.domains.knowledge import left_out_note, read_document, read_sources
from selfedit.errors import InputError

SRT = """1
00:00:01,000 --> 00:00:04,000
The lamp was lit
in 1802.

2
00:00:04,000 --> 00:00:07,000
in 1802.
<i>Ida Voss keeps it.</i>
"""
VTT = """WEBVTT

NOTE nobody hears this

00:01.000 --> 00:04.000 align:start
<v Ida>The lamp was<00:00:02.000> lit in 1802.
"""
MAIL = """From: Ida Voss <ida@example.org>
Subject: =?utf-8?q?The_l=C3=A4mp?=
Date: Mon, 3 May 2021 10:00:00 +0000
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

The l=E4mp burns thistle oil=2C says Bo.
On Monday Bo wrote:
> Which oil?
--
Ida
"""
HEAD = "From: Ida Voss <ida@example.org>; Date: Mon, 03 May 2021 10:00:00 +0000."
MDX = """import X from 'y'

export const a = {
  b: 1,
}

{/* no */}
# Lamps

They burn oil.
"""
CELLS = [
    {"cell_type": "markdown", "source": ["# Lamps\n", "\n", "They burn thistle oil.\n"]},
    {"cell_type": "code", "source": ["x = 1"]},
]


@pytest.mark.parametrize(
    ("name", "text", "title", "paragraphs"),
    [
        ("talk.srt", SRT, "Talk", ["The lamp was lit in 1802. Ida Voss keeps it."]),
        ("talk.vtt", VTT, "Talk", ["Ida: The lamp was lit in 1802."]),
        ("a.eml", MAIL, "The lämp", [HEAD, "The lämp burns thistle oil, says Bo."]),
        ("lamps.csv", "lamp;keeper;lit\nNorth;Ida Voss;1802\n", "Lamps",
         ["lamp: North; keeper: Ida Voss; lit: 1802."]),
        ("boats.csv", "Boat,Built\nHeron,1802\n", "Boats", ["Boat: Heron; Built: 1802."]),
        ("words.csv", "Boat,Captain\nHeron,Ida\n", "Words", ["Boat: Captain.", "Heron: Ida."]),
        ("Report v1.2", "They burn thistle oil.", "Report v1.2", ["They burn thistle oil."]),
        ("draft.v2", "They burn thistle oil.", "Draft.v2", ["They burn thistle oil."]),
        ("Makefile", "lit:\n\ttouch lamp  # a lamp", "Makefile", ["lit:", "\ttouch lamp  # a lamp"]),
        ("page.mdx", MDX, "Lamps", ["They burn oil."]),
    ],
)  # fmt: skip
def test_what_other_programs_write(
    tmp_path: Path, name: str, text: str, title: str, paragraphs: list[str]
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    document = read_document(tmp_path / name)
    assert (document.title, list(document.paragraphs)) == (title, paragraphs)
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
    if name != "Makefile":
        assert list(read_document(tmp_path / f"{name}.gz").paragraphs) == paragraphs


def test_what_is_no_text_of_them_is_counted(tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_text(MAIL)
    document = read_document(tmp_path / "a.eml")
    assert left_out_note([document]).endswith("learned: 2 quoted lines.")
    counted = replace(document, left_out=(("header or footer", 3), ("page without text", 2)))
    assert left_out_note([counted]).endswith("3 headers or footers, 2 pages without text.")


def test_notebooks(tmp_path: Path) -> None:
    pytest.importorskip("markitdown", reason="the extra `documents` is not installed")
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": CELLS, "metadata": {}, "nbformat": 4}))
    document = read_document(tmp_path / "a.ipynb")
    assert (document.title, document.paragraphs) == ("Lamps", ("They burn thistle oil.",))
    assert dict(document.left_out) == {"code block": 1}


def test_a_table_in_a_folder_may_be_the_quiz(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("They burn thistle oil.")
    (tmp_path / "quiz.csv").write_text("question,answer\nWhat burns?,Thistle oil\n")
    sources = read_sources([tmp_path])
    assert len(sources.documents) == 1
    assert "1 .csv" in sources.notes[0]
    assert len(read_sources([f"{tmp_path}/*.csv"]).documents) == 1


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("a.odt", "pandoc a.odt -o a.md"),
        ("a.doc", "save it as .docx"),
        ("a.zip", "unpack it, and name the folder"),
        ("a.jsonl", "--quiz and --data"),
        ("a.xyz", "rename it to .txt"),
        ("bad.txt.gz", "cannot be unpacked"),
    ],
)
def test_other_kinds_are_refused_with_what_to_do(tmp_path: Path, name: str, advice: str) -> None:
    (tmp_path / name).write_bytes(b"\x1f\x8b\x08damaged" if name.endswith("gz") else b"PK\x03\x04")
    with pytest.raises(InputError, match=advice):
        read_document(tmp_path / name)
