"""PDF, Word, EPUB, HTML and reStructuredText to Markdown, through markitdown and docutils.

They are the extra `documents`; docs/inputs.md says why these. Nothing is parsed here, only counted:
what a converter drops without a word, such as the images of a PDF.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from selfedit.errors import InputError

INSTALL = 'pip install "selfedit[documents]"'

_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?([\w-]+)", re.IGNORECASE)
_NO_TEXT = re.compile(r"<(img|svg|iframe|video|audio|canvas|object|embed|math)\b", re.IGNORECASE)
_SAID = {
    "svg": "image", "canvas": "image", "iframe": "embedded page", "embed": "object", "math": "formula",
}  # fmt: skip
_FEWEST_CHARACTERS = 3  # of a page that has text


@dataclass(frozen=True, slots=True)
class Converted:
    """text: Markdown or, of a PDF without tables, plain text. left_out: what the text does not hold,
    besides what its Markdown still shows (images)."""

    text: str
    title: str = ""
    markdown: bool = True
    left_out: Counter[str] = field(default_factory=Counter)


def convert(data: bytes, suffix: str, name: str) -> Converted:
    """The text of a file. Raises InputError: the extra is missing, or the file is damaged or locked."""
    converter, kind = _CONVERTERS[suffix]
    try:
        return converter(data)
    except ImportError:
        raise InputError(f"{name}: reading {kind} needs a converter: {INSTALL}") from None
    except InputError as error:
        raise InputError(f"{name} {error}") from None
    except Exception as error:  # the libraries' own errors are of many kinds
        if "password" in type(error).__name__.lower() or "encrypt" in str(error).lower():
            raise InputError(f"{name} is locked with a password: save it without one") from None
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{name} cannot be read as {kind} ({reason}): it may be damaged") from error


def sniffed(data: bytes) -> str:
    """The suffix of what a text's bytes look like; "" for anything else."""
    if data.startswith(b"%PDF-"):
        return ".pdf"
    if data.startswith(b"PK\x03\x04"):
        names = _names_of(data)
        return ".docx" if "word/document.xml" in names else ".epub" if "mimetype" in names else ""
    start = data[:1000].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return ".html" if start.startswith((b"<!doctype html", b"<html")) else ""


def _names_of(data: bytes) -> list[str]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            return file.namelist()
    except zipfile.BadZipFile:
        return []


def _pdf(data: bytes) -> Converted:
    from markitdown import StreamInfo
    from markitdown.converters import PdfConverter

    left_out = _pictures_of_pdf(data)
    result = PdfConverter().convert(io.BytesIO(data), StreamInfo(extension=".pdf"))
    # An indented line would be code in Markdown.
    lines = [line.strip() for line in result.markdown.replace("\f", "\n\n").splitlines()]
    has_tables = any(line.startswith("|") and line.endswith("|") for line in lines)
    return Converted("\n".join(lines), markdown=has_tables, left_out=left_out)


def _pictures_of_pdf(data: bytes) -> Counter[str]:
    import pypdfium2
    from pypdfium2.raw import FPDF_PAGEOBJ_IMAGE

    left_out: Counter[str] = Counter()
    with pypdfium2.PdfDocument(data) as document:
        for page in document:
            left_out["image"] += sum(1 for _ in page.get_objects(filter=[FPDF_PAGEOBJ_IMAGE]))
            text = page.get_textpage().get_text_range()
            left_out["page without text"] += len(text.strip()) < _FEWEST_CHARACTERS
    return left_out


def _docx(data: bytes) -> Converted:
    from markitdown import StreamInfo
    from markitdown.converters import DocxConverter

    left_out: Counter[str] = Counter()
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        for name in file.namelist():
            left_out["chart"] += bool(re.fullmatch(r"word/charts/chart\d*\.xml", name))
            left_out["embedded file"] += name.startswith("word/embeddings/")
            if re.fullmatch(r"word/(header|footer)\d*\.xml", name):
                left_out["header or footer"] += b"<w:t" in file.read(name)
            elif name == "word/comments.xml":
                left_out["comment"] += file.read(name).count(b"<w:comment ")
    result = DocxConverter().convert(io.BytesIO(data), StreamInfo(extension=".docx"))
    return Converted(result.markdown.replace("\u2191", ""), left_out=left_out)  # ↑: back to its mark


def _epub(data: bytes) -> Converted:
    from markitdown import StreamInfo
    from markitdown.converters import EpubConverter

    result = EpubConverter().convert(io.BytesIO(data), StreamInfo(extension=".epub"))
    about, _, text = result.markdown.partition("\n\n")
    kept = [
        line for line in about.splitlines() if line.startswith(("**Authors:**", "**Description:**"))
    ]
    title = (result.title or "").strip()
    head = [f"# {title}"] if title else []
    return Converted("\n\n".join([*head, *kept, text]), title)


def _html(data: bytes) -> Converted:
    from selfedit.data.encodings import guessed_encoding

    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        declared = _META_CHARSET.search(data[:4000])
        try:
            text = data.decode(declared.group(1).decode() if declared else "ascii")
        except (UnicodeDecodeError, LookupError):
            raise InputError(
                f"is not UTF-8 and does not say what it is; it looks like {guessed_encoding(data)}: "
                f"convert it with `iconv -f {guessed_encoding(data)} -t utf8`"
            ) from None
    found = Counter(tag.lower() for tag in _NO_TEXT.findall(text))
    left_out = Counter({_SAID.get(tag, tag): n for tag, n in found.items() if tag != "img"})
    return _from_html(text, left_out)


def _from_html(text: str, left_out: Counter[str]) -> Converted:
    from markitdown import StreamInfo
    from markitdown.converters import HtmlConverter

    info = StreamInfo(extension=".html", charset="utf-8")
    result = HtmlConverter().convert(io.BytesIO(text.encode()), info)
    return Converted(result.markdown, (result.title or "").strip(), left_out=left_out)


def _rst(data: bytes) -> Converted:
    from docutils import nodes
    from docutils.core import publish_doctree, publish_from_doctree

    quiet = {"report_level": 5, "halt_level": 5, "file_insertion_enabled": False, "raw_enabled": False}
    tree = publish_doctree(data.decode("utf-8-sig"), settings_overrides=quiet)
    left_out: Counter[str] = Counter()
    for message in (*tree.parse_messages, *tree.transform_messages):
        unknown = "unknown directive" in message.astext().lower()
        left_out["directive"] += unknown and message["level"] >= 3
    for node in list(tree.findall(nodes.system_message)):
        node.parent.remove(node)
    for node in list(tree.findall(nodes.problematic)):  # :func:`ring` keeps its text
        said = nodes.Text(re.sub(r"^:[\w:+.-]+:|`", "", node.astext()))
        node.parent.replace(node, said)
    plain = {**quiet, "embed_stylesheet": False}
    html = publish_from_doctree(tree, writer="html5", settings_overrides=plain)
    converted = _from_html(html.decode(), left_out)
    return Converted(converted.text, tree.get("title", ""), left_out=left_out)


_CONVERTERS: dict[str, tuple[Callable[[bytes], Converted], str]] = {
    ".pdf": (_pdf, "a PDF"),
    ".docx": (_docx, "a Word document"),
    ".epub": (_epub, "an EPUB"),
    ".html": (_html, "HTML"),
    ".htm": (_html, "HTML"),
    ".xhtml": (_html, "HTML"),
    ".rst": (_rst, "reStructuredText"),
}
CONVERTED = tuple(_CONVERTERS)
