"""What a server asks of an engine: texts, token by token, for many requests at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from selfedit.errors import SelfEditError
from selfedit.serve.voices import Speaker
from selfedit.types import Prompt

Finish = Literal["stop", "length"]


class Busy(SelfEditError):
    """More requests wait than may; try again later."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token that was drawn: its text, bytes and log-probability (nats, at temperature 1), and the
    likeliest ones in its place."""

    text: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """What is new of a text. finish: why it ends, with the last piece. error: it could not be written
    to its end."""

    text: str = ""
    tokens: tuple[Token, ...] = ()
    num_tokens: int = 0
    finish: Finish | None = None
    error: SelfEditError | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """One text to be written.

    ids: of the prompt, None for a model that has no tokens. prompt: the same in words. temperature 0 is
    greedy. stops: strings before which the text ends. top: None: no log-probabilities; else how many
    likeliest tokens are told. raw: the text as it is, not stripped of blanks and thoughts. limit_named:
    whether the client asks for max_tokens; if not, fewer do where the model has no room for them.
    """

    speaker: Speaker
    prompt: Prompt
    ids: tuple[int, ...] | None
    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stops: tuple[str, ...] = ()
    top: int | None = None
    raw: bool = False
    limit_named: bool = True


@dataclass(eq=False)
class Ticket:
    """An ask on its way. tell: given every piece, from the engine's thread."""

    ask: Ask
    tell: Callable[[Piece], None]
    cancelled: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """Nobody reads the text any more: it leaves the batch at the next step."""
        self.cancelled.set()


class Engine(Protocol):
    """Writes texts in a thread of its own. Asks for different adapters go together."""

    def submit(self, ask: Ask, tell: Callable[[Piece], None]) -> Ticket:
        """Raises Busy; what goes wrong later is told by a piece."""
        ...

    @property
    def load(self) -> tuple[int, int]:
        """Texts that are being written, and those that wait."""
        ...

    def close(self) -> None: ...
