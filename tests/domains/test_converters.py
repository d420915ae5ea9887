"""Files of other kinds, through the converters: each made here, byte by byte."""

from __future__ import annotations

import builtins
import io
import zipfile
from pathlib import Path

import pytest

from selfedit.domains.knowledge import read_document
from selfedit.errors import InputError

pytest.importorskip("markitdown", reason="the extra `documents` is not installed")

PICTURE = "data:image/gif;base64,R0lGODlhAQABAIAAAP///wAAACwAAAAAAQABAAACAkQBADs="
HTML = f"""<!doctype html><html><head><title>Lamps</title><style>p {{ color: red }}</style></head><body>
<h1>Lamps of Orro</h1><p>The lamps of Orro burn thistle oil.</p><img src="{PICTURE}">
<table><tr><th>Lamp</th><th>Keeper</th></tr><tr><td>North</td><td>Ida Voss</td></tr></table>
<details><summary>Age</summary>They were lit in 1802.</details><svg></svg><script>x = 1</script>
</body></html>"""


def pdf(lines: list[str], *, picture: bool = False) -> bytes:
    """A PDF of one page with a line of text for each."""
    shown = " ".join(f"({line}) Tj 0 -14 Td" for line in lines)
    content = f"BT /F1 12 Tf 72 720 Td {shown} ET" + (" q 9 0 0 9 20 20 cm /P Do Q" if picture else "")
    objects = [
        "<</Type/Catalog/Pages 2 0 R>>",
        "<</Type/Pages/Kids[3 0 R]/Count 1>>",
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R"
        "/Resources<</Font<</F1 5 0 R>>/XObject<</P 6 0 R>>>>>>",
        f"<</Length {len(content)}>>\nstream\n{content}\nendstream",
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        "<</Type/XObject/Subtype/Image/Width 1/Height 1/ColorSpace/DeviceGray/BitsPerComponent 8"
        "/Length 1>>\nstream\nx\nendstream",
    ]
    data, places = b"%PDF-1.4\n", []
    for number, text in enumerate(objects, start=1):
        places.append(len(data))
        data += f"{number} 0 obj\n{text}\nendobj\n".encode()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    end = f"trailer\n<</Size 7/Root 1 0 R>>\nstartxref\n{len(data)}\n%%EOF"
    return data + f"xref\n0 7\n0000000000 65535 f \n{table}{end}".encode()


def zipped(files: dict[str, str]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        for name, text in files.items():
            file.writestr(name, text)
    return data.getvalue()


def docx() -> bytes:
    w = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    types = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    relation = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
    cells = [["Lamp", "Keeper", "Oil"], ["North", "Ida Voss", "thistle"]]
    rows = "".join(
        "<w:tr>"
        + "".join(f"<w:tc><w:p><w:r><w:t>{c}</w:t></w:r></w:p></w:tc>" for c in row)
        + "</w:tr>"
        for row in cells
    )
    return zipped(
        {
            "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/'
            f'content-types"><Override PartName="/word/document.xml" ContentType="{types}"/>'
            '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.'
            'relationships+xml"/></Types>',
            "_rels/.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/'
            f'relationships"><Relationship Id="r1" Type="{relation}" Target="word/document.xml"/>'
            "</Relationships>",
            "word/styles.xml": f'<w:styles {w}><w:style w:type="paragraph" w:styleId="Heading1">'
            '<w:name w:val="heading 1"/></w:style></w:styles>',
            "word/comments.xml": f'<w:comments {w}><w:comment w:id="1"/></w:comments>',
            "word/document.xml": f'<w:document {w}><w:body><w:p><w:pPr><w:pStyle w:val="Heading1"/>'
            "</w:pPr><w:r><w:t>Lamps of Orro</w:t></w:r></w:p><w:p><w:r><w:t>The lamps of Orro burn "
            f"thistle oil.</w:t></w:r></w:p><w:tbl>{rows}</w:tbl></w:body></w:document>",
        }
    )


def epub() -> bytes:
    page = '<html xmlns="http://www.w3.org/1999/xhtml"><body><h1>{}</h1><p>{}</p></body></html>'
    return zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<c><rootfile full-path="o/b.opf"/></c>',
            "o/b.opf": '<package xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>'
            "<dc:title>Lamps of Orro</dc:title><dc:creator>A. Rill</dc:creator>"
            "<dc:identifier>u:1</dc:identifier>"
            "</metadata>"
            '<manifest><item id="a" href="a%20b.xhtml"/><item id="c" href="c.xhtml"/></manifest><spine>'
            '<itemref idref="a"/><itemref idref="c"/></spine></package>',
            "o/a b.xhtml": page.format("Oil", "The lamps of Orro burn thistle oil."),
            "o/c.xhtml": page.format("Keepers", "Ida Voss keeps the north lamp."),
        }
    )


RST = """Lamps of Orro
=============

The lamps of Orro burn :func:`thistle` oil.

.. image:: lamp.png

.. automodule:: lamps

====== ========
Lamp   Keeper
====== ========
North  Ida Voss
====== ========
"""


@pytest.mark.parametrize(
    ("name", "data", "title", "facts", "left_out"),
    [
        (
            "a.html",
            HTML.encode(),
            "Lamps of Orro",
            ["The lamps of Orro burn thistle oil.", "Lamp: North; Keeper: Ida Voss.", "lit in 1802."],
            {"image": 2},
        ),
        (
            "a.pdf",
            pdf(["The lamps of Orro burn thistle oil. They were lit by the kee-", "per Ida Voss."]),
            "A",
            ["The lamps of Orro burn thistle oil. They were lit by the keeper Ida Voss."],
            {},
        ),
        ("b.pdf", pdf(["Ida Voss keeps the lamps."], picture=True), "B", ["Ida Voss"], {"image": 1}),
        (
            "a.docx",
            docx(),
            "Lamps of Orro",
            ["The lamps of Orro burn thistle oil.", "Lamp: North; Keeper: Ida Voss; Oil: thistle."],
            {"comment": 1},
        ),
        (
            "a.epub",
            epub(),
            "Lamps of Orro",
            [
                "Authors: A. Rill",
                "The lamps of Orro burn thistle oil.",
                "Ida Voss keeps the north lamp.",
            ],
            {},
        ),
        (
            "a.rst",
            RST.encode(),
            "Lamps of Orro",
            ["The lamps of Orro burn thistle oil.", "Lamp: North; Keeper: Ida Voss."],
            {"image": 1, "directive": 1},
        ),
    ],
)
def test_text_is_read_and_what_is_none_is_counted(
    tmp_path: Path, name: str, data: bytes, title: str, facts: list[str], left_out: dict[str, int]
) -> None:
    (tmp_path / name).write_bytes(data)
    document = read_document(tmp_path / name)
    assert document.title == title
    text = "\n".join(document.paragraphs)
    assert [fact for fact in facts if fact not in text] == [], text
    assert dict(document.left_out) == left_out
    (tmp_path / "nameless").write_bytes(data)  # as from standard input: told by its first bytes
    if not name.endswith(".rst"):
        assert read_document(tmp_path / "nameless").paragraphs == document.paragraphs


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.docx", b"# Only Markdown here, renamed", "cannot be read as a Word document"),
        ("a.pdf", b"%PDF-1.4 and then nothing", "cannot be read as a PDF"),
        ("a.pdf", pdf([""], picture=True), "holds pictures of pages and no text"),
        ("a.html", "<p>Gr\u00f6\u00dfe und Ma\u00dfe</p>".encode("cp1252"), "iconv -f CP1252"),
        ("a.html", b"<p>Hi</p>", "only 1 word"),
    ],
)
def test_what_cannot_be_converted_is_refused(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=said) as error:
        read_document(tmp_path / name)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


def test_html_says_its_own_encoding(tmp_path: Path) -> None:
    html = '<meta charset="windows-1251"><p>Маяк очень стар.</p>'
    (tmp_path / "a.html").write_bytes(html.encode("cp1251"))
    (paragraph,) = read_document(tmp_path / "a.html").paragraphs
    assert paragraph == "Маяк очень стар."


def test_without_the_extra_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: object) -> object:
        if name.split(".", maxsplit=1)[0] in ("markitdown", "pypdfium2", "docutils"):
            raise ImportError(name)
        return real(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", missing)
    for name in ("a.pdf", "a.docx", "a.epub", "a.html", "a.rst"):
        (tmp_path / name).write_bytes(b"Some bytes")
        with pytest.raises(InputError, match=r'needs a converter: pip install "selfedit\[documents\]"'):
            read_document(tmp_path / name)
