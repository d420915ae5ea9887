"""Shapes of records: what a passage with its questions, one question, or a conversation looks like.

- SQuAD 1 and 2: {"data": [{"title", "paragraphs": [{"context", "qas": [...]}]}]}, or articles by
  themselves
- a context with its questions: {"title", "context", "questions" or "qas": [{"question", "answer"}]}
- one question: {"question", "answer"}, with a "context" or without
- Alpaca: {"instruction", "input", "output"}; {"prompt", "completion"}
- a conversation (`conversations.py`)

`roles.NAMES` has the names that keys may have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfedit.data.containers import (
    ASKING,
    by_key,
    is_columns,
    is_record,
    is_table,
    records_of,
    rows_of,
)
from selfedit.data.conversations import questions_of, speaker, turns_of
from selfedit.data.golds import FORM, golds, unanswerable
from selfedit.data.roles import find, found_keys, is_missing, key, named
from selfedit.errors import InputError
from selfedit.types import Query

_LISTS = ("data", "rows", "items", "examples", "records", "dataset", "train", "articles", "paragraphs")

UNANSWERABLE = "unanswerable"


@dataclass(frozen=True, slots=True)
class Passage:
    """A context with its questions; "" if it has none, and then it is questions alone.

    skipped: why questions were left out, once for each. needed: whether the questions cannot be
    understood without the context (Alpaca's "input").
    """

    where: str
    title: str
    context: str
    queries: tuple[Query, ...]
    skipped: tuple[str, ...] = ()
    needed: bool = False


def passages(where: str, value: Any, split: str, *, spaced: bool = False) -> Iterator[Passage]:
    """The passages of one JSON value: a record, or something that holds records.

    where: its place, for messages. spaced: whether titles have underscores for spaces, as those of
    SQuAD. Raises InputError for what cannot be read.
    """
    if isinstance(value, list):
        yield from _listed(where, value, split, spaced)
    elif not isinstance(value, dict):
        raise InputError(f"{where}: not an object; write {FORM}")
    elif isinstance(value.get("paragraphs"), list):
        yield from _article(where, value)
    elif is_table(value):
        yield from passages(where, rows_of(where, value), split, spaced=spaced)
    elif is_columns(value):
        yield from passages(where, records_of(value), split, spaced=spaced)
    elif (inner := _inner(where, value, split)) is not None:
        name, records = inner
        one = "article" if name in ("data", "articles") and _holds_articles(records) else "item"
        for number, record in enumerate(records, start=1):
            yield from passages(f"{where}, {one} {number}", record, split, spaced=spaced)
    elif key(next(iter(value), "")) == "header" and len(value) == 1:
        return  # MRQA's first line
    elif (parts := by_key(value)) is not None:
        for name, record in parts.items():
            yield from passages(f"{where}, {name}", record, split, spaced=spaced)
    else:
        yield _passage(where, value, spaced)


def _listed(where: str, value: list[Any], split: str, spaced: bool) -> Iterator[Passage]:
    if value and all(isinstance(one, dict) and speaker(one) for one in value):
        yield _conversation(where, value)
        return
    if (
        len(value) == 2
        and all(isinstance(one, str) for one in value)
        and value[0].rstrip().endswith(ASKING)
    ):
        value = [{"question": value[0], "answer": value[1]}]
    if value and not any(isinstance(one, dict | list) for one in value):
        raise InputError(f"{where}: not an object; write {FORM}")
    for number, record in enumerate(value, start=1):
        yield from passages(f"{where}, item {number}", record, split, spaced=spaced)


def _inner(where: str, value: Mapping[str, Any], split: str) -> tuple[str, list[Any]] | None:
    """The list that a file's object is there for: {"data": [...]}, {"train": [...]}."""
    if is_record(value):
        return None
    for name in (split, *_LISTS):
        if isinstance(value.get(name), list):
            return name, value[name]
        if name in value and name in ("data", "rows"):
            raise InputError(f'{where}: no list "{name}" there')
    return None


def _holds_articles(records: Sequence[Any]) -> bool:
    return any(isinstance(record, dict) and "paragraphs" in record for record in records)


def _article(where: str, article: Mapping[str, Any]) -> Iterator[Passage]:
    """SQuAD's: its own file says New_York_City where everyone else says New York City."""
    title = article.get("title")
    for number, paragraph in enumerate(article["paragraphs"], start=1):
        inner = f"{where}, paragraph {number}"
        if not isinstance(paragraph, dict) or not named(paragraph, "questions"):
            raise InputError(f'{inner}: no list "qas" there')
        yield _passage(inner, {**paragraph, "title": title}, spaced=True)


def _passage(where: str, record: Mapping[str, Any], spaced: bool) -> Passage:
    """A record by itself."""
    record = record["row"] if isinstance(record.get("row"), dict) else record  # the data sets server's
    if (turns := turns_of(record)) is not None:
        return _conversation(where, turns)
    record = _flat(record)
    title = _title(where, record, spaced)
    context = _text_of(find(record, "context"))
    asked = find(record, "question")
    answered = find(record, "answer")
    own = find(record, "input")
    needed = isinstance(asked, str) and isinstance(own, str) and not named(record, "context")
    context = own if needed else context
    if asked is None and isinstance(own, str) and answered is not None:
        record = {**record, "question": own}
        asked = own
    entries: list[tuple[str, Any]]
    if named(record, "questions") and not isinstance(asked, str):
        entries = _entries(where, record)
    elif named(record, "question") or named(record, "answer"):
        entries = [(where, record)]
    elif isinstance(context, str):
        entries = []
    else:
        raise InputError(
            f'{where}: "question" is missing, and "context" is missing; found: {found_keys(record)}; '
            f"write {FORM}"
        )
    return _with_queries(where, title, context, entries, needed)


def _flat(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """A record whose question is an object (CommonsenseQA, NarrativeQA), whose inputs and outputs are
    (LangSmith), or whose answer stands beside its place (SQuAD in a CSV file), as a plain one."""
    inputs, outputs = record.get("inputs"), record.get("outputs", record.get("reference_outputs"))
    if isinstance(inputs, dict) and isinstance(outputs, dict):
        record = {**record, **inputs, **outputs}
    asked = find(record, "question")
    if isinstance(asked, dict) and isinstance(text := asked.get("stem", asked.get("text")), str):
        record = {**record, **asked, named(record, "question")[0]: text}
    if "answer_start" in record and "text" in record and not named(record, "answer"):
        record = {**record, "answer": record["text"]}
    return record


def _text_of(context: Any) -> Any:
    """A context in parts as one text: sentences, HotpotQA's [title, sentences] in either shape,
    NarrativeQA's summary."""
    if isinstance(context, dict) and isinstance(context.get("sentences"), list):
        titles = context.get("title")
        titles = titles if isinstance(titles, list) else [""] * len(context["sentences"])
        context = [list(pair) for pair in zip(titles, context["sentences"], strict=False)]
    if isinstance(context, dict):
        summary = context.get("summary")
        context = summary if isinstance(summary, dict) else context
        return context.get("text")
    if not isinstance(context, list) or not context:
        return context
    parts = [_part(one) for one in context]
    return "\n".join(parts) if all(parts) else context


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, list) and len(part) == 2 and isinstance(part[1], list):
        part = [f"{part[0]}:" if part[0] else "", *part[1]]
    if isinstance(part, list) and all(isinstance(one, str) for one in part):
        return " ".join(one.strip() for one in part if one.strip())
    return ""


def _with_queries(
    where: str, title: str, context: Any, entries: list[tuple[str, Any]], needed: bool
) -> Passage:
    queries: list[Query] = []
    skipped: list[str] = []
    for place, entry in entries:
        if isinstance(entry, dict) and unanswerable(entry):
            skipped.append(UNANSWERABLE)
        else:
            queries.append(_query(place, entry, title))
    text = context if isinstance(context, str) else ""
    return Passage(where, title, text, tuple(queries), tuple(skipped), needed)


def _entries(where: str, record: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The questions of a passage with their places; answers may stand in a list of their own (CoQA)."""
    name = named(record, "questions")[0]
    given = find(record, "questions")
    if isinstance(given, dict):  # columns
        given = rows_of(where, given) if is_table(given) else records_of(given)
    if given is None and is_missing(record[name]):
        return []
    if not isinstance(given, list):
        raise InputError(f'{where}: no list "{name}" there')
    answers = find(record, "answer")
    apart = isinstance(answers, list) and len(answers) == len(given)
    entries = []
    for number, one in enumerate(given, start=1):
        entry = {"question": one} if isinstance(one, str) else one
        if apart and isinstance(entry, dict) and not named(entry, "answer"):
            entry = {**entry, "answer": answers[number - 1]}
        entries.append((f"{where}, question {number}", entry))
    return entries


def _query(where: str, entry: Any, title: str) -> Query:
    if not isinstance(entry, dict):
        raise InputError(f"{where}: not an object; write {FORM}")
    question = find(entry, "question")
    if not isinstance(question, str) or not question.strip():
        names = named(entry, "question")
        if not names:
            raise InputError(f'{where}: "question" is missing; found: {found_keys(entry)}')
        state = "is empty" if isinstance(question, str) else "must be a string"
        raise InputError(f'{where}: "{names[0]}" {state}')
    own = find(entry, "title")
    topic = own.strip() if isinstance(own, str) and not title else title
    return Query(question.strip(), golds(where, entry), topic)


def _title(where: str, record: Mapping[str, Any], spaced: bool) -> str:
    title = find(record, "title")
    if title is None:
        return ""
    if isinstance(title, bool) or not isinstance(title, str | int | float):
        raise InputError(f'{where}: "{named(record, "title")[0]}" must be a string')
    return str(title).replace("_", " ") if spaced else str(title)


def _conversation(where: str, turns: list[Any]) -> Passage:
    return Passage(where, "", "", *questions_of(turns))
