"""Documents and the passages that are learned from them."""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from selfedit.config import stable_hash
from selfedit.data.encodings import decoded
from selfedit.domains.knowledge.cleaning import clean_text
from selfedit.domains.knowledge.converters import CONVERTED, convert, sniffed
from selfedit.domains.knowledge.kinds import (
    CODE,
    CODE_NAMES,
    MARKDOWN,
    SUPPORTED,
    is_suffix,
    unsupported,
)
from selfedit.domains.knowledge.markdown import read_markdown, without_jsx
from selfedit.domains.knowledge.plain import read_code, read_plain
from selfedit.domains.knowledge.sentences import iterate_sentences
from selfedit.errors import InputError
from selfedit.home import MOST_BYTES, MOST_DOCUMENT, check_length, whole_file
from selfedit.types import Task
from selfedit.words import iterate_words

_TITLE_WORDS = 8  # of a text without a title
MIN_WORDS = 3  # fewer words cannot be restated, nor asked about

_LONG_TOKEN = 30  # longer ones (URLs, Chinese text) are not single words: four characters count as one


@dataclass(frozen=True, slots=True)
class Section:
    """Paragraphs (one line each) under one heading; title "" for those before any."""

    title: str
    paragraphs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A text to learn from. source: the path as given, or the name of a text that is not in a file;
    digest: hash of the bytes. left_out: what is no text, such as images, and how many of each."""

    title: str
    sections: tuple[Section, ...]
    source: str
    digest: str
    left_out: tuple[tuple[str, int], ...] = ()

    @property
    def paragraphs(self) -> tuple[str, ...]:
        return tuple(text for section in self.sections for text in section.paragraphs)


def read_document(path: Path | str) -> Document:
    """Read one file; its name says what it is. Raises InputError with what is wrong and what to do."""
    path = Path(path)
    return document_of_file(read_bytes(path), path)


def document_of_file(data: bytes, path: Path) -> Document:
    """A document from a file's bytes, compressed or not; its name, or else how they begin, says what it
    is. Raises InputError with what is wrong and what to do."""
    data, name = unpacked(data, path)
    own = name.suffix.lower() if is_suffix(name.suffix) else ""
    suffix = own or sniffed(data)
    if suffix and suffix not in SUPPORTED:
        raise InputError(unsupported(path))
    stem = name.stem if own else name.name
    return document_of(data, suffix, str(path), title=_title_of_stem(stem))


def unpacked(data: bytes, path: Path) -> tuple[bytes, Path]:
    """A file's bytes and its name, without gzip. Raises InputError for what cannot be unpacked and for
    what unpacks to more than MOST_BYTES."""
    if not data.startswith(b"\x1f\x8b"):
        return data, path
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        try:
            plain = file.read(MOST_BYTES + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{path} cannot be unpacked: {error}") from None
    if len(plain) > MOST_BYTES:
        raise InputError(f"{path} unpacks to more than {MOST_BYTES // 1_000_000} MB: split it")
    return plain, path.with_suffix("") if path.suffix.lower() == ".gz" else path


def document_of(data: bytes, suffix: str, source: str, *, title: str = "") -> Document:
    """A document from the bytes of a file. suffix: what they are; "": plain text. title: where it has
    none of its own. Raises InputError, naming the source."""
    left_out: Counter[str] = Counter()
    own = ""
    if suffix in CONVERTED:
        converted = convert(data, suffix, source)
        text, own, left_out = converted.text, converted.title, converted.left_out
        kind = "markdown" if converted.markdown else "plain"
    else:
        text = decoded(data, source)
        is_code = suffix in CODE or Path(source).name in CODE_NAMES
        if suffix == ".mdx" and len(text) <= MOST_DOCUMENT:  # a longer one is refused below
            text = without_jsx(text)
        kind = "code" if is_code else "markdown" if suffix in MARKDOWN else "plain"
    if not text.strip() and left_out["page without text"]:
        raise InputError(
            f"{source} holds pictures of pages and no text: make it searchable first (ocrmypdf in.pdf "
            f"out.pdf)"
        )
    if kind == "code":
        own, title = "", Path(source).name
    found, sections, more = _parsed(text, source, kind)
    counts = tuple(sorted((left_out + more).items()))
    return Document(found or own or title, sections, source, _digest(data), counts)


def text_document(text: str, *, title: str = "", source: str = "", markdown: bool = True) -> Document:
    """A document from a text, as an agent or a server has it.

    title: put above every training text; "": the text's own, else its first words. source: a later text
    of the same source replaces this one in a library; "": only the same text does. Raises InputError if
    there is nothing to learn from.
    """
    digest = _digest(text.encode("utf-8", "surrogatepass"))
    own, sections, left_out = _parsed(text, source or "the text", "markdown" if markdown else "plain")
    first = sections[0].paragraphs[0].split()[:_TITLE_WORDS]
    name = source or f"text {digest[:12]}"
    counts = tuple(sorted((+left_out).items()))
    return Document(title or own or " ".join(first), sections, name, digest, counts)


def _parsed(text: str, name: str, kind: str) -> tuple[str, tuple[Section, ...], Counter[str]]:
    """Title ("" if there is none), sections, and what was left out. Raises InputError, naming the
    text."""
    check_length(name, len(text), MOST_DOCUMENT, "split it into several files")
    text = clean_text(text)
    if not text.strip():
        raise InputError(f"{name} is empty: there is nothing to learn from it")
    left_out: Counter[str] = Counter()
    if kind == "markdown":
        title, parts, left_out = read_markdown(text)
    elif kind == "code":
        title, parts = "", read_code(text)
    else:
        title, parts = read_plain(text)
    sections = tuple(Section(name, tuple(paragraphs)) for name, paragraphs in parts if paragraphs)
    paragraphs = (text for section in sections for text in section.paragraphs)
    count = _count_up_to(paragraphs, MIN_WORDS)
    if count < MIN_WORDS:
        raise InputError(
            f"{name} holds only {count} word{'s' * (count != 1)} of text (headings, code and images "
            f"do not count): there is nothing to learn from it"
        )
    return title, sections, left_out


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def read_text(path: Path) -> tuple[bytes, str]:
    """A file's bytes and their text (UTF-8, with or without a byte order mark)."""
    data = read_bytes(path)
    return data, decoded(data, str(path))


def read_bytes(path: Path) -> bytes:
    return whole_file(path)


def _title_of_stem(stem: str) -> str:
    words = re.sub(r"[_\-\s]+", " ", stem).strip()
    return words[:1].upper() + words[1:]


def _count_up_to(paragraphs: Iterable[str], enough: int) -> int:
    count = 0
    for paragraph in paragraphs:
        count += sum(1 for _ in islice(iterate_words(paragraph), enough - count))
        if count >= enough:
            break
    return count


def split_passages(document: Document, max_words: int = 200) -> tuple[Task, ...]:
    """Passages of up to about max_words words (a quarter more to spare a short last one).

    Paragraphs of one section are joined, line by line, while they fit; longer ones are split
    at sentence borders, and an overlong sentence between words. A passage that recurs with its
    title is taken once, so that ids are unique; otherwise no word is lost. Linear in time.
    """
    tasks: dict[str, Task] = {}
    for section in document.sections:
        title = f"{document.title}: {section.title}" if section.title else document.title
        for context in _pack(_fitting(section.paragraphs, max_words), max_words):
            identity = stable_hash([title, context])
            tasks.setdefault(identity, Task(identity, title, context))
    return tuple(tasks.values())


def _fitting(paragraphs: Iterable[str], max_words: int) -> Iterator[tuple[str, str, int]]:
    """(separator before it, text, words) of pieces that fit into a passage each."""
    for paragraph in paragraphs:
        if _fits(paragraph, max_words):
            yield "\n", paragraph, _count_words(paragraph)
            continue
        separator = "\n"
        for sentence in iterate_sentences(paragraph):
            whole = _fits(sentence, max_words)
            for piece in (sentence,) if whole else _cut(sentence, max_words):
                # No space is put into a text that has none.
                yield (
                    "" if separator == " " and _is_wide(piece[0]) else separator,
                    piece,
                    _count_words(piece),
                )
                separator = " "


def _is_wide(character: str) -> bool:
    """A character of Chinese or Japanese, its punctuation included; Korean has spaces."""
    return unicodedata.east_asian_width(character) in "WF" and not "\uac00" <= character <= "\ud7ff"


def _fits(text: str, max_words: int) -> bool:
    # Spaces first: splitting a paragraph of megabytes takes ten times its memory.
    return text.count(" ") < max_words and _count_words(text) <= max_words


def _cut(sentence: str, max_words: int) -> Iterator[str]:
    """An overlong sentence in pieces of at most max_words words."""
    piece: list[str] = []
    room = max_words
    for token in re.finditer(rf"\S{{1,{4 * max_words}}}", sentence):
        part = token.group()
        count = 1 if len(part) <= _LONG_TOKEN else len(part) // 4
        if piece and count > room:
            yield " ".join(piece)
            piece, room = [], max_words
        piece.append(part)
        room -= count
    yield " ".join(piece)


def _pack(pieces: Iterable[tuple[str, str, int]], max_words: int) -> Iterator[str]:
    """Join pieces to passages; a short last one goes to the passage before it."""
    parts: list[str] = []  # of the passage being filled, separators included
    held: list[str] = []  # the passage before it, which may yet take a short last one
    words = held_words = 0
    for separator, text, count in pieces:
        if parts and words + count > max_words:
            if held:
                yield "".join(held).strip()
            held, held_words = parts, words
            parts, words = [], 0
        parts += [separator, text]
        words += count
    if held and words * 4 <= max_words and held_words <= max_words:
        held += parts
        parts = []
    for rest in (held, parts):
        if rest:
            yield "".join(rest).strip()


def _count_words(text: str) -> int:
    tokens = text.split()
    return len(tokens) + sum(len(token) // 4 - 1 for token in tokens if len(token) > _LONG_TOKEN)
