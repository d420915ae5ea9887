"""Records as the native API shows them."""

from __future__ import annotations

from typing import Any

from selfedit.learning.standing import kind_of
from selfedit.memory.routed import Source
from selfedit.serve.jobs import Job
from selfedit.store import AdapterRecord


def version_json(record: AdapterRecord, current: AdapterRecord | None) -> dict[str, Any]:
    """A version: its lineage, what it learned, what was measured."""
    return {
        "version": record.version,
        "parent": record.parent,
        "status": record.status,
        "current": current is not None and current.version == record.version,
        "created": record.created.isoformat(),
        "reason": record.reason,
        "memory": kind_of(record),
        "run": record.run_id,
        "documents": [
            {
                "title": document.title,
                "source": document.source,
                "digest": document.digest,
                "passages": len(document.passages),
                "statements": len(document.sequences),
                "questions": len(document.reported),
            }
            for document in record.documents
        ],
        "scores": record.scores,
    }


def source_json(source: Source) -> dict[str, Any]:
    """A learned passage that a question concerns, as `selfedit ask --json` has it."""
    return {
        "document": source.document.title,
        "source": source.document.source,
        "passage": source.passage.title,
        "adapter": source.adapter,
        "weight": round(source.weight, 4),
        "score": round(source.score, 2),
    }


def job_json(job: Job) -> dict[str, Any]:
    """A job without the texts that it was given."""
    shown = job.to_json()
    request = dict(shown.pop("request"))
    for name in ("documents", "quiz"):
        if isinstance(request.get(name), list):
            request[name] = [_without_text(one) for one in request[name]]
    return {**shown, "request": request}


def _without_text(given: dict[str, Any]) -> dict[str, Any]:
    if "text" not in given:
        return given
    return {**given, "text": None, "characters": len(given["text"])}
