"""Long work: queued, one at a time, and kept on the disk, so that a killed server goes on with it.

A job is a folder with `job.json` (its request, state and result) and `events.jsonl`. What it does is
the affair of its kind: `Jobs.kinds` names a function for each. The work of a job must be resumable by
itself, as `learn` is through the store: after a kill it is called again with the same request.
"""

from __future__ import annotations

import logging
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from selfedit.errors import InputError, SelfEditError, StoreError
from selfedit.forward.threads import in_passing_thread
from selfedit.serve.disk import append_json, read_json, read_lines, write_json
from selfedit.serve.job_events import Events

Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]
ENDED = ("succeeded", "failed", "cancelled")
_ID = re.compile(r"ftjob-[0-9a-f]{24}")
_log = logging.getLogger(__name__)


class Cancelled(KeyboardInterrupt):
    """Somebody has cancelled the job, or the server shuts down: the work stops as by Ctrl-C, at the
    next step."""


class NoSuchJob(InputError):
    """No job of that id is known."""


class Rejected(SelfEditError):
    """The work was done, and its result refused by the gate. result: what was measured."""

    def __init__(self, reason: str, result: Mapping[str, Any]) -> None:
        super().__init__(reason)
        self.result = dict(result)


@dataclass(frozen=True, slots=True)
class Job:
    """number: its place in the order of all jobs. request, result: JSON. error: why it failed;
    rejected: by the gate. cancelling: it runs, and is to end at its next step. Times: seconds since
    1970."""

    id: str
    kind: str
    status: Status
    request: dict[str, Any]
    number: int
    created_at: int
    started_at: int | None = None
    finished_at: int | None = None
    result: dict[str, Any] | None = None
    error: str | None = None
    rejected: bool = False
    cancelling: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


# Does a job, telling its events; returns the result as JSON. Raises Rejected, SelfEditError.
Work = Callable[[Job, Events], dict[str, Any]]


@dataclass
class _Going:
    """The job that is being done."""

    job: Job
    events: Events
    cancel: threading.Event = field(default_factory=threading.Event)


class Jobs:
    """The queue of one server. breathe: called at each step of a job's work; it may sleep, so that
    answers come first."""

    def __init__(self, folder: Path, breathe: Callable[[], None] = lambda: None) -> None:
        self.folder, self.breathe = folder, breathe
        self.kinds: dict[str, Work] = {}
        self._jobs: dict[str, Job] = {}
        self._events: dict[str, Events] = {}
        self._queue: deque[str] = deque()
        self._going: _Going | None = None
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._load()

    def _load(self) -> None:
        """What a server before has left: its unfinished jobs are queued again, the oldest first."""
        folders = sorted(self.folder.iterdir()) if self.folder.is_dir() else []
        found = [read_json(own / "job.json") for own in folders if _ID.fullmatch(own.name)]
        jobs = sorted((Job(**one) for one in found if one is not None), key=lambda job: job.number)
        for job in jobs:
            self._jobs[job.id] = job
            self._events[job.id] = Events(read_lines(self._place(job.id) / "events.jsonl"))
            if job.status not in ENDED:
                self._queue.append(job.id)

    def start(self) -> None:
        """Begin to work in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="selfedit-jobs", daemon=True)
        self._thread.start()

    def close(self, seconds: float = 30.0) -> None:
        """Stop: the job that runs is interrupted at its next step, and goes on after the next start."""
        with self._changed:
            self._closing = True
            if self._going is not None:
                self._going.cancel.set()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(seconds)

    def submit(self, kind: str, request: Mapping[str, Any]) -> Job:
        """Queue a job; when this returns it is on the disk. Raises StoreError."""
        assert kind in self.kinds, kind
        job_id, now = f"ftjob-{secrets.token_hex(12)}", int(time.time())
        with self._changed:
            last = max((job.number for job in self._jobs.values()), default=0)
            job = Job(job_id, kind, "queued", dict(request), last + 1, now)
            write_json(self._place(job.id) / "job.json", job.to_json())
            self._jobs[job.id] = job
            self._events[job.id] = Events()
            self._queue.append(job.id)
            self.tell(job.id, "status", status="queued")  # before it can be begun
            self._changed.notify_all()
        return job

    def get(self, job_id: str) -> Job:
        """Raises NoSuchJob where there is none."""
        with self._changed:
            if job_id not in self._jobs:
                raise NoSuchJob(f"there is no job {job_id[:60]}")
            return self._jobs[job_id]

    def list(self) -> list[Job]:
        """All jobs, newest first."""
        with self._changed:
            return list(self._jobs.values())[::-1]

    def events(self, job_id: str) -> Events:
        """Raises NoSuchJob where there is no such job."""
        self.get(job_id)
        return self._events[job_id]

    def cancel(self, job_id: str) -> Job:
        """A queued job ends at once, a running one at its next step, be it a later server's; one that
        has ended stays as it is. Raises NoSuchJob where there is none, StoreError."""
        with self._changed:
            job = self.get(job_id)
            if job_id in self._queue:
                job = self._ended(job, "cancelled")
                self._queue.remove(job_id)
            elif self._going is not None and self._going.job.id == job_id and job.status not in ENDED:
                self._going.cancel.set()
                job = self._noted(replace(job, cancelling=True))
        return job

    def keep(self, job_id: str, **values: Any) -> None:
        """Add to a job's request what its work has found out: after a kill it is called with it. When
        this returns it is on the disk. Raises StoreError."""
        with self._changed:
            job = self._jobs[job_id]
            self._noted(replace(job, request={**job.request, **values}))

    def _noted(self, job: Job) -> Job:
        """What is known of a job now, on the disk, too. Raises StoreError."""
        with self._changed:
            write_json(self._place(job.id) / "job.json", job.to_json())
            self._jobs[job.id] = job
            if self._going is not None and self._going.job.id == job.id:
                self._going.job = job
        return job

    def tell(self, job_id: str, type_: str, **values: Any) -> None:
        """An event of a job, kept and sent to those who listen."""
        event = self._events[job_id].add({"type": type_, "time": time.time(), **values})
        try:
            append_json(self._place(job_id) / "events.jsonl", event)
        except StoreError as error:  # an event that cannot be kept does not end the job
            _log.warning("%s", error)

    def wait(self, job_id: str, seconds: float = 300.0) -> Job:
        """Until the job has ended, or the time is over."""
        end = time.monotonic() + seconds
        with self._changed:
            while self._jobs[job_id].status not in ENDED and time.monotonic() < end:
                self._changed.wait(0.2)
            return self._jobs[job_id]

    # -- the thread --

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._closing:
                    self._changed.wait()
                if self._closing:
                    return
                job = self._jobs[self._queue.popleft()]
                job = replace(job, status="running", started_at=job.started_at or int(time.time()))
                self._going = going = _Going(job, self._events[job.id])
                self._jobs[job.id] = job
                if job.cancelling:  # by a client of a server before
                    going.cancel.set()
            try:
                in_passing_thread(partial(self._do, going))
            except StoreError as error:
                # The disk is full. What the disk holds of the job stays, for the next start.
                _log.error("%s", error)
                self._failed_unnoted(going.job, error)
            with self._changed:
                self._going = None
                self._changed.notify_all()

    def _do(self, going: _Going) -> None:
        job = going.job
        going.events.hold(
            lambda type_, values: self.tell(job.id, type_, **values), self._step(going.cancel)
        )
        with self._changed:
            self._noted(going.job)
        self.tell(job.id, "status", status="running")
        try:
            result = self.kinds[job.kind](job, going.events)
        except Cancelled:
            if not self._closing or going.job.cancelling:
                self._ended(going.job, "cancelled")
        except Rejected as error:
            self._ended(going.job, "failed", result=error.result, error=str(error), rejected=True)
        except SelfEditError as error:
            self._ended(going.job, "failed", error=str(error))
        except Exception as error:
            _log.exception("job %s", job.id)
            self._ended(going.job, "failed", error=f"internal error: {type(error).__name__}")
        else:
            self._ended(going.job, "succeeded", result=result)

    def _failed_unnoted(self, job: Job, error: StoreError) -> None:
        with self._changed:
            now = int(time.time())
            failed = replace(job, status="failed", finished_at=now, cancelling=False, error=str(error))
            self._jobs[job.id] = failed
            self._changed.notify_all()
        self._events[job.id].close()

    def _step(self, cancel: threading.Event) -> Callable[[], None]:
        def step() -> None:
            if cancel.is_set():
                raise Cancelled
            self.breathe()

        return step

    def _ended(self, job: Job, status: Status, **values: Any) -> Job:
        now = int(time.time())
        with self._changed:  # who sees that it has ended sees its last event, too
            job = self._noted(replace(job, status=status, finished_at=now, cancelling=False, **values))
            self.tell(job.id, "status", status=status, error=job.error, rejected=job.rejected)
            self._changed.notify_all()
        self._events[job.id].close()
        return job

    def _place(self, job_id: str) -> Path:
        assert _ID.fullmatch(job_id), job_id
        return self.folder / job_id
