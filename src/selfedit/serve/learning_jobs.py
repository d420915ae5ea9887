"""A job that is a `learn`: uploaded files or texts become documents, and the gate says how it ends."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Any

from selfedit import experiments
from selfedit.data import read_quiz
from selfedit.domains.knowledge import Document, text_document
from selfedit.domains.knowledge.documents import document_of_file, unpacked
from selfedit.domains.knowledge.options import learn_settings
from selfedit.errors import InputError
from selfedit.learning.library import Library
from selfedit.serve.files import Files, StoredFile
from selfedit.serve.job_events import Events
from selfedit.serve.jobs import Job, Rejected
from selfedit.types import LearnResult, Query

STATEMENTS = (".jsonl", ".json")
"""Suffixes of files that hold statements instead of a document."""
_UPLOAD = re.compile(r"file-[0-9a-f]{24}/")  # how the source of an upload begins


def request_of(
    documents: Sequence[Mapping[str, Any]],
    quiz: Sequence[Mapping[str, Any]] | str | None,
    settings: Mapping[str, Any] | None,
    preset: str,
) -> dict[str, Any]:
    """A job's request, checked as far as that is possible before the work. Raises InputError."""
    if not documents:
        raise InputError("no document was named")
    learn_settings(dict(settings or {}), preset)
    return {
        "documents": [dict(one) for one in documents],
        "quiz": quiz if quiz is None or isinstance(quiz, str) else [dict(one) for one in quiz],
        "settings": dict(settings or {}),
        "preset": preset,
    }


class Learning:
    """Does jobs of the kind "learn" on a library. Its progress goes to the job's events."""

    def __init__(self, library: Library, files: Files) -> None:
        self.library, self.files = library, files

    def __call__(self, job: Job, events: Events) -> dict[str, Any]:
        done = self._done_before(job)
        if done is not None:
            return done
        request = job.request
        documents = [read_given(one, self.files) for one in request["documents"]]
        quiz = read_questions(request["quiz"], self.files)
        settings = learn_settings(request["settings"], request["preset"])
        notes = self._of_the_same_name(documents)
        for note in notes:
            events.warn(note)
        self.library.progress = events
        try:
            result = experiments.learn(self.library, documents, quiz, settings, origin=job.id)
        finally:
            self.library.progress = None
        tell_candidates(result, events)
        summary = result.summary()
        summary["notes"] = [*notes, *result.notes]
        if result.report_path is not None:
            page = Path(result.report_path).read_bytes()
            name = PurePath(result.report_path).name
            summary["result_file"] = self.files.add(page, name, "fine-tune-results").id
        if not result.committed:
            raise Rejected(result.reason, summary)
        return summary

    def _of_the_same_name(self, documents: Sequence[Document]) -> list[str]:
        """What to tell of uploads that go beside learned documents of their name: they may have been
        meant to replace one."""
        current = self.library.current()
        known = {own.source: own.digest for own in (current.documents if current is not None else ())}
        notes = []
        for document in documents:
            if document.source in known or not _UPLOAD.match(document.source):
                continue
            name = PurePath(document.source).name
            older = [
                source
                for source, digest in known.items()
                if PurePath(source).name == name and digest != document.digest
            ]
            if older:
                notes.append(
                    f"{name}: another document of this name was learned before and stays "
                    f"({', '.join(older)}). A file that is given with that source replaces it."
                )
        return notes

    def _done_before(self, job: Job) -> dict[str, Any] | None:
        """What a server that was killed has finished of the job without noting it."""
        own = [run for run in self.library.store.runs(None) if run.inputs.get("origin") == job.id]
        made = {record.run_id: record for record in self.library.adapters()}
        for run in own:
            record = made.get(run.id)
            if record is None or record.status == "rejected":
                continue
            return run.result or {
                "version": record.version,
                "committed": True,
                "reason": record.reason,
                **record.scores,
            }
        return None


def tell_candidates(result: LearnResult, events: Events) -> None:
    """An event for every self-edit that was tried, with its reward."""
    for place, passage in enumerate(result.passages, start=1):
        for number, candidate in enumerate(passage.group.candidates):
            events.tell(
                "candidate",
                passage=place,
                title=passage.group.task.title,
                candidate=number + 1,
                reward=candidate.reward,
                status=candidate.status,
                kept=number in passage.group.kept,
                reason=candidate.reason,
                text=candidate.edit.text,
            )


def read_given(given: Mapping[str, Any], files: Files) -> Document:
    """A document of a request: {"text"} or {"file"}, each with "title" and "source" if they are given.

    An upload without a source gets one of its own, its id and name: the name alone does not say whether
    it is the same document. Raises InputError.
    """
    if "file" not in given:
        return text_document(
            str(given["text"]),
            title=str(given.get("title") or ""),
            source=str(given.get("source") or ""),
        )
    file = files.get(given["file"])
    document = _uploaded(file, files)
    source = str(given.get("source") or f"{file.id}/{file.filename}")
    return replace(document, source=source, title=str(given.get("title") or document.title))


def _uploaded(file: StoredFile, files: Files) -> Document:
    data, path = unpacked(files.content(file.id), Path(file.filename))
    if path.suffix.lower() in STATEMENTS:
        return statements_document(data, path.name)
    return document_of_file(data, path)


def statements_document(data: bytes, name: str) -> Document:
    """JSON lines of statements as one document, a paragraph each: strings, {"text"}, {"statement"},
    {"prompt", "completion"}, or {"messages"}, whose assistant's turns are learned. Raises
    InputError."""
    statements: list[str] = []
    for number, line in enumerate(data.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            statements += _statements(json.loads(line))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(
                f'{name}, line {number}: a statement is {{"text": ...}}, {{"prompt", "completion"}} '
                'or {"messages": [...]}, one JSON value a line'
            ) from error
    title = PurePath(name).stem.replace("_", " ").replace("-", " ")
    return text_document("\n\n".join(statements), title=title, source=name, markdown=False)


def _statements(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if "messages" in value:
        return [str(m["content"]) for m in value["messages"] if m["role"] == "assistant"]
    if "completion" in value:
        return [f"{value.get('prompt') or ''} {value['completion']}".strip()]
    return [str(value["text"] if "text" in value else value["statement"])]


def read_questions(
    given: str | Sequence[Mapping[str, Any]] | None, files: Files
) -> tuple[Query, ...] | None:
    """A quiz: the id of a file, or questions [{"question", "answer"}]; None: one is made. Raises
    InputError."""
    if given is None:
        return None
    if not isinstance(given, str):
        return tuple(_query(one) for one in given)
    file = files.get(given)
    with TemporaryDirectory() as folder:
        # Under its suffix alone: what a client calls a file is no path here.
        path = Path(folder) / f"quiz{PurePath(file.filename).suffix.lower()}"
        path.write_bytes(files.content(file.id))
        return read_quiz(path)


def _query(given: Mapping[str, Any]) -> Query:
    answers = given.get("answers") or [given.get("answer")]
    question = str(given.get("question") or "").strip()
    if not question or not all(isinstance(one, str) and one.strip() for one in answers):
        raise InputError('a question of a quiz is {"question": ..., "answer": ...}')
    return Query(question, tuple(answers), str(given.get("topic") or ""))
