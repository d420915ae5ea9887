"""What was tried and measured, under /api: the self-edits of a version, and all runs with their
reports (forgetting matrices and training curves are in those)."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Query
from fastapi.responses import Response

from selfedit.config import stable_hash
from selfedit.errors import NoSuchVersion
from selfedit.loops.groups import last_trials
from selfedit.report.learn_run import report_file
from selfedit.report.run_report import run_report
from selfedit.report.runs import headline, state
from selfedit.serve.native import Own
from selfedit.serve.routes import Route
from selfedit.show.html import render_page
from selfedit.store import AdapterRecord, LearnedDocument, RunRecord
from selfedit.types import Trial

router = APIRouter(route_class=Route)

# A report shows texts of documents and models: it gets an origin of its own, and runs nothing.
ALONE = {
    "content-security-policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:",
    "x-frame-options": "SAMEORIGIN",  # the page shows it in a frame
}
MOST_EDITS = 400  # of a run; its report has all


def _version_of(service: Own, version: int) -> AdapterRecord:
    """The version in the path; 404 where there is none."""
    try:
        return service.library.adapter(version)
    except NoSuchVersion as error:
        raise HTTPException(404, str(error)) from error


Version = Annotated[AdapterRecord, Depends(_version_of)]


@router.get("/api/versions/{version}/report")
def version_report(service: Own, record: Version) -> Response:
    """The HTML report of the learning that made a version."""
    path = service.library.shelf.report(record.run_id or 0)
    if not path.is_file():
        raise HTTPException(404, f"version {record.version} has no report")
    return Response(path.read_bytes(), media_type="text/html; charset=utf-8", headers=ALONE)


@router.get("/api/versions/{version}/edits")
def edits(service: Own, record: Version) -> dict[str, Any]:
    """The self-edits that were tried for a version, with their rewards and the losses of their
    training, in the order in which they were tried; of a finalist of a heat the full training.

    Trials that an earlier run had stored are that run's: `stored_earlier` is how many the run found.
    """
    store = service.library.store
    stored = [] if record.run_id is None else list(store.iter_trials(record.run_id))
    trials = last_trials(stored)
    run = None if record.run_id is None else store.run(record.run_id)
    known = int((run.result or {}).get("num_trials", len(stored))) if run is not None else 0
    titles = _titles(record.documents)
    return {
        "version": record.version,
        "stored_earlier": max(0, known - len(stored)),
        "left_out": max(0, len(trials) - MOST_EDITS),
        "edits": [_edit(trial, titles) for trial in trials[:MOST_EDITS]],
    }


def _titles(documents: Sequence[LearnedDocument]) -> dict[str, str]:
    """The titles of the passages, by the ids of their tasks (`domains.knowledge.split_passages`)."""
    passages = (own for document in documents for own in document.passages)
    return {stable_hash([own.title, own.context]): own.title for own in passages}


def _edit(trial: Trial, titles: dict[str, str]) -> dict[str, Any]:
    return {
        "passage": titles.get(trial.task_id, f"passage {trial.task_id[:8]}"),
        "candidate": trial.edit.index + 1,
        "seed": trial.seed,
        "status": trial.status,
        "reason": trial.reason,
        "reward": trial.reward,
        "text": trial.edit.text,
        "losses": [loss if isfinite(loss) else None for loss in trial.losses],
        "seconds": trial.seconds,
    }


@router.get("/api/runs")
def runs(service: Own, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> dict[str, Any]:
    """The latest runs of the library, newest first: whatever computed something."""
    store = service.library.store
    return {"runs": [_run(run, headline(store, run)) for run in store.runs(limit)]}


def _run(run: RunRecord, line: str) -> dict[str, Any]:
    return {
        "run": run.id,
        "kind": run.kind,
        "model": run.model,
        "started": run.started.isoformat(),
        "finished": None if run.finished is None else run.finished.isoformat(),
        "status": run.status,
        "state": state(run),
        "line": line,
    }


@router.get("/api/runs/{run}/report")
def report(service: Own, run: Annotated[int, Path(ge=1, le=2**31)]) -> Response:
    """The HTML report of any run: the one that `learn` wrote, else as `selfedit report` gives it."""
    store = service.library.store
    own = store.run(run)
    path = report_file(store, own)
    page = path.read_bytes() if path is not None else render_page(run_report(store, own).page)
    return Response(page, media_type="text/html; charset=utf-8", headers=ALONE)
