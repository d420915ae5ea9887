"""The HTTP status of an error: whose fault it is."""

from __future__ import annotations

from selfedit.endpoints.vllm_http import Refused
from selfedit.errors import (
    EndpointError,
    InputError,
    NoSuchRun,
    NoSuchVersion,
    OutOfMemory,
    SelfEditError,
    StoreError,
    WorkerError,
)
from selfedit.serve.answers import TooLate
from selfedit.serve.engine import Busy
from selfedit.serve.files import NoSuchFile
from selfedit.serve.jobs import NoSuchJob
from selfedit.serve.voices import UnknownVoice

_STATUS = (
    ((UnknownVoice, NoSuchJob, NoSuchFile, NoSuchRun), 404),
    ((InputError, NoSuchVersion, Refused), 400),
    ((Busy,), 429),
    ((EndpointError,), 502),
    ((TooLate, OutOfMemory, WorkerError), 503),
    ((StoreError,), 507),
)


def status_of(error: SelfEditError) -> int:
    """4xx: what the client asked for cannot be done. 502: a server behind this one failed. 500, 503 and
    507: this one did, as with a damaged adapter or no memory."""
    return next((status for kinds, status in _STATUS if isinstance(error, kinds)), 500)
