"""Several texts at a time, over a connection that may break at any moment."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import StreamingResponse

from selfedit.errors import SelfEditError
from selfedit.serve.security import error_body
from selfedit.serve.statuses import status_of

T = TypeVar("T")
_log = logging.getLogger(__name__)
_LOOK = 0.25  # seconds between two looks whether the client is still there


class Gone(Exception):
    """The client has closed its connection: nobody reads the answer."""


async def gathered(request: Request, works: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of all, or none: where one fails, or the client is gone, the others are cancelled.
    Raises Gone."""
    tasks = [asyncio.ensure_future(work) for work in works]
    left = set(tasks)
    try:
        while left:
            done, left = await asyncio.wait(left, timeout=_LOOK, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
            if left and await request.is_disconnected():
                raise Gone
        return [task.result() for task in tasks]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def merged(sources: Sequence[AsyncIterator[T]]) -> AsyncIterator[tuple[int, T]]:
    """(number of the source, what it gives), as it comes. Raises what a source raises; all sources are
    closed at the end."""
    queue: asyncio.Queue[tuple[int, T | None, BaseException | None]] = asyncio.Queue()

    async def read(n: int, source: AsyncIterator[T]) -> None:
        error: BaseException | None = None
        try:
            async for one in source:
                queue.put_nowait((n, one, None))
        except Exception as raised:
            error = raised
        queue.put_nowait((n, None, error))

    tasks = [asyncio.ensure_future(read(n, source)) for n, source in enumerate(sources)]
    left = len(tasks)
    try:
        while left:
            n, one, error = await queue.get()
            if error is not None:
                raise error
            if one is None:
                left -= 1
            else:
                yield n, one
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def sent(request: Request, chunks: AsyncIterator[dict[str, Any]]) -> StreamingResponse:
    """Chunks as server-sent events. What goes wrong before the first one is an ordinary error; later it
    is the last event. Raises Gone."""

    async def begun() -> dict[str, Any] | None:
        return await anext(chunks, None)

    (first,) = await gathered(request, [begun()])

    async def lines() -> AsyncIterator[str]:
        try:
            if first is not None:
                yield _line(first)
            async for chunk in chunks:
                yield _line(chunk)
        except SelfEditError as error:
            yield _line(error_body(status_of(error), str(error)))
        except Exception as error:
            _log.exception("a stream failed")
            yield _line(error_body(500, f"internal error: {type(error).__name__}"))
        else:
            yield "data: [DONE]\n\n"

    return StreamingResponse(lines(), media_type="text/event-stream")


def _line(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value)}\n\n"
