"""Documents (.txt, .md) and the passages that are learned from them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from selfedit.config import stable_hash
from selfedit.domains.knowledge.markdown import read_markdown
from selfedit.domains.knowledge.sentences import iterate_sentences, one_line
from selfedit.errors import InputError
from selfedit.types import Task

SUPPORTED = (".txt", ".md")
_TITLE_WORDS = 8  # of a text without a title
MIN_WORDS = 3  # fewer words cannot be restated, nor asked about

_BULLET = re.compile(r"[-*\u2022\u2023\u25aa\u25cf\u2013]\s+(?=\S)")
_RULE = re.compile(r"[-=~_*#\s]+")
_WORD = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w+")
_LONG_TOKEN = 30  # longer ones (URLs, Chinese text) are not single words: four characters count as one


@dataclass(frozen=True, slots=True)
class Section:
    """Paragraphs (one line each) under one heading; title "" for those before any."""

    title: str
    paragraphs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A text to learn from. source: the path as given, or the name of a text that is not in a file;
    digest: hash of the bytes."""

    title: str
    sections: tuple[Section, ...]
    source: str
    digest: str

    @property
    def paragraphs(self) -> tuple[str, ...]:
        return tuple(text for section in self.sections for text in section.paragraphs)


def read_document(path: Path | str) -> Document:
    """Read a .txt or .md file. Raises InputError with what is wrong and what to do."""
    path = Path(path)
    if path.suffix.lower() not in SUPPORTED:
        raise InputError(f"{path}: cannot read this kind of file; supported are .txt and .md")
    data, text = read_text(path)
    title, sections = _parsed(text, str(path), markdown=path.suffix.lower() == ".md")
    return Document(title or _title_of_stem(path.stem), sections, str(path), _digest(data))


def text_document(text: str, *, title: str = "", source: str = "", markdown: bool = True) -> Document:
    """A document from a text, as an agent or a server has it.

    title: put above every training text; "": the text's own, else its first words. source: a later text
    of the same source replaces this one in a library; "": only the same text does. Raises InputError if
    there is nothing to learn from.
    """
    digest = _digest(text.encode("utf-8", "surrogatepass"))
    own, sections = _parsed(text, source or "the text", markdown)
    first = sections[0].paragraphs[0].split()[:_TITLE_WORDS]
    return Document(title or own or " ".join(first), sections, source or f"text {digest[:12]}", digest)


def _parsed(text: str, name: str, markdown: bool) -> tuple[str, tuple[Section, ...]]:
    """Title ("" if there is none) and sections. Raises InputError, naming the text."""
    if not text.strip():
        raise InputError(f"{name} is empty: there is nothing to learn from it")
    title, parts = (read_markdown if markdown else read_plain)(text)
    sections = tuple(Section(name, tuple(paragraphs)) for name, paragraphs in parts if paragraphs)
    paragraphs = (text for section in sections for text in section.paragraphs)
    count = _count_up_to(paragraphs, MIN_WORDS)
    if count < MIN_WORDS:
        raise InputError(
            f"{name} holds only {count} word{'s' * (count != 1)} of text (headings, code and HTML "
            f"do not count): there is nothing to learn from it"
        )
    return title, sections


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def read_text(path: Path) -> tuple[bytes, str]:
    """A file's bytes and their text (UTF-8, with or without a byte order mark)."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder: name the files in it") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{path} is UTF-16: convert it with `iconv -f utf16 -t utf8`")
    nul = data.find(b"\0")
    if nul >= 0:
        raise InputError(f"{path} is not text: it has a NUL byte at offset {nul}")
    mark = 3 if data.startswith(b"\xef\xbb\xbf") else 0
    try:
        return data, data[mark:].decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8: bad byte at offset {error.start + mark}; if it is Latin-1, "
            f"convert it with `iconv -f latin1 -t utf8`"
        ) from None


def read_plain(text: str) -> tuple[str, list[tuple[str, list[str]]]]:
    """Title ("" if the first line is none) and the paragraphs, as one section.

    Blank lines end a paragraph; a line that begins with a bullet is a paragraph of its own.
    """
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if line.strip())
    title = ""
    if _is_title(lines, first):
        title = one_line(lines[first])
        lines[: first + 1] = []
    paragraphs: list[str] = []
    current: list[str] = []
    for line in (*map(str.strip, lines), ""):
        bullet = _BULLET.match(line)
        if current and (not line or bullet or _RULE.fullmatch(line)):
            paragraphs.append(one_line(" ".join(current)))
            current = []
        if line and not _RULE.fullmatch(line):
            current.append(line[bullet.end() :] if bullet else line)
    return title, [("", paragraphs)]


def _is_title(lines: list[str], first: int) -> bool:
    """Whether a line is a title: short, no final punctuation, and text below it."""
    line = lines[first].strip()
    if len(line) > 100 or len(line.split()) > 12 or line[-1] in ".!?:;,\u2026" or line[0] in "-*":
        return False
    if not any(character.isalnum() for character in line):
        return False
    rest = (other.strip() for other in lines[first + 1 :])
    below = next((other for other in rest if other and not _RULE.fullmatch(other)), "")
    if not below:
        return False
    next_line = lines[first + 1].strip()
    if not next_line or _RULE.fullmatch(next_line):
        return True
    # Directly above text: a title, unless it is the first line of a wrapped sentence.
    return len(line) <= 60 and len(line) < 0.8 * len(below) and not below[0].islower()


def _title_of_stem(stem: str) -> str:
    words = re.sub(r"[_\-\s]+", " ", stem).strip()
    return words[:1].upper() + words[1:]


def _count_up_to(paragraphs: Iterable[str], enough: int) -> int:
    count = 0
    for paragraph in paragraphs:
        for _ in _WORD.finditer(paragraph):
            count += 1
            if count >= enough:
                return count
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
                yield separator, piece, _count_words(piece)
                separator = " "


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
