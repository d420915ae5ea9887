"""OpenAI's files API: what a client uploads to be learned, and reports that it fetches."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Query, UploadFile
from fastapi.responses import Response

from selfedit.errors import InputError
from selfedit.serve.native import Own
from selfedit.serve.openai_shapes import list_json, page_of
from selfedit.serve.routes import Route

router = APIRouter(prefix="/v1/files", route_class=Route)


@router.post("")
def upload(
    service: Own, file: UploadFile, purpose: Annotated[str, Form(max_length=64)] = "fine-tune"
) -> dict[str, Any]:
    """Keep a document, statements or a quiz. It is on the disk when this returns."""
    data = file.file.read()
    if not data:
        raise InputError("the file is empty")
    return service.files.add(data, file.filename or "file", purpose).to_json()


@router.get("")
def files(
    service: Own,
    purpose: str | None = None,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    order: Literal["asc", "desc"] = "desc",
) -> dict[str, Any]:
    """Files, newest first unless `order` is asc."""
    found = [own for own in service.files.list() if purpose is None or own.purpose == purpose]
    if order == "asc":
        found.reverse()
    page, more = page_of(found, after, limit, lambda file: file.id)
    return list_json([own.to_json() for own in page], more)


@router.get("/{file_id}")
def file(service: Own, file_id: str) -> dict[str, Any]:
    return service.files.get(file_id).to_json()


@router.get("/{file_id}/content", response_class=Response)
def content(service: Own, file_id: str) -> Response:
    """The bytes as they were; a browser is not to show them as a page of this server's."""
    headers = {"content-disposition": "attachment", "content-security-policy": "sandbox"}
    data = service.files.content(file_id)
    return Response(data, media_type="application/octet-stream", headers=headers)


@router.delete("/{file_id}")
def delete(service: Own, file_id: str) -> dict[str, Any]:
    service.files.delete(file_id)
    return {"id": file_id, "object": "file", "deleted": True}
