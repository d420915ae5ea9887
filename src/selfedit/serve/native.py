"""The server's own API, under /api: everything that the page shows. docs/serve.md has its JSON."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from selfedit.errors import InputError
from selfedit.serve.answers import Answers
from selfedit.serve.jobs import ENDED, Job
from selfedit.serve.learning_jobs import request_of
from selfedit.serve.routes import Answer, Route
from selfedit.serve.service import Service
from selfedit.serve.shown import job_json, source_json, version_json
from selfedit.serve.streams import gathered
from selfedit.serve.voices import BASE, CURRENT

router = APIRouter(route_class=Route)


def service_of(request: Request) -> Service:
    """The running server's parts, for routes of any module."""
    service: Service = request.app.state.service
    return service


Own = Annotated[Service, Depends(service_of)]
_SSE = "text/event-stream"


class Body(BaseModel):
    """A request's body: a misspelled name is an error."""

    model_config = ConfigDict(extra="forbid")


class AskBody(Body):
    """question: one or several. model: base, current, v3, a document. compare: also the bare model's
    answers."""

    question: str | Annotated[list[str], Field(min_length=1, max_length=64)]
    model: str = CURRENT
    compare: bool = False
    sources: bool = True
    max_tokens: int = Field(64, ge=1, le=4096)


class GivenDocument(Body):
    """A text, or the id of an uploaded file. source: it replaces the learned document of that
    source."""

    text: str | None = None
    file: str | None = None
    title: str = ""
    source: str = ""


class GivenQuestion(Body):
    question: str = Field(min_length=1)
    answer: str | None = None
    answers: list[str] | None = None
    topic: str = ""


class LearnBody(Body):
    """quiz: questions, or the id of an uploaded file; without: the model writes its own."""

    documents: list[GivenDocument] = Field(min_length=1, max_length=1000)
    quiz: str | list[GivenQuestion] | None = None
    settings: dict[str, Any] = {}
    preset: Literal["fast", "balanced", "paper"] = "balanced"


class RollbackBody(Body):
    """version: to go back to; 0: the bare model; without: the one before the current one."""

    version: int | None = Field(None, ge=0, le=2**31)


class ForgetBody(Body):
    document: str = Field(min_length=1)


class ProbeBody(Body):
    version: int | None = Field(None, ge=1, le=2**31)
    sample: int = Field(100, ge=1, le=1000)


@router.get("/health")
def health(service: Own) -> dict[str, Any]:
    """Whether it lives."""
    running, waiting = service.engine.load
    return {"status": "ok", "running": running, "waiting": waiting}


@router.get("/metrics", response_class=Response)
def metrics(service: Own) -> Response:
    """Numbers for Prometheus."""
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/api/versions")
def versions(service: Own) -> dict[str, Any]:
    """All versions of this model, newest first, rejected ones included."""
    model, current = service.library.model, service.library.current()
    records = [own for own in service.library.adapters() if own.model_revision == model.revision]
    return {
        "model": model.name,
        "current": current.version if current is not None else None,
        "versions": [version_json(own, current) for own in reversed(records)],
    }


@router.post("/api/ask")
async def ask(service: Own, request: Request, body: AskBody) -> dict[str, Any]:
    """Greedy answers without documents, as `selfedit ask` gives them."""
    questions = [body.question] if isinstance(body.question, str) else body.question
    if not all(question.strip() for question in questions):
        raise InputError("a question is empty")
    answers = Answers(service)
    voice = await run_in_threadpool(service.voices.get, body.model)
    bare = await run_in_threadpool(service.voices.get, BASE) if body.compare else None
    asked = [answers.question(voice, question, body.max_tokens) for question in questions]
    if bare is not None:
        asked += [answers.question(bare, question, body.max_tokens) for question in questions]
    texts = await gathered(request, asked)
    known: Sequence[Sequence[Any]] = [()] * len(questions)
    if body.sources and voice.version is not None:
        known = await run_in_threadpool(
            lambda: service.library.sources(questions, version=voice.version)
        )
    return {
        "model": body.model,
        "version": voice.version,
        "answers": [
            {
                "question": question,
                "answer": texts[i],
                **({"base": texts[len(questions) + i]} if bare is not None else {}),
                "sources": [source_json(own) for own in known[i]],
            }
            for i, question in enumerate(questions)
        ],
    }


@router.post("/api/learn", status_code=202)
async def learn(service: Own, body: LearnBody, accept: Annotated[str, Header()] = "*/*") -> Response:
    """Queue a `learn`. Its events follow at once where the client accepts text/event-stream."""
    documents = [_document(one) for one in body.documents]
    quiz = body.quiz
    given = quiz if quiz is None or isinstance(quiz, str) else [_question(one) for one in quiz]
    request = request_of(documents, given, body.settings, body.preset)
    for file in [one["file"] for one in documents if "file" in one] + (
        [quiz] if isinstance(quiz, str) else []
    ):
        service.files.get(file)
    job = await run_in_threadpool(service.jobs.submit, "learn", request)
    if _SSE in accept:
        return StreamingResponse(_told(service, job, 0), media_type=_SSE)
    return Answer(job_json(job), status_code=202)


@router.get("/api/jobs")
def jobs(service: Own) -> dict[str, Any]:
    """All jobs, newest first."""
    return {"jobs": [job_json(job) for job in service.jobs.list()]}


@router.get("/api/jobs/{job_id}")
def job(service: Own, job_id: str) -> dict[str, Any]:
    return job_json(service.jobs.get(job_id))


@router.get("/api/jobs/{job_id}/events", response_class=StreamingResponse)
def events(
    service: Own, job_id: str, last_event_id: Annotated[str | None, Header()] = None
) -> StreamingResponse:
    """A job's events from the first one, or behind Last-Event-ID, until it ends."""
    after = int(last_event_id) if last_event_id and last_event_id.isdecimal() else 0
    return StreamingResponse(_told(service, service.jobs.get(job_id), after), media_type=_SSE)


@router.post("/api/jobs/{job_id}/cancel")
def cancel(service: Own, job_id: str) -> dict[str, Any]:
    return job_json(service.jobs.cancel(job_id))


@router.post("/api/rollback")
def rollback(service: Own, body: RollbackBody) -> dict[str, Any]:
    """Make an older version the current one."""
    record = service.library.rollback(body.version)
    return {"version": record.version if record is not None else None}


@router.post("/api/forget", status_code=202)
def forget(service: Own, body: ForgetBody) -> dict[str, Any]:
    """Queue the forgetting of a document: a version without it becomes the current one."""
    return job_json(service.jobs.submit("forget", {"document": body.document}))


@router.post("/api/probe", status_code=202)
def probe(service: Own, body: ProbeBody) -> dict[str, Any]:
    """Queue a probe of what a version broke."""
    request = {"version": body.version, "sample": body.sample}
    return job_json(service.jobs.submit("probe", request))


async def _told(service: Service, job: Job, after: int) -> AsyncIterator[str]:
    ended = service.jobs.get(job.id).status in ENDED
    async for event in service.jobs.events(job.id).listen(after, ended=ended):
        number = f"id: {event['n']}\n" if "n" in event else ""
        yield f"{number}event: {event['type']}\ndata: {json.dumps(event, default=str)}\n\n"
    yield f"event: end\ndata: {json.dumps(job_json(service.jobs.get(job.id)), default=str)}\n\n"


def _document(given: GivenDocument) -> dict[str, Any]:
    if (given.text is None) == (given.file is None):
        raise InputError('a document is {"text": ...} or {"file": "file-..."}')
    if given.file is not None:
        more = {"title": given.title, "source": given.source}
        return {"file": given.file, **{name: value for name, value in more.items() if value}}
    return {"text": given.text, "title": given.title, "source": given.source}


def _question(given: GivenQuestion) -> dict[str, Any]:
    return given.model_dump(exclude_none=True)
