"""Records as the callers see them, and how they become rows and come back."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import PurePath
from typing import Any, Literal, cast

from selfedit.config import stable_hash
from selfedit.errors import StoreError
from selfedit.store.schema import AdapterRow, ProgressRow, RunRow, TrialRow
from selfedit.types import (
    GradedAnswer,
    Prompt,
    Query,
    Score,
    SelfEdit,
    Trial,
    TrialStatus,
)

AdapterStatus = Literal["committed", "rejected", "deleted"]
RunStatus = Literal["running", "finished", "failed", "interrupted"]


@dataclass(frozen=True, slots=True)
class Beat:
    """A run's latest sign of life (`loops.pulse`). values: JSON: where it is and how far it is."""

    values: dict[str, Any]
    updated: datetime


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One call of a command. Times are UTC; a run that was killed stays "running", and `beat` tells
    (None: of a version that gave no sign)."""

    id: int
    kind: str
    model: str
    model_revision: str
    status: RunStatus
    settings: dict[str, Any]
    inputs: dict[str, Any]
    result: dict[str, Any] | None
    error: str
    started: datetime
    finished: datetime | None
    beat: Beat | None = None


@dataclass(frozen=True, slots=True)
class LearnedPassage:
    """The texts that a passage was learned by, in order. context: the passage itself, "" in the records
    of older releases. adapter: name of the one that holds it (`learning.shelf`), "" for the version's
    own."""

    title: str
    context: str
    sequences: tuple[str, ...] = ()
    adapter: str = ""


@dataclass(frozen=True, slots=True)
class LearnedDocument:
    """What a version remembers of a document: the texts that it was trained on, and its questions.

    source: the file's resolved path, or whatever name the text was given. digest: hash of the text.
    selection: questions that chose among candidates; held_out: those that only measured.
    """

    source: str
    title: str
    digest: str
    passages: tuple[LearnedPassage, ...] = ()
    selection: tuple[Query, ...] = ()
    held_out: tuple[Query, ...] = ()

    @property
    def sequences(self) -> tuple[str, ...]:
        return tuple(text for passage in self.passages for text in passage.sequences)

    @property
    def statements(self) -> tuple[str, ...]:
        """The same texts without the titles of their passages above them."""
        return tuple(
            text.removeprefix(f"{passage.title}\n")
            for passage in self.passages
            for text in passage.sequences
        )

    @property
    def reported(self) -> tuple[Query, ...]:
        """The questions that measure best whether it is still known."""
        return self.held_out or self.selection


@dataclass(frozen=True, slots=True)
class AdapterRecord:
    """One adapter of one base model.

    version: from `Store.reserve_version`; its folder is named by it.
    parent: the version that it was trained on top of, None for the base model.
    path: where its files are, relative to the library; older stores hold other paths, which nothing
        follows (see `learning.versions`).
    created: aware, UTC.
    reason: why it was committed or rejected.
    settings, scores: JSON values (tuples come back as lists, NaN as None).
    """

    version: int
    model: str
    model_revision: str
    parent: int | None
    status: AdapterStatus
    path: str
    created: datetime
    reason: str
    settings: dict[str, Any]
    documents: tuple[LearnedDocument, ...]
    scores: dict[str, Any]
    run_id: int | None = None


def to_json(value: Any, *, exact: bool = False) -> str:
    """Strict ASCII JSON. NaN and infinities become null; ValueError with `exact`."""
    return json.dumps(
        value if exact else _finite(value), allow_nan=False, separators=(",", ":"), default=_plain
    )


def from_json(text: str) -> Any:
    """The value of a stored text. Raises StoreError where a row is damaged."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise StoreError(
            "The store holds a damaged record; restore it from a backup or start a new store."
        ) from error


def run_record(row: RunRow, progress: ProgressRow | None = None) -> RunRecord:
    return RunRecord(
        id=row.id,
        kind=row.kind,
        model=row.model,
        model_revision=row.model_revision,
        status=cast(RunStatus, row.status),
        settings=from_json(row.settings),
        inputs=from_json(row.inputs),
        result=None if row.result is None else from_json(row.result),
        error=row.error,
        started=row.started,
        finished=row.finished,
        beat=None if progress is None else Beat(from_json(progress.value), progress.updated),
    )


def adapter_row(record: AdapterRecord) -> AdapterRow:
    """Raises ValueError for a time without a zone."""
    if record.created.tzinfo is None:
        raise ValueError("AdapterRecord.created needs a time zone: datetime.now(UTC)")
    return AdapterRow(
        version=record.version,
        model=record.model,
        model_revision=record.model_revision,
        parent=record.parent,
        status=record.status,
        path=str(record.path),
        created=record.created.astimezone(UTC),
        reason=record.reason,
        settings=to_json(record.settings),
        documents=to_json([document_key(document) for document in record.documents]),
        scores=to_json(record.scores),
        run_id=record.run_id,
    )


def document_key(document: LearnedDocument) -> str:
    return stable_hash(document_values(document))


def document_rows(documents: Iterable[LearnedDocument]) -> list[dict[str, Any]]:
    """Column values of the documents, each once; in one order for all writers, so that no two of them
    wait for each other."""
    values = {document_key(document): document_values(document) for document in documents}
    return [{"key": key, "value": to_json(values[key])} for key in sorted(values)]


def document_keys(row: AdapterRow) -> list[str]:
    """Of the documents of a version that stand in their own table."""
    return [stored for stored in from_json(row.documents) if isinstance(stored, str)]


def adapter_record(row: AdapterRow, known: Mapping[str, LearnedDocument]) -> AdapterRecord:
    """known: the documents of `document_keys`. Raises StoreError where one is missing, and for a
    version that claims to be built on a later one: who follows lineages would never end."""
    if row.parent is not None and row.parent >= row.version:
        raise StoreError(
            f"The store says that version {row.version} was built on version {row.parent}, which is "
            "not older: it is damaged; restore it from a backup."
        )
    return AdapterRecord(
        version=row.version,
        model=row.model,
        model_revision=row.model_revision,
        parent=row.parent,
        status=cast(AdapterStatus, row.status),
        path=row.path,
        created=row.created,
        reason=row.reason,
        settings=from_json(row.settings),
        documents=tuple(_found(stored, known) for stored in from_json(row.documents)),
        scores=from_json(row.scores),
        run_id=row.run_id,
    )


def document_values(document: LearnedDocument) -> dict[str, Any]:
    """A document as the store and `adapters show --json` write it: all its texts, and of each passage
    how many of them are its own."""
    return {
        "source": document.source,
        "title": document.title,
        "digest": document.digest,
        "sequences": list(document.sequences),
        "selection": [_query_values(query) for query in document.selection],
        "held_out": [_query_values(query) for query in document.held_out],
        "passages": [
            {
                "title": own.title,
                "context": own.context,
                "sequences": len(own.sequences),
                **({"adapter": own.adapter} if own.adapter else {}),
            }
            for own in document.passages
        ],
    }


def _query_values(query: Query) -> dict[str, Any]:
    return {
        "question": query.question,
        "answers": list(query.answers),
        "topic": query.topic,
        "form": query.form,
    }


def _found(stored: Any, known: Mapping[str, LearnedDocument]) -> LearnedDocument:
    if not isinstance(stored, str):
        return learned_document(stored)
    if stored not in known:
        raise StoreError("The store lacks a document of a version; restore it from a backup.")
    return known[stored]


def learned_document(stored: dict[str, Any]) -> LearnedDocument:
    """What `document_values` gave. Older records do not say which text is whose. Raises StoreError
    where one is damaged."""
    try:
        title, texts = stored["title"], list(stored["sequences"])
        whole = [{"title": title, "context": "", "sequences": len(texts)}]
        rest = iter(texts)
        return LearnedDocument(
            source=stored["source"],
            title=title,
            digest=stored["digest"],
            passages=tuple(
                LearnedPassage(
                    own["title"],
                    own["context"],
                    tuple(islice(rest, own["sequences"])),
                    own.get("adapter", ""),
                )
                for own in stored.get("passages", whole)
            ),
            selection=tuple(map(_query, stored["selection"])),
            held_out=tuple(map(_query, stored["held_out"])),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            "The store holds a damaged record of a document; restore it from a backup."
        ) from error


def _query(stored: dict[str, Any]) -> Query:
    form = stored.get("form", "question")  # the stores of before know no other
    return Query(stored["question"], tuple(stored["answers"]), stored["topic"], form)


def trial_values(trial: Trial, run_id: int, created: datetime) -> dict[str, Any]:
    """Column values. A failed trial's NaN and infinite losses become the words nan, inf, -inf."""
    losses = [float(loss) for loss in trial.losses]
    return {
        "key": trial.key,
        "run_id": run_id,
        "task_id": trial.task_id,
        "status": trial.status,
        "reason": trial.reason,
        "reward": trial.reward,
        "seed": trial.seed,
        "tokens": trial.tokens,
        "seconds": trial.seconds,
        "edit": to_json(_edit(trial.edit), exact=True),
        "score": None if trial.score is None else to_json(asdict(trial.score), exact=True),
        "losses": to_json([loss if math.isfinite(loss) else repr(loss) for loss in losses]),
        "created": created,
    }


def trial_of(row: TrialRow) -> Trial:
    """The trial as it was, its plan excepted."""
    edit = from_json(row.edit)
    score = None if row.score is None else from_json(row.score)
    return Trial(
        key=row.key,
        task_id=row.task_id,
        edit=SelfEdit(
            task_id=edit["task_id"],
            index=edit["index"],
            prompts=tuple(map(_prompt, edit["prompts"])),
            completions=tuple(edit["completions"]),
        ),
        seed=row.seed,
        status=cast(TrialStatus, row.status),
        reason=row.reason,
        score=None
        if score is None
        else Score(tuple(GradedAnswer(**answer) for answer in score["answers"])),
        losses=tuple(float(loss) for loss in from_json(row.losses)),
        tokens=row.tokens,
        seconds=row.seconds,
    )


def _edit(edit: SelfEdit) -> dict[str, Any]:
    """Without the tokens that it was drawn by: they are stored with its texts."""
    values = asdict(edit)
    del values["drawn"]
    return values


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value: Any) -> Any:
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"the store keeps JSON values, not a {type(value).__name__}")


def _prompt(stored: dict[str, Any]) -> Prompt:
    turns = tuple((user, assistant) for user, assistant in stored.get("turns", ()))
    return Prompt(**{**stored, "turns": turns})
