"""OpenAI's fine-tuning API: a job is a `learn`, its model the new version.

training_file: a document or statements; validation_file: the quiz. More documents, a preset and
settings go into `selfedit` (`extra_body` of OpenAI's client).
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from selfedit.domains.knowledge.options import learn_settings
from selfedit.serve.jobs import Job, NoSuchJob
from selfedit.serve.learning_jobs import request_of
from selfedit.serve.native import Own
from selfedit.serve.openai_shapes import list_json, page_of
from selfedit.serve.routes import Route
from selfedit.serve.service import Service

router = APIRouter(prefix="/v1/fine_tuning/jobs", route_class=Route)
_METADATA = re.compile(r"metadata\[(.*)\]", re.DOTALL)
_LEVELS = {"warning": "warn"}
Limit = Annotated[int, Query(ge=1, le=100)]


class Hyperparameters(BaseModel):
    """ "auto": as the preset says."""

    model_config = ConfigDict(extra="forbid")

    n_epochs: int | Literal["auto"] = "auto"
    batch_size: int | Literal["auto"] = "auto"
    learning_rate_multiplier: float | Literal["auto"] = "auto"


class Supervised(BaseModel):
    model_config = ConfigDict(extra="forbid")

    hyperparameters: Hyperparameters = Hyperparameters()


class Method(BaseModel):
    """Supervised only: what is rewarded inside is selfedit's own affair."""

    type: Literal["supervised"]
    supervised: Supervised = Supervised()


class More(BaseModel):
    """documents: ids of further files. settings: those of `learn`, by their names."""

    model_config = ConfigDict(extra="forbid")

    documents: Annotated[list[str], Field(max_length=1000)] = []
    preset: Literal["fast", "balanced", "paper"] = "balanced"
    settings: dict[str, Any] = {}


class Creating(BaseModel):
    """POST /v1/fine_tuning/jobs."""

    model_config = ConfigDict(extra="forbid")

    model: str
    training_file: str
    validation_file: str | None = None
    hyperparameters: Hyperparameters | None = None
    method: Method | None = None
    seed: int | None = Field(None, ge=0, lt=2**31)
    suffix: str | None = Field(None, max_length=64)
    metadata: Annotated[dict[str, str], Field(max_length=16)] | None = None
    integrations: list[Any] | None = Field(None, max_length=0)
    selfedit: More = More()


@router.post("")
def create(service: Own, body: Creating) -> dict[str, Any]:
    """Queue a job: what is learned is added to the current version."""
    service.voices.get(body.model)  # 404 for a name that nothing answers to
    files = [body.training_file, *body.selfedit.documents]
    for file in (*files, *([body.validation_file] if body.validation_file else [])):
        service.files.get(file)
    settings = _settings(body)
    request = request_of(
        [{"file": file} for file in files], body.validation_file, settings, body.selfedit.preset
    )
    own = {
        "model": body.model,
        "metadata": body.metadata,
        "suffix": body.suffix,
        "learning_rate_multiplier": _hyperparameters(body).learning_rate_multiplier,
    }
    return job_object(service, service.jobs.submit("learn", {**request, "openai": own}))


@router.get("")
def jobs(
    service: Own,
    request: Request,
    after: str | None = None,
    limit: Limit = 20,
    metadata: Literal["null"] | None = None,
) -> dict[str, Any]:
    """Jobs, newest first; with `metadata[key]=value` those that have it, with `metadata=null` those
    without any."""
    given = request.query_params.multi_items()
    wanted = [(match[1], value) for name, value in given if (match := _METADATA.fullmatch(name))]
    found = []
    for job in service.jobs.list():
        own = (job.request.get("openai") or {}).get("metadata") or {}
        if job.kind != "learn" or (own and metadata == "null"):
            continue
        if all(own.get(key) == value for key, value in wanted):
            found.append(job)
    page, more = page_of(found, after, limit, lambda job: job.id)
    return list_json([job_object(service, job) for job in page], more)


@router.get("/{job_id}")
def job(service: Own, job_id: str) -> dict[str, Any]:
    return job_object(service, _learn(service, job_id))


@router.post("/{job_id}/cancel")
def cancel(service: Own, job_id: str) -> dict[str, Any]:
    """A queued job ends at once, a running one at its next step."""
    return job_object(service, service.jobs.cancel(_learn(service, job_id).id))


@router.get("/{job_id}/events")
def events(service: Own, job_id: str, after: str | None = None, limit: Limit = 20) -> dict[str, Any]:
    """What happened, newest first: stages, warnings, each candidate with its reward."""
    own = _learn(service, job_id)
    found = [_event(own, event) for event in reversed(service.jobs.events(own.id).kept)]
    page, more = page_of(found, after, limit, lambda event: event["id"])
    return list_json(page, more)


@router.get("/{job_id}/checkpoints")
def checkpoints(
    service: Own, job_id: str, after: str | None = None, limit: Limit = 10
) -> dict[str, Any]:
    """The new version, with what was measured. Candidates are no checkpoints: see the events."""
    own = _learn(service, job_id)
    page, more = page_of(_checkpoints(own), after, limit, lambda one: one["id"])
    return list_json(page, more)


def job_object(service: Service, job: Job) -> dict[str, Any]:
    """A job as OpenAI's API shows it."""
    request, result = job.request, job.result or {}
    own = request.get("openai") or {}
    files = [one["file"] for one in request["documents"] if "file" in one]
    quiz = request["quiz"]
    settings = learn_settings(request["settings"], request["preset"])
    version = result.get("version") if job.status == "succeeded" else None
    return {
        "object": "fine_tuning.job",
        "id": job.id,
        "model": own.get("model") or "base",
        "created_at": job.created_at,
        "finished_at": job.finished_at,
        "fine_tuned_model": None if version is None else f"v{version}",
        "organization_id": "selfedit",
        "result_files": [result["result_file"]] if result.get("result_file") else [],
        "status": job.status,
        "training_file": files[0] if files else "",
        "validation_file": quiz if isinstance(quiz, str) else None,
        "hyperparameters": {
            "n_epochs": settings.train.epochs,
            "batch_size": settings.train.batch_size,
            "learning_rate_multiplier": own.get("learning_rate_multiplier", "auto"),
        },
        "trained_tokens": None,
        "error": _error(job),
        "seed": settings.seed,
        "estimated_finish": None,
        "integrations": [],
        "metadata": own.get("metadata"),
    }


def _error(job: Job) -> dict[str, Any] | None:
    if job.error is None:
        return None
    code = "rejected_by_gate" if job.rejected else "failed"
    return {"code": code, "message": job.error, "param": None}


def _hyperparameters(body: Creating) -> Hyperparameters:
    own = body.method.supervised.hyperparameters if body.method is not None else None
    return own or body.hyperparameters or Hyperparameters()


def _settings(body: Creating) -> dict[str, Any]:
    """The settings of `learn`, the hyperparameters among them. Raises InputError."""
    given = _hyperparameters(body)
    train: dict[str, Any] = {}
    if given.n_epochs != "auto":
        train["epochs"] = given.n_epochs
    if given.batch_size != "auto":
        train["batch_size"] = given.batch_size
    settings = {**body.selfedit.settings}
    learn_settings(dict(settings), body.selfedit.preset)  # refused now, before anything is put into it
    if given.learning_rate_multiplier != "auto":
        rate = learn_settings(dict(settings), body.selfedit.preset).train.learning_rate
        train["learning_rate"] = rate * given.learning_rate_multiplier
    if train:
        settings["train"] = {**settings.get("train", {}), **train}
    if body.seed is not None:
        settings["seed"] = body.seed
    return settings


def _learn(service: Service, job_id: str) -> Job:
    job = service.jobs.get(job_id)
    if job.kind != "learn":
        raise NoSuchJob(f"{job_id} is no fine-tuning job")
    return job


def _event(job: Job, event: dict[str, Any]) -> dict[str, Any]:
    kind = event["type"]
    data = {key: value for key, value in event.items() if key not in ("n", "time", "type")}
    level = _LEVELS.get(kind, "info")
    if kind == "status" and event.get("status") == "failed":
        level = "error"
    return {
        "object": "fine_tuning.job.event",
        "id": f"ftevent-{job.id.removeprefix('ftjob-')}-{event['n']}",
        "created_at": int(event["time"]),
        "level": level,
        "message": _said(kind, event),
        "type": "metrics" if kind == "candidate" else "message",
        "data": data,
    }


def _said(kind: str, event: dict[str, Any]) -> str:
    if kind == "status":
        why = f": {event['error']}" if event.get("error") else ""
        return f"the job is {event['status']}{why}"
    if kind == "stage":
        return str(event["stage"])
    if kind == "warning":
        return str(event["text"])
    if kind == "candidate":
        reward = event["reward"]
        measured = event["reason"] or event["status"] if reward is None else f"reward {reward:.3f}"
        kept = ", kept" if event["kept"] else ""
        return f"passage {event['passage']}, candidate {event['candidate']}: {measured}{kept}"
    return kind


def _checkpoints(job: Job) -> list[dict[str, Any]]:
    result = job.result or {}
    if job.status != "succeeded" or result.get("version") is None:
        return []
    metrics = {
        "full_valid_mean_token_accuracy": result.get("accuracy_after"),
        "step": float(result.get("num_trials") or 0),
    }
    return [
        {
            "object": "fine_tuning.job.checkpoint",
            "id": f"ftckpt-{job.id.removeprefix('ftjob-')}-1",
            "created_at": job.finished_at or job.created_at,
            "fine_tuned_model_checkpoint": f"v{result['version']}",
            "fine_tuning_job_id": job.id,
            "metrics": {key: value for key, value in metrics.items() if value is not None},
            "step_number": int(result.get("num_trials") or 0),
        }
    ]
