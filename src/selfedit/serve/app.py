"""The server's application: routers, errors, and what stands before them.

A module with routes of its own has a `router` and is named in `ROUTERS`; its routes get the server's
parts by `native.service_of`. Files in `page/` are served as they are: `/` is `page/index.html`.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, Response
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from selfedit.errors import SelfEditError
from selfedit.serve.routes import Answer
from selfedit.serve.security import Guard, error_body
from selfedit.serve.service import Service
from selfedit.serve.statuses import status_of
from selfedit.serve.streams import Gone
from selfedit.serve.voices import UnknownVoice

ROUTERS = ("native", "openai_chat", "openai_files", "openai_jobs", "interactions", "records")
PAGE = Path(__file__).parent / "page"
# The page loads nothing from elsewhere, runs no inline script, and cannot be framed.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "frame-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_log = logging.getLogger(__name__)


def create_app(service: Service) -> FastAPI:
    """The application over a server's parts. It starts their jobs, and closes them at its end."""

    @asynccontextmanager
    async def living(app: FastAPI) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        finally:
            service.close()

    app = FastAPI(
        title="selfedit",
        version=version("selfedit"),
        lifespan=living,
        docs_url=None,
        redoc_url=None,
        default_response_class=Answer,
    )
    app.state.service = service
    for name in ROUTERS:
        app.include_router(import_module(f"selfedit.serve.{name}").router)
    _add_page(app)
    app.add_exception_handler(SelfEditError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Gone, _gone)
    app.add_exception_handler(Exception, _broken)
    app.add_middleware(Guard, settings=service.settings, metrics=service.metrics)
    return app


def _add_page(app: FastAPI) -> None:
    if not (PAGE / "index.html").is_file():
        return
    app.mount("/page", _Files(directory=PAGE), name="page")

    @app.get("/", include_in_schema=False)
    def index() -> FileResponse:
        return FileResponse(PAGE / "index.html", headers={"content-security-policy": PAGE_POLICY})


class _Files(StaticFiles):
    """The page's files, each under the page's policy."""

    def file_response(self, *given: Any, **more: Any) -> Response:
        response = super().file_response(*given, **more)
        response.headers["content-security-policy"] = PAGE_POLICY
        return response


async def _refused(request: Request, error: Exception) -> Answer:
    assert isinstance(error, SelfEditError)
    status = status_of(error)
    code = "model_not_found" if isinstance(error, UnknownVoice) else None
    param = "model" if isinstance(error, UnknownVoice) else None
    return Answer(error_body(status, str(error), param=param, code=code), status)


async def _invalid(request: Request, error: Exception) -> Answer:
    """Without the values: a document has no place in an error."""
    assert isinstance(error, RequestValidationError)
    first: Any = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:]) or None
    said = f"{place}: {first['msg']}" if place else str(first["msg"])
    return Answer(error_body(422, said, param=place), 422)


async def _http(request: Request, error: Exception) -> Answer:
    assert isinstance(error, HTTPException)
    return Answer(
        error_body(error.status_code, str(error.detail)), error.status_code, headers=error.headers
    )


async def _gone(request: Request, error: Exception) -> Answer:
    """Nobody reads this; the status is counted, under nginx's name for it."""
    return Answer(error_body(499, "the client has closed the connection"), 499)


async def _broken(request: Request, error: Exception) -> Answer:
    _log.error("%s %s: %s", request.method, request.url.path, type(error).__name__)
    return Answer(error_body(500, f"internal error: {type(error).__name__}"), 500)
