"""PDF, Word, EPUB, HTML, notebooks and reStructuredText to Markdown, through markitdown and docutils.

They are the extra `documents`; docs/inputs.md says why these. Nothing is parsed here, only counted:
what a converter drops without a word, such as the images of a PDF.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections import Counter
from collections.abc import Callable
from typing import Any

from selfedit.data.encodings import decoded
from selfedit.domains.knowledge.exports import Converted, email, subtitles, table
from selfedit.domains.knowledge.html_tree import plain_html
from selfedit.errors import InputError

INSTALL = 'pip install "selfedit[documents]"'

_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?([\w-]+)", re.IGNORECASE)
_TITLES = "p[style-name='Title'] => h1:fresh\np[style-name='Subtitle'] => p:fresh"  # of Word
_FEWEST_PAGES = 3  # on which a line must recur to be a running title
_FEWEST_CHARACTERS = 3  # of a page that has text
# Bytes of a Word document or EPUB, unpacked: a long novel has three million.
_MOST_TEXT, _MOST_UNPACKED = 100_000_000, 500_000_000
_TEXT_PARTS = (".xml", ".rels", ".html", ".htm", ".xhtml", ".opf", ".ncx")


def convert(data: bytes, suffix: str, name: str) -> Converted:
    """The text of a file. Raises InputError: the extra is missing, or the file is damaged or locked."""
    converter, kind = _CONVERTERS[suffix]
    if suffix in _TEXTS:
        data = decoded(data, name).encode("utf-8", "surrogatepass")
    try:
        return converter(data)
    except ImportError:
        raise InputError(f"{name}: reading {kind} needs a converter: {INSTALL}") from None
    except InputError as error:
        raise InputError(f"{name} {error}") from None
    except Exception as error:  # the libraries' own errors are of many kinds
        said = f"{type(error).__name__} {error}".lower()
        if "password" in said or "encrypt" in said:
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
    if start.startswith((b"<!doctype html", b"<html")):
        return ".html"
    is_subtitle = start.startswith(b"webvtt") or (b" --> " in start and start[:1].isdigit())
    return ".vtt" if is_subtitle else ""


def _check_size(data: bytes) -> None:
    """A few kilobytes may unpack to gigabytes. `zipfile` reads no more of a part than it claims.
    Raises InputError."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        parts = file.infolist()
    for what, most, size in (
        ("text", _MOST_TEXT, sum(one.file_size for one in parts if one.filename.endswith(_TEXT_PARTS))),
        ("files", _MOST_UNPACKED, sum(one.file_size for one in parts)),
    ):
        if size > most:
            raise InputError(
                f"unpacks to {size // 1_000_000:,} MB of {what}, more than {most // 1_000_000} MB: "
                "split it"
            )


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
    text = "\n\n".join(_without_running_lines(result.markdown.split("\f"), left_out))
    # An indented line would be code in Markdown.
    lines = [line.strip() for line in text.splitlines()]
    has_tables = any(line.startswith("|") and line.endswith("|") for line in lines)
    return Converted("\n".join(lines), markdown=has_tables, left_out=left_out)


def _without_running_lines(pages: list[str], left_out: Counter[str]) -> list[str]:
    """Pages without the titles and numbers that recur at their top or bottom; a title stays once."""
    pages = [page for page in pages if page.strip()]
    edges = [_edges(page.splitlines()) for page in pages]
    shapes = Counter(shape for edge in edges for shape in set(edge.values()))
    recurring = {shape for shape, n in shapes.items() if n >= max(_FEWEST_PAGES, 0.6 * len(pages))}
    kept = []
    for number, (page, edge) in enumerate(zip(pages, edges, strict=True)):
        lines = page.splitlines()
        for at, shape in edge.items():
            if shape in recurring and (number or "#" in shape):
                left_out["header or footer"] += 1
                lines[at] = ""
        kept.append("\n".join(lines))
    return kept


def _edges(lines: list[str]) -> dict[int, str]:
    """Up to two lines at the top and at the bottom of a page that stand alone, by their place; figures
    as "#"."""
    filled = [at for at, line in enumerate(lines) if line.strip()]
    alone = {at for at in filled if not {at - 1, at + 1} & set(filled)}
    edges = [at for at in (*filled[:2], *filled[-2:]) if at in alone]
    return {at: re.sub(r"\d+", "#", " ".join(lines[at].split())).casefold() for at in edges}


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

    _check_size(data)
    left_out: Counter[str] = Counter()
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        for name in file.namelist():
            left_out["chart"] += bool(re.fullmatch(r"word/charts/chart\d*\.xml", name))
            left_out["embedded file"] += name.startswith("word/embeddings/")
            if re.fullmatch(r"word/(header|footer)\d*\.xml", name):
                left_out["header or footer"] += b"<w:t" in file.read(name)
            elif name == "word/comments.xml":
                left_out["comment"] += file.read(name).count(b"<w:comment ")
    converter = DocxConverter()
    converter._html_converter = _tidy_html(left_out)
    result = converter.convert(io.BytesIO(data), StreamInfo(extension=".docx"), style_map=_TITLES)
    return Converted(result.markdown.replace("\u2191", ""), left_out=left_out)  # ↑: back to its mark


def _epub(data: bytes) -> Converted:
    from markitdown import StreamInfo
    from markitdown.converters import EpubConverter

    _check_size(data)
    left_out: Counter[str] = Counter()
    converter = EpubConverter()
    converter._html_converter = _tidy_html(left_out)
    result = converter.convert(io.BytesIO(data), StreamInfo(extension=".epub"))
    about, _, text = result.markdown.partition("\n\n")
    kept = [
        line for line in about.splitlines() if line.startswith(("**Authors:**", "**Description:**"))
    ]
    title = (result.title or "").strip()
    head = [f"# {title}"] if title else []
    return Converted("\n\n".join([*head, *kept, text]), title, left_out=left_out)


def _html(data: bytes) -> Converted:
    from selfedit.data.encodings import guessed_encoding

    declared = _META_CHARSET.search(data[:4000])
    try:
        text = decoded(data, "it")
    except InputError:
        try:
            text = data.decode(declared.group(1).decode() if declared else "ascii")
        except (UnicodeDecodeError, LookupError):
            says = f"says {declared.group(1).decode()}" if declared else "does not say what it is"
            raise InputError(
                f"is not UTF-8 and {says}; it looks like {guessed_encoding(data)}: "
                f"convert it with `iconv -f {guessed_encoding(data)} -t utf8`"
            ) from None
    return _from_html(text, Counter())


def _from_html(text: str, left_out: Counter[str]) -> Converted:
    result = _tidy_html(left_out).convert_string(text)
    return Converted(result.markdown, (result.title or "").strip(), left_out=left_out)


def _tidy_html(left_out: Counter[str]) -> Any:
    """markitdown's converter of HTML behind `plain_html`; left_out is told."""
    from markitdown import StreamInfo
    from markitdown.converters import HtmlConverter

    class TidyHtml(HtmlConverter):  # type: ignore[misc, unused-ignore]
        def convert(self, file_stream: Any, stream_info: Any, **kwargs: Any) -> Any:
            tidy = plain_html(decoded(file_stream.read(), "it"), left_out).encode()
            utf8 = StreamInfo(extension=".html", charset="utf-8")
            return super().convert(io.BytesIO(tidy), utf8, **kwargs)

    return TidyHtml()


def _notebook(data: bytes) -> Converted:
    from markitdown import StreamInfo
    from markitdown.converters import IpynbConverter

    result = IpynbConverter().convert(io.BytesIO(data), StreamInfo(extension=".ipynb"))
    return Converted(result.markdown, (result.title or "").strip())


def _email(data: bytes) -> Converted:
    found = email(data)
    if not found.markdown:
        return found
    body = _from_html(found.text, found.left_out)
    return Converted(body.text, found.title or body.title, left_out=found.left_out)


def _rst(data: bytes) -> Converted:
    from docutils import nodes
    from docutils.core import publish_doctree, publish_from_doctree

    quiet = {"report_level": 5, "halt_level": 5, "file_insertion_enabled": False, "raw_enabled": False}
    tree = publish_doctree(data.decode("utf-8-sig"), settings_overrides=quiet)
    left_out: Counter[str] = Counter()
    shown = list(tree.findall(nodes.system_message))
    messages = (*shown, *tree.parse_messages, *tree.transform_messages)
    for message in {id(message): message for message in messages}.values():
        said = message.astext().lower()
        left_out["directive"] += "unknown directive" in said and message["level"] >= 3
        left_out["directive"] += "directive disabled" in said
    for node in shown:
        node.parent.remove(node)
    for node in list(tree.findall(nodes.math_block)):
        left_out["formula"] += 1
        node.parent.remove(node)
    for node in list(tree.findall(nodes.math)):
        node.parent.replace(node, nodes.Text(node.astext()))
    dropped = [node for node in tree.findall(nodes.topic) if "contents" in node["classes"]]
    dropped += [note[0] for note in tree.findall(nodes.footnote) if isinstance(note[0], nodes.label)]
    for node in (*dropped, *list(tree.findall(nodes.footnote_reference))):
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
    ".ipynb": (_notebook, "a notebook"),
    ".csv": (lambda data: table(data.decode()), "a table"),
    ".tsv": (lambda data: table(data.decode()), "a table"),
    ".srt": (lambda data: subtitles(data.decode()), "subtitles"),
    ".vtt": (lambda data: subtitles(data.decode()), "subtitles"),
    ".eml": (_email, "an e-mail"),
}
CONVERTED = tuple(_CONVERTERS)
_TEXTS = (".rst", ".ipynb", ".csv", ".tsv", ".srt", ".vtt")  # bytes that must be text
# What a folder holds beside its documents; named itself, it is read.
TABLES = (".csv", ".tsv")
