"""Starts a server and keeps it running until Ctrl-C or SIGTERM."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from selfedit.errors import InputError
from selfedit.forward.threads import in_passing_thread
from selfedit.seams import Model
from selfedit.serve.app import create_app
from selfedit.serve.service import Service
from selfedit.serve.settings import ServeSettings


def run(
    load: Callable[[], Model], folder: Path, settings: ServeSettings, status: Callable[[str], None]
) -> None:
    """Serve until it is stopped. The port is taken before the model is loaded. Raises InputError,
    ModelError."""
    own = listening(settings)
    with own:
        service = in_passing_thread(lambda: Service(load(), folder, settings))
        host, port = own.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        status(f"serving {service.library.model.name} on http://{shown}:{port} (Ctrl-C stops it)")
        server_of(service).run(sockets=[own])


def listening(settings: ServeSettings) -> socket.socket:
    """A socket on the host and port. Raises InputError where it cannot be had."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM
        )[0]
        own = socket.socket(family, socket.SOCK_STREAM)
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        own.bind(address)
    except OSError as error:
        raise InputError(
            f"cannot listen on {settings.host}:{settings.port} ({error.strerror or error}): name "
            "another --port"
        ) from error
    own.listen(128)
    return own


def server_of(service: Service) -> uvicorn.Server:
    """A server whose log has addresses, paths and statuses, and no headers or bodies."""
    config = uvicorn.Config(
        create_app(service),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=10,
        h11_max_incomplete_event_size=64_000,
        limit_concurrency=1024,
    )
    return uvicorn.Server(config)
