"""Jobs that measure or take back: a probe of a version, forgetting a document."""

from __future__ import annotations

from typing import Any

from selfedit.learning.library import Library
from selfedit.serve.job_events import Events
from selfedit.serve.jobs import Job


class Probing:
    """Kind "probe": {"version": number or null, "sample": number}."""

    def __init__(self, library: Library) -> None:
        self.library = library

    def __call__(self, job: Job, events: Events) -> dict[str, Any]:
        self.library.progress = events
        try:
            return self.library.probe(job.request["version"], job.request["sample"]).to_json()
        finally:
            self.library.progress = None


class Forgetting:
    """Kind "forget": {"document": its title, source, file or digest}."""

    def __init__(self, library: Library) -> None:
        self.library = library

    def __call__(self, job: Job, events: Events) -> dict[str, Any]:
        self.library.progress = events
        try:
            return self.library.forget(job.request["document"]).summary()
        finally:
            self.library.progress = None
