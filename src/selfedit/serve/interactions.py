"""Conversations with feedback, under /api: recorded at once, learned by a job, taken back."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from fastapi.concurrency import run_in_threadpool
from pydantic import Field

from selfedit.agents.interactions import Recorded, all_recorded, interaction_of, recorded
from selfedit.agents.memo import what_is_right
from selfedit.agents.remembering import record, short_settings, undo
from selfedit.errors import InputError
from selfedit.serve.jobs import Job
from selfedit.serve.native import Body, Own
from selfedit.serve.routes import Route
from selfedit.serve.service import Service
from selfedit.serve.shown import job_json
from selfedit.store import AdapterRecord

router = APIRouter(route_class=Route)
Number = Annotated[int, Field(ge=1, le=2**31)]
InPath = Annotated[int, Path(ge=1, le=2**31)]


class GivenFeedback(Body):
    """See `agents.interactions.Feedback`."""

    kind: Literal["correction", "rating", "outcome", "note"] = "correction"
    text: str = ""
    answer: str = ""
    good: bool | None = None


class InteractionBody(Body):
    """messages: as the OpenAI API has them. version: that answered. learn: queue a job that learns from
    it. settings: of `learn`, by their names."""

    messages: list[dict[str, Any]] = Field(default_factory=list, max_length=1000)
    feedback: GivenFeedback
    version: Number | None = None
    learn: bool = True
    settings: dict[str, Any] = Field(default_factory=dict)


@router.post("/api/interactions", status_code=201)
async def add(service: Own, body: InteractionBody) -> dict[str, Any]:
    """Record a conversation with feedback; it is on the disk before the reply. With `learn`, a job
    learns from it, if the feedback says what is right."""
    own = interaction_of(body.messages, body.feedback.model_dump(), body.version)
    short_settings(body.settings)
    number = await run_in_threadpool(record, service.library, own)
    job, why_not = None, ""
    if body.learn:
        try:
            what_is_right(own)
            job = await run_in_threadpool(_queued, service, number, body.settings)
        except InputError as error:
            why_not = str(error)
    return {
        "id": number,
        "state": "recorded",
        "job": None if job is None else job_json(job),
        "not_learned": why_not,
    }


@router.get("/api/interactions")
def interactions(service: Own, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> dict[str, Any]:
    """The latest interactions, newest first, with what came of them."""
    current = service.library.current()
    found = all_recorded(service.library.store)[:limit]
    return {"interactions": [interaction_json(own, current) for own in found]}


@router.get("/api/interactions/{number}")
def interaction(service: Own, number: InPath) -> dict[str, Any]:
    """One interaction."""
    own = recorded(service.library.store, number)
    return interaction_json(own, service.library.current())


@router.post("/api/interactions/{number}/learn", status_code=202)
def learn(service: Own, number: InPath) -> dict[str, Any]:
    """Queue the learning of an interaction that was recorded without, or could not be learned."""
    what_is_right(recorded(service.library.store, number).interaction)
    return job_json(_queued(service, number, {}))


@router.post("/api/undo")
def take_back(service: Own) -> dict[str, Any]:
    """Take back what was remembered last: the version before it is current again."""
    own, now = undo(service.library)
    return {"interaction": own.id, "version": None if now is None else now.version}


def _queued(service: Service, number: int, settings: dict[str, Any]) -> Job:
    return service.jobs.submit("remember", {"interaction": number, "settings": settings})


def interaction_json(own: Recorded, current: AdapterRecord | None) -> dict[str, Any]:
    """An interaction with its state and outcome."""
    outcome = None if own.outcome is None else dict(own.outcome)
    return {
        "id": own.id,
        "created": own.created.isoformat(),
        "state": own.state(current),
        **own.interaction.to_json(),
        "outcome": outcome,
    }
