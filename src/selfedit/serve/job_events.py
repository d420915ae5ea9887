"""What a job tells while it runs: kept events, and a progress that comes and goes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

Event = dict[str, Any]
# Seconds between two messages of progress.
_INTERVAL = 0.25


class Events:
    """The events of one job, numbered from 1 by `n`. Implements `progress.Progress` while it runs.

    Kept: status, stage, warning, and what the job's kind adds. Not kept, and without a number:
    {"type": "progress", "stage", "done", "total", "note"}.
    """

    def __init__(self, events: Sequence[Event] = ()) -> None:
        self.kept = list(events)
        self._listeners: list[tuple[asyncio.AbstractEventLoop, asyncio.Queue[Event | None]]] = []
        self._lock = threading.Lock()
        self._tell: Callable[[str, dict[str, Any]], None] = lambda type_, values: None
        self._step: Callable[[], None] = lambda: None
        self._stage, self._total, self._done, self._note = "", 0, 0.0, ""
        self._sent = 0.0
        self._closed = False

    def hold(self, tell: Callable[[str, dict[str, Any]], None], step: Callable[[], None]) -> None:
        """The job begins. tell: keeps an event. step: called as often as there is progress; it raises
        where the job is to stop."""
        self._tell, self._step, self._closed = tell, step, False

    def add(self, event: Event) -> Event:
        """Number an event, keep it and send it."""
        with self._lock:
            event = {"n": len(self.kept) + 1, **event}
            self.kept.append(event)
            self._send(event)
        return event

    def close(self) -> None:
        """Nothing will follow: those who listen come to their end."""
        with self._lock:
            self._closed = True
            self._send(None)

    def _send(self, event: Event | None) -> None:
        for loop, queue in self._listeners:
            if not loop.is_closed():
                loop.call_soon_threadsafe(queue.put_nowait, event)

    async def listen(self, after: int = 0, *, ended: bool = False) -> AsyncIterator[Event]:
        """Events with a number above `after`, then those to come, until the job ends. ended: it has."""
        own = (asyncio.get_running_loop(), asyncio.Queue[Event | None]())
        with self._lock:
            before = [event for event in self.kept if event["n"] > after]
            ended = ended or self._closed
            if not ended:
                self._listeners.append(own)
        try:
            for event in before:
                yield event
            while not ended and (new := await own[1].get()) is not None:
                yield new
        finally:
            with self._lock:
                if own in self._listeners:
                    self._listeners.remove(own)

    def tell(self, type_: str, **values: Any) -> None:
        """Keep an event of the job's own kind."""
        self._tell(type_, values)

    # -- progress.Progress --

    def start(self, name: str, total: int) -> None:
        self._step()
        self._stage, self._total, self._done, self._note = name, total, 0.0, ""
        self._tell("stage", {"stage": name, "total": total})

    def advance(self, amount: float = 1) -> None:
        self._step()
        self._done += amount
        self._show()

    def found(self, amount: float) -> None:
        self.advance(amount)

    def note(self, text: str) -> None:
        self._note = text
        self._show()

    def warn(self, text: str) -> None:
        self._tell("warning", {"text": text})

    def _show(self) -> None:
        now = time.monotonic()
        if now - self._sent < _INTERVAL:
            return
        self._sent = now
        progress = {
            "type": "progress",
            "stage": self._stage,
            "done": round(self._done, 3),
            "total": self._total,
            "note": self._note,
        }
        with self._lock:
            self._send(progress)
