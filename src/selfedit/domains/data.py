"""Contexts with their questions, as tasks: read from files and Hugging Face datasets, and split.

These are read (with a title, a context and its questions; everything else is ignored):
- SQuAD v1.1 and v2.0 JSON (questions without an answer are left out),
- a JSON list of items {"title", "context", "questions": [{"question", "answer"}]}, as in the paper's
  release,
- JSON lines of such items, or of one question each: {"title", "context", "question", "answers"},
- a Hugging Face dataset, by its id or its local folder, with the columns of `squad` or of such items
  (the extra `data`).

Which contexts are in a split follows from their text and the seed alone.
"""

from __future__ import annotations

import codecs
import heapq
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from selfedit.config import stable_hash
from selfedit.domains.knowledge.documents import read_text
from selfedit.domains.knowledge.quiz import list_of, read_question
from selfedit.errors import InputError
from selfedit.grading import normalise
from selfedit.types import Task

_FORM = '{"title": "...", "context": "...", "questions": [{"question": "...", "answer": "..."}]}'
_DATASET_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def read_tasks(source: Path | str, split: str = "train") -> list[Task]:
    """All tasks of a file or dataset id, in its order; a context that recurs is merged into its first.

    split: of a dataset; files have none. Raises InputError with the file and the place.
    """
    return merge_tasks(iter_tasks(source, split))


def iter_tasks(source: Path | str, split: str = "train") -> Iterator[Task]:
    """The tasks one by one. JSON lines and datasets are never held whole in memory.

    Neighbours with the same context are joined. One that recurs later is given again, with the same id:
    `read_tasks`, `merge_tasks` and `take` put them together.
    """
    count = 0
    for _, same in itertools.groupby(_items(source, split), key=lambda task: task.id):
        yield from merge_tasks(same)
        count += 1
    if not count:
        raise InputError(f"{source} holds no contexts; write one line for each: {_FORM}")


def merge_tasks(tasks: Iterable[Task]) -> list[Task]:
    """One task for each id, in the order of their first, with the questions of all."""
    merged: dict[str, Task] = {}
    for task in tasks:
        first = merged.get(task.id)
        merged[task.id] = task if first is None else _joined(first, task)
    return list(merged.values())


def take(tasks: Iterable[Task], n: int, seed: int) -> list[Task]:
    """A seeded sample of n tasks, which a larger one begins with.

    A task's place depends on its context and the seed, not on the order of the file. Holds n tasks in
    memory, whatever the length of a stream. Raises InputError where there are fewer.
    """
    heap: list[tuple[int, int, str]] = []  # negative ranks: the next to be dropped is on top
    kept: dict[str, Task] = {}
    for task in tasks:
        if task.id in kept:
            kept[task.id] = _joined(kept[task.id], task)
            continue
        text, identity = _rank(task, seed)
        kept[task.id] = task
        heapq.heappush(heap, (-text, -identity, task.id))
        if len(heap) > n:
            del kept[heapq.heappop(heap)[2]]
    if len(kept) < n:
        raise InputError(f"there are {len(kept)} contexts, and {n} are asked for")
    return sorted(kept.values(), key=lambda task: _rank(task, seed))


def _rank(task: Task, seed: int) -> tuple[int, int]:
    """By hash and not random.shuffle, whose draws may change between versions of Python."""
    return int(stable_hash([seed, _text_key(task)]), 16), int(stable_hash(task.id), 16)


def _text_key(task: Task) -> str:
    return stable_hash(normalise(task.context) or task.context.strip())


def _joined(first: Task, second: Task) -> Task:
    """The questions of both; one that is already there with the same answers is not added."""
    new = [query for query in second.queries if query not in first.queries]
    return replace(first, queries=(*first.queries, *new)) if new else first


# -- reading ---------------------------------------------------------------------------------------


def _items(source: Path | str, split: str) -> Iterator[Task]:
    path = Path(source)
    if path.is_dir():
        return _dataset(str(path), split, "is a folder; name a file in it, or, to read it as a dataset")
    if not path.exists() and isinstance(source, str) and _is_dataset_id(source):
        return _dataset(source, split, "no such file; to read a Hugging Face dataset of that name")
    return _json_lines(path) if path.suffix.lower() == ".jsonl" else _json(path)


def _is_dataset_id(source: str) -> bool:
    suffix = Path(source).suffix.lower()
    return suffix not in (".json", ".jsonl") and _DATASET_ID.fullmatch(source) is not None


def _json_lines(path: Path) -> Iterator[Task]:
    for where, line in _lines(path):
        try:
            item = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{where}: invalid JSON ({error}); each line is {_FORM}") from None
        yield _task(where, item)


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """(place, text) of the nonempty lines; one line in memory at a time."""
    try:
        with path.open("rb") as file:
            # Bytes are split at \n alone: JSON text may hold U+2028 and the like.
            for number, data in enumerate(file, start=1):
                where = f"{path}, line {number}"
                if number == 1 and data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                    raise InputError(f"{path} is UTF-16: convert it with `iconv -f utf16 -t utf8`")
                try:
                    text = data.removeprefix(codecs.BOM_UTF8 if number == 1 else b"").decode("utf-8")
                except UnicodeDecodeError as error:
                    raise InputError(f"{where} is not UTF-8: byte {error.start + 1}") from None
                if text.strip():
                    yield where, text
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder: name a file in it") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None


def _json(path: Path) -> Iterator[Task]:
    _, text = read_text(path)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        if path.suffix.lower() != ".json" and text.lstrip().startswith("{"):
            yield from _json_lines(path)
            return
        line = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise InputError(f"{path}{line}: invalid JSON ({error})") from None
    if isinstance(data, dict) and "data" in data:
        yield from _squad(path, data)
    elif isinstance(data, list):
        for number, item in enumerate(data, start=1):
            yield _task(f"{path}, item {number}", item)
    elif isinstance(data, dict) and "context" in data:
        yield _task(str(path), data)
    else:
        raise InputError(f'{path}: expected SQuAD ({{"data": [...]}}) or a list of {_FORM}')


def _squad(path: Path, data: dict[str, Any]) -> Iterator[Task]:
    for i, article in enumerate(list_of(str(path), data, "data"), start=1):
        where = f"{path}, article {i}"
        for j, paragraph in enumerate(list_of(where, article, "paragraphs"), start=1):
            inner = f"{where}, paragraph {j}"
            questions = list_of(inner, paragraph, "qas")
            title = article.get("title") or ""
            # SQuAD's own file says New_York_City where everyone else says New York City.
            item = {**paragraph, "title": title.replace("_", " ") if isinstance(title, str) else title}
            yield _task(inner, {**item, "questions": questions})


def _task(where: str, item: Any) -> Task:
    """A task from an item with its questions, or with one."""
    if not isinstance(item, dict):
        raise InputError(f"{where}: not an object; expected {_FORM}")
    context, title = item.get("context"), item.get("title") or ""
    if not isinstance(context, str) or not context.strip():
        found = ", ".join(f'"{key}"' for key in list(item)[:6]) or "nothing"
        state = (
            "is empty" if isinstance(context, str) else f"is missing or not a string; found: {found}"
        )
        raise InputError(f'{where}: "context" {state}')
    if not isinstance(title, str):
        raise InputError(f'{where}: "title" must be a string')
    if isinstance(item.get("question"), str):
        entries = [(where, item)]
    else:
        given = [] if item.get("questions") is None else list_of(where, item, "questions")
        entries = [(f"{where}, question {n}", entry) for n, entry in enumerate(given, start=1)]
    queries = tuple(
        read_question(place, _entry(entry), title.strip())
        for place, entry in entries
        if not _unanswerable(entry)
    )
    return Task(stable_hash([title, context]), title, context, queries)


def _entry(entry: Any) -> Any:
    """A question of a file; the columns of `squad` hold {"text": [...], "answer_start": [...]}."""
    answers = entry.get("answers") if isinstance(entry, dict) else None
    return {**entry, "answers": answers.get("text")} if isinstance(answers, dict) else entry


def _unanswerable(entry: Any) -> bool:
    """SQuAD 2: without an answer there is nothing to know."""
    if not isinstance(entry, dict) or "answer" in entry:
        return False
    answers = entry.get("answers")
    columns = isinstance(answers, dict) and answers.get("text") == []
    return bool(entry.get("is_impossible")) or columns


def _dataset(name: str, split: str, without: str) -> Iterator[Task]:
    """The rows of a Hugging Face dataset, streamed. without: beginning of the message if its library is
    missing."""
    try:
        from datasets import load_dataset
    except ImportError:
        raise InputError(
            f'{name}: {without}, install its library: pip install "selfedit[data]"'
        ) from None
    number = 0
    try:
        # The library's own errors are of many kinds: unknown id or split, no network, damaged files.
        for number, row in enumerate(load_dataset(name, split=split, streaming=True), start=1):
            title = row.get("title")
            clean = {**row, "title": title.replace("_", " ")} if isinstance(title, str) else row
            yield _task(f"{name} ({split}), row {number}", clean)
    except InputError:
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        after = f" after row {number}" if number else ""
        raise InputError(f"the dataset {name} ({split}) cannot be read{after}: {reason}") from error
