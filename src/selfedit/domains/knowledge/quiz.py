"""Quizzes: reading them, and holding out half of one for the report."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from selfedit.config import stable_hash
from selfedit.domains.knowledge.documents import read_text
from selfedit.errors import InputError
from selfedit.types import Query

_FORM = '{"question": "...", "answer": "..."}'


def read_quiz(path: Path | str) -> tuple[Query, ...]:
    """Questions of a file, in order. Raises InputError with the file and the place.

    Read are: JSON lines of {"question", "answer"}, where "answer" is a text, a number or a list of
    either, and "topic" may be given; SQuAD v1.1; and a JSON list of such questions, or of passages
    {"title", "context", "questions": [...]}. A SQuAD or passage title becomes the topic.
    """
    path = Path(path)
    _, text = read_text(path)
    queries = tuple(_read(path, text))
    if not queries:
        raise InputError(f"{path} holds no questions; write one line for each: {_FORM}")
    return queries


def _read(path: Path, text: str) -> Iterator[Query]:
    if path.suffix.lower() != ".jsonl":
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            if path.suffix.lower() == ".json" and text.strip():
                raise InputError(f"{_place(path, error)}: invalid JSON ({_why(error)})") from None
        else:
            yield from _whole(path, data)
            return
    # Not splitlines(): JSON text may hold U+2028 and the like.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            where = f"{path}, line {number}"
            yield read_question(where, _loads(where, line))


def _loads(where: str, line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{where}: invalid JSON ({_why(error)}); each line is one question: {_FORM}"
        ) from None


def _place(path: Path, error: Exception) -> str:
    return f"{path}, line {error.lineno}" if isinstance(error, json.JSONDecodeError) else str(path)


def _why(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}, column {error.colno}"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _whole(path: Path, data: Any) -> Iterator[Query]:
    """Questions of a file that is one JSON value."""
    if isinstance(data, dict) and "data" in data:
        yield from _squad(path, data["data"])
    elif isinstance(data, list):
        for number, item in enumerate(data, start=1):
            where = f"{path}, item {number}"
            if isinstance(item, dict) and "questions" in item:
                title = _topic(item)
                for count, entry in enumerate(list_of(where, item, "questions"), start=1):
                    yield read_question(f"{where}, question {count}", entry, title)
            else:
                yield read_question(where, item)
    else:
        yield read_question(f"{path}, line 1", data)


def _squad(path: Path, articles: Any) -> Iterator[Query]:
    for i, article in enumerate(list_of(str(path), {"data": articles}, "data"), start=1):
        where = f"{path}, article {i}"
        for j, paragraph in enumerate(list_of(where, article, "paragraphs"), start=1):
            inner = f"{where}, paragraph {j}"
            for k, entry in enumerate(list_of(inner, paragraph, "qas"), start=1):
                if isinstance(entry, dict) and entry.get("is_impossible"):
                    continue  # SQuAD 2: without an answer there is nothing to know
                topic = _topic(article).replace("_", " ")
                yield read_question(f"{inner}, question {k}", entry, topic)


def list_of(where: str, holder: Any, name: str) -> list[Any]:
    value = holder.get(name) if isinstance(holder, dict) else None
    if not isinstance(value, list):
        raise InputError(f'{where}: no list "{name}" there')
    return value


def _topic(entry: dict[str, Any]) -> str:
    value = entry.get("topic") or entry.get("title")
    return value.strip() if isinstance(value, str) else ""


def read_question(where: str, entry: Any, topic: str = "") -> Query:
    if not isinstance(entry, dict):
        raise InputError(f"{where}: not an object; write {_FORM}")
    question = entry.get("question")
    if not isinstance(question, str) or not question.strip():
        state = "is empty" if isinstance(question, str) else _missing(entry, "question")
        raise InputError(f'{where}: "question" {state}')
    name = "answers" if "answer" not in entry and "answers" in entry else "answer"
    golds = _golds(where, name, entry)
    return Query(question.strip(), golds, _topic(entry) or topic)


def _golds(where: str, name: str, entry: dict[str, Any]) -> tuple[str, ...]:
    if entry.get(name) is None:
        raise InputError(f'{where}: "answer" {_missing(entry, "answer")}')
    given = entry[name] if isinstance(entry[name], list) else [entry[name]]
    if not given:
        raise InputError(f'{where}: "{name}" is empty')
    golds: list[str] = []
    for value in given:
        gold = value.get("text") if isinstance(value, dict) else value  # SQuAD: {"text", ...}
        if isinstance(gold, bool) or not isinstance(gold, str | int | float):
            raise InputError(f'{where}: "{name}" must be a string or a list of strings')
        gold = str(gold).strip()
        if not gold:
            raise InputError(f'{where}: "{name}" is empty')
        if gold not in golds:
            golds.append(gold)
    return tuple(golds)


def _missing(entry: dict[str, Any], name: str) -> str:
    if name in entry:
        return "must be a string"
    found = ", ".join(f'"{key}"' for key in list(entry)[:5])
    return f"is missing; found: {found}" if found else "is missing"


def split_quiz(
    queries: Sequence[Query], seed: int, split_from: int = 8, sources: Sequence[str] = ()
) -> tuple[tuple[Query, ...], tuple[Query, ...]]:
    """(selection, held out): from split_from questions on, seeded halves (an odd one is held out),
    each in the order of the quiz. Fewer are too few to part: nothing is held out, and the caller
    reports on the selection and says so.

    sources: the sentence that each question is made of. Questions of one sentence stay together: what
    is chosen by one of them is good at the others. Halves are then as even as that allows; where
    all are of one sentence, nothing is held out.
    """
    if len(queries) < split_from:
        return tuple(queries), ()
    # By hash and not random.shuffle, whose draws may change between versions of Python.
    order = sorted(
        range(len(queries)),
        key=lambda i: stable_hash([seed, i, queries[i].question, list(queries[i].answers)]),
    )
    together: dict[str | int, list[int]] = {}
    for i in order:
        together.setdefault(sources[i] if sources else i, []).append(i)
    if len(together) == 1:
        return tuple(queries), ()
    chosen: set[int] = set()
    for group in together.values():
        if not chosen or len(chosen) + len(group) <= len(queries) // 2:
            chosen.update(group)
    selection = tuple(query for i, query in enumerate(queries) if i in chosen)
    held_out = tuple(query for i, query in enumerate(queries) if i not in chosen)
    return selection, held_out
