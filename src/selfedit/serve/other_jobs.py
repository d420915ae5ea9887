"""Jobs besides `learn`: a probe of a version, forgetting a document, learning from a conversation."""

from __future__ import annotations

from typing import Any

from selfedit.agents.remembering import remember, short_settings
from selfedit.learning.library import Library
from selfedit.learning.targets import Target
from selfedit.serve.job_events import Events
from selfedit.serve.jobs import Job, Jobs, Rejected


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
    """Kind "forget": {"document": its title, source, file or digest}. What that names is looked up when
    the job begins, and kept with it as "target": after a kill the name may be another document's."""

    def __init__(self, library: Library, jobs: Jobs) -> None:
        self.library, self.jobs = library, jobs

    def __call__(self, job: Job, events: Events) -> dict[str, Any]:
        self.library.progress = events
        try:
            if "target" in job.request:
                target = Target(**job.request["target"])
            else:
                target = self.library.to_forget(job.request["document"])
                self.jobs.keep(job.id, target=target.to_json())
            return self.library.forget(target).summary()
        finally:
            self.library.progress = None


class Remembering:
    """Kind "remember": {"interaction": its number, "settings": of `learn`}. The gate may refuse it."""

    def __init__(self, library: Library) -> None:
        self.library = library

    def __call__(self, job: Job, events: Events) -> dict[str, Any]:
        settings = short_settings(job.request["settings"])
        self.library.progress = events
        try:
            done = remember(self.library, int(job.request["interaction"]), settings)
        finally:
            self.library.progress = None
        if not done.committed:
            raise Rejected(done.reason, done.to_json())
        return done.to_json()
