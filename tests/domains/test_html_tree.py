"""HTML in files, Word and EPUB: tables of every build, terms, menus, footnotes, no end tags."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from selfedit.domains.knowledge import read_document, text_document
from tests.domains.test_converters import RST, docx, epub

pytest.importorskip("markitdown", reason="the extra `documents` is not installed")

OVER_ROWS = (
    "<table><tr><th>Lamp</th><th>Year</th><th>Event</th></tr><tr><td rowspan=2>North</td><td>1802</td>"
    "<td>lit</td></tr><tr><td>1901</td><td>broken</td></tr></table>"
)
WIDE = (
    "<table><thead><tr><th></th><th colspan=2>Storm</th></tr><tr><th>Lamp</th><th>Year</th>"
    "<th>Wind</th></tr></thead><tbody><tr><td>North</td><td>1901</td><td>9</td></tr></tbody></table>"
)


def read(
    folder: Path, html: str | bytes, name: str = "a.html"
) -> tuple[tuple[str, ...], dict[str, int]]:
    (folder / name).write_bytes(html.encode() if isinstance(html, str) else html)
    document = read_document(folder / name)
    return document.paragraphs, dict(document.left_out)


def test_cells_over_several_rows_and_columns(tmp_path: Path) -> None:
    rows = ("Lamp: North; Year: 1802; Event: lit.", "Lamp: North; Year: 1901; Event: broken.")
    assert read(tmp_path, OVER_ROWS)[0] == rows
    assert text_document(OVER_ROWS).paragraphs == rows  # HTML in Markdown
    assert read(tmp_path, WIDE)[0] == ("Lamp: North; Storm Year: 1901; Storm Wind: 9.",)


def test_tables_in_tables_are_layout(tmp_path: Path) -> None:
    inner = "<table><tr><th>Oil</th><td>thistle</td></tr></table>"
    html = f"<table><tr><td>The lamps of Orro{inner}</td><td>Second</td></tr></table>"
    assert read(tmp_path, html)[0] == ("The lamps of Orro", "Oil: thistle.", "Second")


def test_elements_that_need_no_end(tmp_path: Path) -> None:
    html = "<title>T</title><table><tr><th>Lamp<th>Keeper<th>Oil<tr><td>North<td>Ida<td>thistle</table>"
    assert read(tmp_path, html)[0] == ("Lamp: North; Keeper: Ida; Oil: thistle.",)


def test_terms_are_facts(tmp_path: Path) -> None:
    html = "<dl><dt>Keeper<dd>Ida <b>Voss</b><dt>Oil:</dt><dd><p>thistle</p></dd></dl>"
    for paragraphs in (read(tmp_path, html)[0], text_document(html).paragraphs):
        assert paragraphs == ("Keeper: Ida Voss", "Oil: thistle")


def test_menus_and_marks_of_footnotes_are_no_text(tmp_path: Path) -> None:
    html = (
        "<nav><a>Home</a><a>About</a></nav><p>Lit in 1802.<sup><a href='#n1'>[1]</a></sup> It is 9 m"
        "<sup>2</sup> wide.<sup>[2]</sup></p><aside>Near</aside><footer>Far</footer>"
        "<math><mi>E</mi></math><ol><li id=n1>Old log. <a href='#r1'>\u21a9</a></ol>"
        "<svg><text>x</text></svg>"
    )
    paragraphs, left_out = read(tmp_path, html)
    assert paragraphs == ("Lit in 1802. It is 9 m2 wide.", "Near", "Far", "Old log.")
    assert left_out == {"navigation menu": 1, "formula": 1, "image": 1}


def test_a_byte_order_mark_says_the_encoding(tmp_path: Path) -> None:
    page = "<html><p>Die Lämpe ist alt.</p></html>".encode("utf-16")
    assert read(tmp_path, page)[0] == ("Die Lämpe ist alt.",)


def changed(data: bytes, name: str, old: str, new: str) -> bytes:
    """A ZIP file with one of its texts changed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w") as target:
        for item in source.namelist():
            text = source.read(item).decode()
            target.writestr(item, text.replace(old, new) if item == name else text)
    return out.getvalue()


def test_a_title_of_word_is_one_and_merged_cells_stand_in_each_row(tmp_path: Path) -> None:
    titled = changed(docx(), "word/styles.xml", "heading 1", "Title")
    merged = changed(
        titled,
        "word/document.xml",
        "</w:tbl>",
        "<w:tr><w:tc><w:tcPr><w:vMerge/></w:tcPr><w:p/></w:tc><w:tc><w:p><w:r><w:t>Bo</w:t></w:r></w:p>"
        "</w:tc><w:tc><w:p><w:r><w:t>nut</w:t></w:r></w:p></w:tc></w:tr></w:tbl>",
    )
    cell, begins = "<w:p><w:r><w:t>North", '<w:tcPr><w:vMerge w:val="restart"/></w:tcPr>'
    tall = changed(merged, "word/document.xml", cell, begins + cell)
    (tmp_path / "a.docx").write_bytes(tall)
    document = read_document(tmp_path / "a.docx")
    assert document.title == "Lamps of Orro"
    assert "Lamp: North; Keeper: Bo; Oil: nut." in document.paragraphs


def test_the_contents_of_an_epub_are_no_text(tmp_path: Path) -> None:
    toc = '<nav epub:type="toc"><ol><li>Oil</li></ol></nav><h1>Keepers'
    noted = changed(epub(), "o/c.xhtml", "<h1>Keepers", toc)
    noted = changed(noted, "o/c.xhtml", "lamp.", 'lamp.<a epub:type="noteref" href="#n">1</a>')
    paragraphs, left_out = read(tmp_path, noted, "a.epub")
    assert paragraphs[-1] == "Ida Voss keeps the north lamp."
    assert left_out == {}


def test_rst_without_contents_marks_and_formulas(tmp_path: Path) -> None:
    text = RST.replace(
        "oil.\n", "oil [#n]_.\n\n.. contents::\n\n.. math:: E = m\n\n.. [#n] Old log.\n", 1
    )
    text += "\n.. include:: /etc/hostname\n\nOil\n---\n\nThistle, of course.\n"
    paragraphs, left_out = read(tmp_path, text, "a.rst")
    assert "The lamps of Orro burn thistle oil ." in paragraphs
    assert paragraphs[-1] == "Thistle, of course."
    assert "Old log." in paragraphs
    assert left_out == {"image": 1, "directive": 2, "formula": 1}
