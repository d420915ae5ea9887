"""The plain engine: one text after the other, by the model's own `sample`.

For models that cannot be batched continuously (the fake one; architectures with other caches), and in
the tests the reference that the batching one is compared with.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from selfedit.config import SamplingSettings
from selfedit.errors import SelfEditError
from selfedit.serve.engine import Ask, Busy, Piece, Ticket, Token
from selfedit.types import Completion


class OneByOne:
    """Implements `engine.Engine`. most_waiting: asks beyond it are refused."""

    def __init__(self, most_waiting: int = 512) -> None:
        self._queue: queue.Queue[Ticket | None] = queue.Queue()
        self._most = most_waiting
        self._running = 0
        self._thread = threading.Thread(target=self._run, name="selfedit-answers", daemon=True)
        self._thread.start()

    def submit(self, ask: Ask, tell: Callable[[Piece], None]) -> Ticket:
        if self._queue.qsize() >= self._most:
            raise Busy(f"{self._most} requests wait already: try again later")
        ticket = Ticket(ask, tell)
        self._queue.put(ticket)
        return ticket

    @property
    def load(self) -> tuple[int, int]:
        return self._running, self._queue.qsize()

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join(10)

    def _run(self) -> None:
        while (ticket := self._queue.get()) is not None:
            if ticket.cancelled.is_set():
                continue
            self._running = 1
            try:
                ticket.tell(answered(ticket.ask))
            except SelfEditError as error:
                ticket.tell(Piece(error=error))
            except Exception as error:
                ticket.tell(Piece(error=SelfEditError(f"internal error: {type(error).__name__}")))
            finally:
                self._running = 0


def answered(ask: Ask) -> Piece:
    """The whole text in one piece. Raises SelfEditError."""
    speaker = ask.speaker
    sampling = SamplingSettings(
        temperature=ask.temperature, top_p=ask.top_p, max_new_tokens=ask.max_tokens
    )
    owners = None if speaker.adapters is None else [0]
    done = _written(ask, sampling, owners)
    text = done.text
    ended = done.ended
    for stop in ask.stops:
        if stop in text:
            text, ended = text.split(stop, 1)[0], True
    tokens: tuple[Token, ...] = ()
    if ask.top is not None:
        words = text.split() or [""]
        tokens = tuple(
            Token(word, logprob) for word, logprob in zip(words, done.logprobs, strict=False)
        )
    count = len(done.tokens) or speaker.model.count_tokens(text)
    return Piece(text, tokens, count, "length" if ended is False else "stop")


def _written(ask: Ask, sampling: SamplingSettings, owners: list[int] | None) -> Completion:
    from selfedit.model.language_model import LanguageModel

    speaker = ask.speaker
    if isinstance(speaker.model, LanguageModel) and ask.ids is not None:
        from selfedit.model.prompts import Rendered

        bank = None if speaker.adapters is None else speaker.model.reading(speaker.adapters)
        rendered = Rendered(ask.ids, ask.stops, max_new_tokens=ask.max_tokens)
        (done,) = speaker.model.writing.write(
            [rendered], sampling, [ask.seed], bank=bank, owners=owners, logprobs=True
        )
        return done
    (done,) = speaker.model.sample(
        [ask.prompt],
        sampling,
        [ask.seed],
        adapters=speaker.adapters,
        owners=owners,
        logprobs=ask.top is not None,
    )
    return done
