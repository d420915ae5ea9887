"""Texts on their way to clients that go away."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import time
from contextlib import closing
from http.client import HTTPConnection
from types import SimpleNamespace

import pytest

from selfedit.model.fake import FakeModel
from selfedit.serve.answers import Answers, Wanted
from selfedit.serve.engine import Piece, Ticket
from selfedit.serve.messages import Conversation
from selfedit.serve.streams import Gone, gathered
from tests.serve.conftest import Running


class Silent:
    """An engine that leaves its tickets to the test."""

    def __init__(self) -> None:
        self.tickets: list[Ticket] = []
        self.load = (0, 0)

    def submit(self, ask, tell) -> Ticket:
        self.tickets.append(Ticket(ask, tell))
        return self.tickets[-1]

    def close(self) -> None: ...


def asked(service):
    return Answers(service).ask(service.voices.get("base"), Conversation.question("Why?"), Wanted(8))


def test_a_text_is_given_up_also_where_a_piece_comes_just_then(service):
    service.engine = engine = Silent()

    async def given_up(steps: int) -> bool:
        """Whether it is where so many turns of the loop are between the two."""
        ask = await asked(service)
        task = asyncio.create_task(Answers(service).whole(ask))
        await asyncio.sleep(0.01)
        engine.tickets[-1].tell(Piece("a", num_tokens=1))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task], timeout=0.5)
        return task.cancelled() and engine.tickets[-1].cancelled.is_set()

    assert [asyncio.run(given_up(steps)) for steps in range(6)] == [True] * 6


def test_a_client_that_goes_away_is_no_error_in_the_log(service, caplog):
    service.engine = engine = Silent()

    async def is_disconnected() -> bool:
        return True

    async def gone() -> None:
        asks = [await asked(service) for _ in range(2)]
        request = SimpleNamespace(is_disconnected=is_disconnected)
        with pytest.raises(Gone):
            await gathered(request, [Answers(service).whole(ask) for ask in asks])

    with caplog.at_level(logging.ERROR):
        asyncio.run(gone())
        gc.collect()
    assert not caplog.records
    assert all(ticket.cancelled.is_set() for ticket in engine.tickets)


HELLO = [{"role": "user", "content": "Hello"}]
REQUESTS = {
    "/api/ask": {"question": ["Why?", "When?"], "model": "base"},
    "/v1/chat/completions": {"model": "base", "messages": HELLO, "n": 2},
    "/v1/completions": {"model": "base", "prompt": ["Hello", "Well,"], "stream": True},
}


@pytest.mark.parametrize("path", REQUESTS)
def test_texts_that_wait_end_when_their_client_goes_away(tmp_path, path):
    running = Running(FakeModel(), tmp_path / "lib")
    running.service.engine = engine = Silent()
    try:
        with closing(HTTPConnection(running.url.partition("//")[2], timeout=1)) as connection:
            head = {"content-type": "application/json"}
            connection.request("POST", path, json.dumps(REQUESTS[path]), head)
            with pytest.raises(TimeoutError):
                connection.getresponse()
        end = time.monotonic() + 10
        while not all(own.cancelled.is_set() for own in engine.tickets) and time.monotonic() < end:
            time.sleep(0.02)
        assert [own.cancelled.is_set() for own in engine.tickets] == [True, True]
    finally:
        for ticket in engine.tickets:
            ticket.tell(Piece(finish="stop"))
        running.close()
