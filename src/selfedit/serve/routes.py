"""How the server says JSON: any text that the store keeps can be said, lone surrogates among them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute


class Answer(JSONResponse):
    """JSON in ASCII. UTF-8 has no lone surrogates, which file names, broken requests and broken models'
    answers do have; JSON's escapes have them."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


class Route(APIRoute):
    """A route whose values go to `Answer` as they are: pydantic would serialize them as UTF-8."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **given: Any) -> None:
        super().__init__(path, endpoint, **{**given, "response_model": None})
