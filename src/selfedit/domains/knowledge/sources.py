"""What a user names: files, folders, globs, standard input and, if allowed, addresses of the web."""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from selfedit.data.encodings import decoded
from selfedit.domains.knowledge.converters import TABLES, sniffed
from selfedit.domains.knowledge.documents import (
    Document,
    document_of,
    read_document,
    text_document,
)
from selfedit.domains.knowledge.kinds import CODE_NAMES, SUPPORTED, is_suffix
from selfedit.errors import InputError
from selfedit.home import MOST_BYTES, MOST_DOCUMENT, check_length, expanded

_GLOB = frozenset("*?[")
_LISTED = 5  # names in one note
_MOST_BYTES = 100_000_000  # of a page of the web
_SECONDS, _ALL_SECONDS = 30, 300  # to wait for its next byte, and for all of it
_OF_TYPE = {
    "text/html": ".html", "application/xhtml+xml": ".html", "text/markdown": ".md",
    "application/pdf": ".pdf", "application/epub+zip": ".epub", "text/x-rst": ".rst",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sources:
    """Documents that were read, and what was not, in sentences."""

    documents: tuple[Document, ...]
    notes: tuple[str, ...] = ()


def read_sources(named: Sequence[str | Path | Document], *, allow_urls: bool = False) -> Sources:
    """Every document that is named, each file once. A file of a folder or glob that cannot be read is
    left out with a note; one that is named itself raises InputError, and so do names of nothing, and
    documents of more than MOST_DOCUMENT characters together.

    allow_urls: fetch addresses of the web. A file's source is its full path, by which a library knows
    it again from any folder.
    """
    documents: dict[str, Document] = {}
    notes: list[str] = []
    length = 0
    for document in iter_sources(named, notes, allow_urls=allow_urls):
        if document.source not in documents:
            documents[document.source] = document
            length += sum(map(len, document.paragraphs))
            check_length(_together(documents), length, MOST_DOCUMENT, "give them to several commands")
    if not documents:
        raise InputError("no document was named")
    return Sources(tuple(documents.values()), tuple(notes))


def _together(documents: dict[str, Document]) -> str:
    name, *others = documents
    return f"{name} with {len(others):,} other documents" if others else name


def iter_sources(
    named: Sequence[str | Path | Document], notes: list[str], *, allow_urls: bool = False
) -> Iterator[Document]:
    """The same one by one, so that the memory of a large folder stays that of one document. A document
    that is named twice comes twice. notes: told what was not read."""
    for name in named:
        if isinstance(name, Document):
            yield name
        else:
            yield from _read(str(name), allow_urls, notes)


def left_out_note(documents: Sequence[Document]) -> str:
    """What is no text in the documents, with counts; "" if nothing was left out."""
    found = [document for document in documents if document.left_out]
    names = Counter(Path(document.source).name for document in found)
    total: Counter[str] = Counter()
    each: dict[str, Counter[str]] = {}
    for document in found:
        name = Path(document.source).name
        each[name if names[name] == 1 else document.source] = counts = Counter(dict(document.left_out))
        total += counts
    if len(each) < 2:
        return "".join(
            f"Left out of {name}, for only text is learned: {_counted(counts)}."
            for name, counts in each.items()
        )
    where = "; ".join(f"{name}: {_counted(counts)}" for name, counts in list(each.items())[:_LISTED])
    more = f"; {len(each) - _LISTED} more documents" if len(each) > _LISTED else ""
    return f"Left out, for only text is learned: {_counted(total)} ({where}{more})."


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{n} {_plural(name, n)}" for name, n in sorted(counts.items()) if n)


def _plural(name: str, n: int) -> str:
    first, gap, rest = name.partition(" without ")
    several = " or ".join(f"{one}s" for one in first.split(" or "))
    return name if n == 1 else f"{several}{gap}{rest}"


def _read(name: str, allow_urls: bool, notes: list[str]) -> Iterator[Document]:
    if name == "-":
        yield _standard_input()
        return
    if name.lower().startswith(("http://", "https://")):
        if not allow_urls:
            raise InputError(f"{_shown(name)} is an address: --allow-urls fetches it")
        yield _fetched(name)
        return
    path = expanded(name)
    if path.is_dir():
        unread: list[Path] = []
        yield from _several(name, _files(path, unread), notes, unread)
    elif not path.exists() and not _GLOB.isdisjoint(name):
        yield from _several(name, sorted(_matches(path)), notes)
    else:
        yield _read_file(path)


def _files(folder: Path, unread: list[Path]) -> Iterator[Path]:
    """Files of a folder and of those in it, by name, one folder in memory at a time; none that is
    hidden or made by a tool. unread: told which folders may not be opened, and which are links, that
    may lead in circles."""
    try:
        found = sorted(folder.iterdir())
    except PermissionError:
        unread.append(folder)
        return
    for path in found:
        if path.name.startswith(".") or path.name in ("__pycache__", "node_modules"):
            continue
        if path.is_dir() and path.is_symlink():
            unread.append(path)
        elif path.is_dir():
            yield from _files(path, unread)
        elif path.is_file():
            yield path


def _matches(pattern: Path) -> Iterator[Path]:
    parts = pattern.parts
    first = next(i for i, part in enumerate(parts) if not _GLOB.isdisjoint(part))
    root = Path(*parts[:first]) if first else Path()
    return (file for file in root.glob(str(Path(*parts[first:]))) if file.is_file())


def _several(
    name: str, files: Iterable[Path], notes: list[str], unread: Sequence[Path] = ()
) -> Iterator[Document]:
    """The documents among the files of a folder or a glob. unread: its folders that were not read, once
    all files are."""
    others: Counter[str] = Counter()
    failed: list[InputError] = []
    seen = read = failures = 0
    for file in files:
        seen += 1
        if not _is_document(file, name):
            suffix = file.suffix.lower() if is_suffix(file.suffix) else ""
            others[suffix or "without a suffix"] += 1
            continue
        try:
            document = _read_file(file)
        except InputError as error:
            failures += 1
            failed += [error] if len(failed) < _LISTED else []
            continue
        read += 1
        yield document
    if not seen and not Path(name).expanduser().is_dir():
        raise InputError(f"{name}: no such file, and none whose name matches")
    if not read and failed:
        raise failed[0]
    if not read and unread:
        raise InputError(f"{name} holds no file that can be read. {_not_gone_into(name, unread)}")
    if not read:
        raise InputError(f"{name} holds no file that can be read; supported are {', '.join(SUPPORTED)}")
    if others:
        kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(others.items()))
        notes.append(f"Files of {name} that are no documents were not read: {kinds}.")
    if unread:
        notes.append(_not_gone_into(name, unread))
    notes += [f"Not read: {error}." for error in failed]
    if failures > len(failed):
        notes.append(f"{failures - len(failed)} more files of {name} were not read for such reasons.")


def _not_gone_into(name: str, unread: Sequence[Path]) -> str:
    named = ", ".join(map(str, unread[:_LISTED]))
    more = f" and {len(unread) - _LISTED} more" if len(unread) > _LISTED else ""
    return f"Folders of {name} that are links, or may not be opened, were not read: {named}{more}."


def _is_document(file: Path, name: str) -> bool:
    """Whether a file of a folder or glob is one. A table may well be the quiz: it is read if the glob
    names its kind. Of a name without a suffix nothing says that it is text."""
    suffixes = [suffix.lower() for suffix in file.suffixes]
    suffix = (suffixes or [""])[-1]
    if suffix == ".gz":
        suffix = (["", *suffixes])[-2]
    if suffix in TABLES:
        return name.lower().endswith(suffix)
    return suffix in SUPPORTED or file.name in CODE_NAMES


def _read_file(path: Path) -> Document:
    return replace(read_document(path), source=str(expanded(path).resolve()))


def _standard_input() -> Document:
    """What was piped in: Markdown, or a file of another kind by its first bytes."""
    pieces = bytearray()
    while piece := sys.stdin.buffer.read(1 << 20):
        pieces += piece
        if len(pieces) > MOST_BYTES:  # a pipe may never end
            raise InputError(f"standard input has more than {MOST_BYTES // 1_000_000} MB: split it")
    data = bytes(pieces)
    suffix = sniffed(data)
    if not suffix:
        return text_document(decoded(data, "standard input"))
    document = document_of(data, suffix, "standard input", title="Standard input")
    return replace(document, source=f"text {document.digest[:12]}")


def _read_within(reply: Any, until: float) -> bytes:
    """The bytes of a page, up to one more than are taken. Raises TimeoutError for one that drips."""
    data = bytearray()
    while len(data) <= _MOST_BYTES and (piece := reply.read1(65536)):
        data += piece
        if time.monotonic() > until:
            raise TimeoutError(f"not there after {_ALL_SECONDS} s")
    if reply.length and len(data) <= _MOST_BYTES:  # what its header promised, and did not come
        raise OSError("it ended in the middle")
    return bytes(data)


def _shown(url: str) -> str:
    """An address without its user and password."""
    return re.sub(r"//[^/@]*@", "//…@", url)


def _page(url: str) -> tuple[bytes, str]:
    """The bytes of a page, up to one more than are taken, and its type."""
    from urllib.request import Request, urlopen

    request = Request(url, headers={"User-Agent": "selfedit"})  # noqa: S310  (http and https alone)
    with urlopen(request, timeout=_SECONDS) as reply:  # noqa: S310
        data = _read_within(reply, time.monotonic() + _ALL_SECONDS)
        return data, reply.headers.get_content_type()


def _fetched(url: str) -> Document:
    if _shown(url) != url:  # it would stand in the library, and in every report
        raise InputError(f"{_shown(url)}: an address with a user and password is not fetched")
    # Nothing ends a library that waits for a name server, or reads headers that drip: a thread is left.
    got: SimpleQueue[tuple[bytes, str] | Exception] = SimpleQueue()

    def fetch() -> None:
        try:
            got.put(_page(url))
        except Exception as error:
            got.put(error)

    Thread(target=fetch, name="selfedit-page", daemon=True).start()
    try:
        found = got.get(timeout=_ALL_SECONDS)
    except Empty:
        found = TimeoutError(f"not there after {_ALL_SECONDS} s")
    if isinstance(found, OSError | ValueError | HTTPException):
        raise InputError(f"{url} cannot be fetched: {found}")
    if isinstance(found, Exception):
        raise found
    data, kind = found
    if len(data) > _MOST_BYTES:
        raise InputError(f"{url} has more than {_MOST_BYTES // 1_000_000} MB: download and split it")
    path = Path(url.split("?", maxsplit=1)[0].split("#", maxsplit=1)[0])
    own = path.suffix.lower() if path.suffix.lower() in SUPPORTED else ""
    suffix = _OF_TYPE.get(kind, "") or sniffed(data) or own
    return document_of(data, suffix, url, title=path.stem or url)
