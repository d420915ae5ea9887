"""From a request to texts: what is asked of the engine, and its pieces as they come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from fastapi.concurrency import run_in_threadpool

from selfedit.errors import SelfEditError
from selfedit.serve.engine import Ask, Piece, Ticket
from selfedit.serve.messages import Conversation, stops_of, tokens_of
from selfedit.serve.service import Service
from selfedit.serve.voices import Voice


class TooLate(SelfEditError):
    """The answer was not whole in time."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a text is to be drawn (`engine.Ask`)."""

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stops: tuple[str, ...] = ()
    top: int | None = None
    limit_named: bool = True


class Answers:
    """Texts of one server's engine."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def question(self, voice: Voice, question: str, max_tokens: int) -> str:
        """The greedy answer to a question, as `Library.ask` gives it."""
        ask = await self.ask(voice, Conversation.question(question), Wanted(max_tokens))
        return "".join([piece.text async for piece in self.pieces(ask)])

    async def ask(self, voice: Voice, said: Conversation, wanted: Wanted) -> Ask:
        """What the engine is asked; adapters are loaded. Raises SelfEditError."""
        return await run_in_threadpool(self._ask, voice, said, wanted)

    def _ask(self, voice: Voice, said: Conversation, wanted: Wanted) -> Ask:
        speaker = self.service.voices.speaker(voice, said.prompt)
        ids = tokens_of(speaker.model, said)
        return Ask(
            speaker,
            said.prompt,
            ids,
            max_tokens=min(wanted.max_tokens, self.service.settings.max_tokens),
            temperature=wanted.temperature,
            top_p=wanted.top_p,
            seed=wanted.seed,
            stops=(*wanted.stops, *stops_of(speaker.model, said)),
            top=wanted.top,
            raw=said.raw,
            limit_named=wanted.limit_named,
        )

    async def pieces(self, ask: Ask) -> AsyncIterator[Piece]:
        """The pieces of a text until its end. Who stops to read takes it out of the batch. Raises
        SelfEditError, TooLate."""
        loop, queue = asyncio.get_running_loop(), asyncio.Queue[Piece]()

        def tell(piece: Piece) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(queue.put_nowait, piece)

        metrics = self.service.metrics
        began = time.monotonic()
        end = began + self.service.settings.request_seconds
        ticket: Ticket = self.service.engine.submit(ask, tell)
        metrics.prompt_tokens.inc(len(ask.ids or ()))
        first = True
        try:
            while True:
                try:
                    # Not wait_for, which in Python 3.11 forgets a cancelling that meets a piece.
                    async with asyncio.timeout(end - time.monotonic()):
                        piece = await queue.get()
                except TimeoutError:
                    raise TooLate("the answer was not whole in time, and was given up") from None
                if piece.error is not None:
                    raise piece.error
                if first:
                    metrics.first_token.observe(time.monotonic() - began)
                    first = False
                metrics.new_tokens.inc(piece.num_tokens)
                yield piece
                if piece.finish is not None:
                    return
        finally:
            ticket.cancel()

    async def whole(self, ask: Ask) -> Piece:
        """The text in one piece."""
        return joined([piece async for piece in self.pieces(ask)])


def joined(pieces: Sequence[Piece]) -> Piece:
    """Pieces of a text as one."""
    return replace(
        pieces[-1],
        text="".join(piece.text for piece in pieces),
        tokens=tuple(token for piece in pieces for token in piece.tokens),
        num_tokens=sum(piece.num_tokens for piece in pieces),
    )
