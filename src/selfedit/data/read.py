"""`--quiz` and `--data`: one reader for both.

A quiz is the questions of a source, whatever they stand in; tasks are its contexts with their
questions. What is left out of a source is counted (`Skipped`), so that nothing is missing in silence.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from selfedit.config import stable_hash
from selfedit.data.files import dataset, values
from selfedit.data.golds import FORM
from selfedit.data.shapes import Passage, passages
from selfedit.data.tasks import merge_tasks
from selfedit.errors import InputError
from selfedit.home import MOST_ANSWER, MOST_CONTEXT, check_length
from selfedit.types import Query, Task

_TASK = '{"title": "...", "context": "...", "questions": [{"question": "...", "answer": "..."}]}'
# rajpurkar/squad, or rajpurkar/squad:validation
_DATASET = re.compile(r"([\w.-]+(?:/[\w.-]+)?)(?::(\w+))?")
_FILES = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".txt", ".parquet", ".arrow", ".gz", ".md")
NO_CONTEXT = "without a context"
REPEATED = "repeated"


class Skipped:
    """What a reader left out of a source. kept: questions that were read; reasons: of those that were
    not, and how many."""

    def __init__(self) -> None:
        self.kept = 0
        self.reasons: Counter[str] = Counter()

    def notes(self, source: Path | str) -> tuple[str, ...]:
        """For the user, in one sentence; nothing if nothing was skipped."""
        total = sum(self.reasons.values())
        if not total:
            return ()
        why = ", ".join(f"{count:,} {reason}" for reason, count in self.reasons.most_common())
        every = total + self.kept
        return (f"Skipped {total:,} of {every:,} question{'s' * (every != 1)} in {source}: {why}.",)


def read_quiz(
    source: Path | str, split: str = "train", skipped: Skipped | None = None
) -> tuple[Query, ...]:
    """Questions of a file or data set, in order; the title of a passage is their topic.

    skipped: told what was left out. Raises InputError with the source and the place.
    """
    skipped = Skipped() if skipped is None else skipped
    queries: list[Query] = []
    for passage in _passages(source, split):
        queries += _with_context(passage) if passage.needed else passage.queries
        skipped.reasons.update(passage.skipped)
    found, queries = queries, list(dict.fromkeys(queries))  # the half held out must not hold the other
    if len(found) > len(queries):
        skipped.reasons[REPEATED] += len(found) - len(queries)
    skipped.kept += len(queries)
    if not queries:
        raise InputError(_nothing(source, "questions", skipped, FORM))
    return tuple(queries)


def _with_context(passage: Passage) -> Iterator[Query]:
    for query in passage.queries:
        asked = f"{query.question}\n{passage.context.strip()}".strip()
        yield replace(query, question=asked)


def read_tasks(source: Path | str, split: str = "train", skipped: Skipped | None = None) -> list[Task]:
    """All tasks of a file or data set, in its order; a context that recurs is merged into its first.

    split: of a data set; files have none. skipped: told what was left out. Raises InputError with the
    source and the place.
    """
    return merge_tasks(iter_tasks(source, split, skipped))


def iter_tasks(
    source: Path | str, split: str = "train", skipped: Skipped | None = None
) -> Iterator[Task]:
    """The tasks one by one. JSON lines, parquet and data sets are never held whole in memory.

    Neighbours with the same context are joined. One that recurs later is given again, with the same id:
    `read_tasks`, `merge_tasks` and `take` put them together.
    """
    skipped = Skipped() if skipped is None else skipped
    count = 0
    for _, same in itertools.groupby(_tasks(source, split, skipped), key=lambda task: task.id):
        yield from merge_tasks(same)
        count += 1
    if not count:
        raise InputError(_nothing(source, "contexts", skipped, _TASK))


def count_tasks(tasks: Sequence[Task]) -> tuple[int, int]:
    """How many contexts and questions there are."""
    return len(tasks), sum(len(task.queries) for task in tasks)


def _tasks(source: Path | str, split: str, skipped: Skipped) -> Iterator[Task]:
    for passage in _passages(source, split):
        if passage.context.strip():
            skipped.reasons.update(passage.skipped)
            skipped.kept += len(passage.queries)
            yield Task(
                stable_hash([passage.title, passage.context]),
                passage.title,
                passage.context,
                passage.queries,
            )
        elif lost := len(passage.queries) + len(passage.skipped):
            skipped.reasons[NO_CONTEXT] += lost
        else:
            raise InputError(f'{passage.where}: "context" is empty')


def _nothing(source: Path | str, wanted: str, skipped: Skipped, form: str) -> str:
    """The message for a source that holds nothing to use."""
    if lost := skipped.reasons[NO_CONTEXT]:
        return (
            f"{source} holds {lost:,} question{'s' * (lost != 1)} but no contexts, about which "
            f"self-edits could be written; write one line for each: {form}"
        )
    if skipped.reasons:
        why = ", ".join(f"{count:,} are {reason}" for reason, count in skipped.reasons.most_common())
        return f"{source} holds no {wanted} that can be used: {why}"
    return f"{source} holds no {wanted}; write one line for each: {form}"


def _passages(source: Path | str, split: str) -> Iterator[Passage]:
    """Every passage of the source."""
    path = Path(source)
    name, own_split = ("", "") if path.exists() else _dataset_name(str(source))
    split = own_split or split
    if path.is_dir() or (name and Path(name).is_dir()):
        without = "is a folder; name a file in it, or, to read it as a dataset"
        rows = dataset(name or str(path), split, without)
    elif name:
        rows = dataset(name, split, "no such file; to read a Hugging Face dataset of that name")
    else:
        rows = values(path)
    for row in rows:
        for passage in passages(row.where, row.value, split, spaced=row.is_row):
            _check_lengths(passage)
            yield passage


def _check_lengths(passage: Passage) -> None:
    where = passage.where
    advice = "a context is one passage; `selfedit learn` splits documents, `selfedit generate` too"
    check_length(f"{where}: the context", len(passage.context), MOST_CONTEXT, advice)
    check_length(f"{where}: the title", len(passage.title), MOST_ANSWER, "shorten it")
    for query in passage.queries:
        check_length(f"{where}: a question", len(query.question), MOST_ANSWER, "shorten it")
        longest = max(map(len, query.answers))
        check_length(f"{where}: an answer", longest, MOST_ANSWER, "an answer is a few words")


def _dataset_name(source: str) -> tuple[str, str]:
    """A data set's id and split ("": the usual one); "" for what can only be a file."""
    found = _DATASET.fullmatch(source)
    if found is None or Path(source).suffix.lower() in _FILES:
        return "", ""
    return found[1], found[2] or ""
