"""Shapes of records: what a passage with its questions, one question, or a conversation looks like.

- SQuAD 1 and 2: {"data": [{"title", "paragraphs": [{"context", "qas": [...]}]}]}, or articles by
  themselves
- a context with its questions: {"title", "context", "questions" or "qas": [{"question", "answer"}]}
- one question: {"question", "answer"}, with a "context" or without
- Alpaca: {"instruction", "input", "output"}; {"prompt", "completion"}
- a conversation: {"messages": [{"role", "content"}]}, {"conversations": [{"from", "value"}]}

`roles.NAMES` has the names that keys may have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfedit.data.golds import FORM, golds, unanswerable
from selfedit.data.roles import find, found_keys, is_missing, key, named
from selfedit.errors import InputError
from selfedit.types import Query

_USER = ("user", "human", "prompter")
_ASSISTANT = ("assistant", "gpt", "bot", "model", "chatgpt")
_LISTS = ("data", "rows", "items", "examples", "records", "dataset", "train", "articles", "paragraphs")

UNANSWERABLE = "unanswerable"
NO_REPLY = "in conversations without a reply"
NO_TEXT = "without text (pictures or calls of tools)"


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
    elif _is_table(value):
        yield from passages(where, _rows(where, value), split, spaced=spaced)
    elif (inner := _inner(where, value, split)) is not None:
        name, records = inner
        one = "article" if name in ("data", "articles") and _holds_articles(records) else "item"
        for number, record in enumerate(records, start=1):
            yield from passages(f"{where}, {one} {number}", record, split, spaced=spaced)
    elif key(next(iter(value), "")) == "header" and len(value) == 1:
        return  # MRQA's first line
    else:
        yield _passage(where, value, spaced)


def _listed(where: str, value: list[Any], split: str, spaced: bool) -> Iterator[Passage]:
    if value and all(isinstance(one, dict) and _speaker(one) for one in value):
        yield _conversation(where, value)
        return
    if value and not any(isinstance(one, dict | list) for one in value):
        raise InputError(f"{where}: not an object; write {FORM}")
    for number, record in enumerate(value, start=1):
        yield from passages(f"{where}, item {number}", record, split, spaced=spaced)


def _inner(where: str, value: Mapping[str, Any], split: str) -> tuple[str, list[Any]] | None:
    """The list that a file's object is there for: {"data": [...]}, {"train": [...]}."""
    if any(named(value, role) for role in ("question", "context", "messages")):
        return None
    for name in (split, *_LISTS):
        if isinstance(value.get(name), list):
            return name, value[name]
        if name in value and name in ("data", "rows"):
            raise InputError(f'{where}: no list "{name}" there')
    return None


def _holds_articles(records: Sequence[Any]) -> bool:
    return any(isinstance(record, dict) and "paragraphs" in record for record in records)


def _is_table(value: Mapping[str, Any]) -> bool:
    """pandas' to_json: {"question": {"0": ...}, ...}, or {"columns": [...], "data": [[...]]}."""
    if isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):
        return True
    return bool(value) and all(
        isinstance(column, dict) and column and all(str(at).isdigit() for at in column)
        for column in value.values()
    )


def _rows(where: str, value: Mapping[str, Any]) -> list[dict[str, Any]]:
    if isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):
        names = [str(name) for name in value["columns"]]
        rows = [row for row in value["data"] if isinstance(row, list) and len(row) == len(names)]
        if len(rows) != len(value["data"]):
            raise InputError(f'{where}: each row of "data" must have one value for each of "columns"')
        return [dict(zip(names, row, strict=True)) for row in rows]
    places = dict.fromkeys(at for column in value.values() for at in column)
    return [{name: column.get(at) for name, column in value.items()} for at in places]


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
    if (turns := _turns(record)) is not None:
        return _conversation(where, turns)
    title = _title(where, record, spaced)
    context = find(record, "context")
    if isinstance(context, list) and context and all(isinstance(one, str) for one in context):
        context = "\n".join(context)
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
        given = _rows(where, given) if _is_table(given) else _columns(given)
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


def _columns(given: Mapping[str, Any]) -> Any:
    """A list of records from an object of columns, as `datasets` makes of a list of objects."""
    lengths = {len(column) for column in given.values() if isinstance(column, list)}
    if len(lengths) != 1 or not all(isinstance(column, list) for column in given.values()):
        return given
    return [dict(zip(given, row, strict=True)) for row in zip(*given.values(), strict=True)]


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


# -- conversations ---------------------------------------------------------------------------------


def _turns(record: Mapping[str, Any]) -> list[Any] | None:
    """The turns of a conversation; a prompt and its completion may be lists of turns, too."""
    value = find(record, "messages")
    turns: list[Any] = []
    for part in (value, find(record, "question"), find(record, "input"), find(record, "answer")):
        if isinstance(part, list) and part and all(isinstance(t, dict) and _speaker(t) for t in part):
            turns += part
        elif turns and isinstance(part, str):  # OpenAI's evals: {"input": [turns], "ideal": "..."}
            turns.append({"role": "assistant", "content": part})
        if turns and part is value is not None:
            return turns
    # A completion by itself may be a list of one turn: then it is a plain answer.
    return turns if any(_speaker(turn) in _USER for turn in turns) else None


def _speaker(turn: Mapping[str, Any]) -> str:
    who = turn.get("role", turn.get("from"))
    return who.lower() if isinstance(who, str) else ""


def _conversation(where: str, turns: list[Any]) -> Passage:
    """Each turn of the user with the reply to it is a question."""
    queries: list[Query] = []
    skipped: list[str] = []
    asked: str | None = None
    waiting = False
    for turn in turns:
        who = _speaker(turn)
        said = turn.get("content", turn.get("value"))
        if who in _USER:
            if waiting:
                skipped.append(NO_REPLY)
            asked, waiting = _said(said), True
        elif who in _ASSISTANT and waiting:
            reply = _said(said)
            if asked and reply:
                queries.append(Query(asked, (reply,)))
            else:
                skipped.append(NO_TEXT)
            waiting = False
    if waiting or not (queries or skipped):
        skipped.append(NO_REPLY)
    return Passage(where, "", "", tuple(queries), tuple(skipped))


def _said(content: Any) -> str:
    """The text of a turn; contents of several parts have a type each."""
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) else part for part in content]
        texts = [part for part in parts if isinstance(part, str)]
        # A question about a picture is none without it.
        content = "\n".join(texts) if len(texts) == len(parts) else ""
    return content.strip() if isinstance(content, str) else ""
