"""The passages of a corpus one after the other, however many there are: of documents (files, folders,
globs) and of rows of data sets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from selfedit.data import Skipped, iter_tasks
from selfedit.data.read import NO_CONTEXT
from selfedit.domains.knowledge.documents import Document, Section, split_passages
from selfedit.domains.knowledge.kinds import SUPPORTED
from selfedit.domains.knowledge.sources import iter_sources
from selfedit.errors import InputError
from selfedit.home import expanded
from selfedit.types import Task

_ROWS = (".json", ".jsonl", ".ndjson", ".parquet", ".arrow")
_SAVED = ("dataset_dict.json", "dataset_info.json", "state.json")  # what `save_to_disk` writes


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage and where it is from. document: the file, or the data set. position: among the
    document's passages, from 0."""

    task: Task
    document: str
    position: int


class Passages:
    """The passages of what is named, in one order, read anew each time.

    max_words: a longer context is split (`documents.split_passages`). limit: of all passages, the first
    so many; None: all. without: files that are not read, such as the corpus's own card where it lies
    among the documents. notes: what the last reading left out.
    """

    def __init__(
        self,
        named: Sequence[str],
        max_words: int,
        limit: int | None = None,
        without: Sequence[Path] = (),
    ) -> None:
        if not named:
            raise InputError("no document was named")
        for name in named:
            if name == "-" or name.lower().startswith(("http://", "https://")):
                raise InputError(
                    f"{name}: a corpus is read more than once; write it into a file, and name that"
                )
        self.named, self.max_words, self.limit = tuple(named), max_words, limit
        self.without = frozenset(str(file.resolve()) for file in without)
        self.notes: list[str] = []

    def __iter__(self) -> Iterator[Passage]:
        """Raises InputError for what cannot be read."""
        self.notes = []
        for number, passage in enumerate(self._all()):
            if self.limit is not None and number >= self.limit:
                return
            yield passage

    def _all(self) -> Iterator[Passage]:
        for name in self.named:
            if _holds_rows(name):
                yield from self._rows(name)
                continue
            for document in iter_sources([name], self.notes):
                if document.source in self.without:
                    continue
                for position, task in enumerate(split_passages(document, self.max_words)):
                    yield Passage(task, document.source, position)

    def _rows(self, name: str) -> Iterator[Passage]:
        place = str(expanded(name).resolve()) if expanded(name).exists() else name
        skipped, position = Skipped(), 0
        for row in iter_tasks(expanded(name) if expanded(name).exists() else name, skipped=skipped):
            for task in self._split(row):
                yield Passage(task, place, position)
                position += 1
        if lost := skipped.reasons[NO_CONTEXT]:  # those with one are passages, however they are asked
            self.notes.append(f"{lost:,} question{'s' * (lost != 1)} {NO_CONTEXT} left out of {name}.")

    def _split(self, row: Task) -> tuple[Task, ...]:
        """A context that is short enough stays as it is: it is the task that `train` knows."""
        lines = tuple(line for line in row.context.splitlines() if line.strip())
        parts = split_passages(Document(row.title, (Section("", lines),), "", ""), self.max_words)
        return parts if len(parts) > 1 else (replace(row, queries=()),)


def _holds_rows(name: str) -> bool:
    """Whether a name is a data set's: a file of rows, a folder that holds one, or one of the hub."""
    path = expanded(name)
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    suffix = (suffixes or [""])[-1]
    if path.is_dir():
        return any((path / own).is_file() for own in _SAVED)
    if path.exists() or suffix in _ROWS:
        return suffix in _ROWS
    return name.count("/") == 1 and not set(name) & set("*?[ ~") and suffix not in SUPPORTED


class Rolling:
    """The identity of the passages so far, for each passage that is added."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, passage: Passage) -> None:
        self._digest.update(passage.task.id.encode())

    @property
    def value(self) -> str:
        return self._digest.hexdigest()[:32]
