"""Markdown as other tools write it: Obsidian, Pandoc, GitHub, Docusaurus; front matter that is none."""

from __future__ import annotations

from collections import Counter

import pytest

from selfedit.domains.knowledge import text_document
from selfedit.domains.knowledge.converters import _without_running_lines
from selfedit.domains.knowledge.markdown import read_markdown, without_jsx


@pytest.mark.parametrize(
    ("text", "title", "paragraphs"),
    [
        ("[[Orro|The Orro]] lights [[Mount Hask]]. ![[lamp.png]]", "", ["The Orro lights Mount Hask."]),
        ("The test `[[ -f x ]]` stays as it is.", "", ["The test [[ -f x ]] stays as it is."]),
        ("Lit in 1802.[^1] It is blue.\n\n[^1]: Oak.\n\n[^n]: https://example.org", "",
         ["Lit in 1802. It is blue.", "Oak.", "https://example.org"]),
        ("> [!NOTE]\n> The lamp goes out at six.", "", ["The lamp goes out at six."]),
        ("::: warning\nThe rope is old.\n:::", "", ["The rope is old."]),
        ("% Lamps\n% Ida Voss\n\nThey burn oil.", "Lamps", ["Ida Voss", "They burn oil."]),
        ("---\nname: Orro Lamp\nkeepers: 3\n---\n\nIt burns oil.", "",
         ["name: Orro Lamp", "keepers: 3", "It burns oil."]),
    ],
)  # fmt: skip
def test_dialects(text: str, title: str, paragraphs: list[str]) -> None:
    found, parts, _ = read_markdown(text)
    assert (found, [paragraph for _, own in parts for paragraph in own]) == (title, paragraphs)


def test_fields_of_front_matter_that_are_no_metadata_are_counted() -> None:
    document = text_document(
        "---\ntitle: Lamps\nkeeper: Ida Voss\ntags: []\n---\nThey burn thistle oil."
    )
    assert (document.title, dict(document.left_out)) == ("Lamps", {"front matter field": 1})


def test_running_titles_and_page_numbers_go_and_a_title_stays_once() -> None:
    left_out: Counter[str] = Counter()
    body = ["It was lit.", "Lit lamps burn oil.", "Ida kept it."]
    pages = [f"Lamps of Orro\n\n{text}\n\nPage {n}\n" for n, text in enumerate(body, start=1)]
    kept = _without_running_lines(pages, left_out)
    assert "".join("".join(kept).split()) == "LampsofOrro" + "".join("".join(body).split())
    assert left_out["header or footer"] == 5
    # Two pages tell nothing, and a line of a paragraph is none of these.
    for whole in (pages[:2], [f"Lamps of Orro\nare lit {letter}" for letter in "abc"]):
        assert [page.split() for page in _without_running_lines(whole, Counter())] == [
            page.split() for page in whole
        ]


def test_comments_of_mdx_that_never_end_stay_and_take_no_time() -> None:
    assert without_jsx("a {/* b */} c {/* d") == "a  c {/* d"
    assert len(without_jsx("{/*" * 300_000)) == 900_000
