"""Asking an OpenAI-compatible endpoint, many prompts at once: retries, cached replies, safe errors.

`judge.py`, `rubric.py` and `writer.py` are built on `Endpoint`.
A reply is read, and stored as soon as it arrives. Transient failures (429, 408, 5xx, time-outs, broken
connections, unreadable replies) are retried; any other stops the batch with an error, and replies
that have arrived are kept. The key is read from the environment when it is needed; no object that
outlives the batch holds it, and it is cut out of every message. Time and size of a reply are bounded
(`connection.py`), and Ctrl-C waits for a second at most.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Protocol

from selfedit.config import EndpointSettings
from selfedit.endpoints.batch import Batch, Stopped
from selfedit.endpoints.connection import Broken, Connection, TooLarge
from selfedit.endpoints.replies import (
    UnreadableReply,
    content_of,
    error_of,
    redacted,
    retry_after,
    without_secret,
)
from selfedit.errors import EndpointError

FIRST_DELAY, LONGEST_DELAY = 1.0, 60.0  # seconds; doubled from the first to the longest
LONGEST_RETRY_AFTER = 300.0  # seconds; an endpoint that asks for more is not waited for
_TRANSIENT = frozenset({408, 409, 425, 429})


class Cache(Protocol):
    """Keeps replies; `store.Store` is one."""

    def cached(self, keys: Iterable[str]) -> dict[str, Any]: ...

    def put_cached(self, kind: str, values: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True, slots=True)
class Ask:
    """One question to the endpoint. key: identity of the reply. options: of the request."""

    key: str
    text: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Problem:
    """Why an attempt failed, and what to do about it (`advice`, unless the usual one applies)."""

    said: str
    advice: str = ""
    transient: bool = True
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class _Request:
    """What all requests of a batch share."""

    secret: str = field(repr=False)
    kind: str
    read: Callable[[str], Any]


class Endpoint:
    """A model behind an OpenAI-compatible API.

    role: its name in messages ("judge"). error: class of the exceptions that are raised. sleep, jitter
    (a number in [0, 1)): injectable, for tests.
    """

    def __init__(
        self,
        settings: EndpointSettings,
        cache: Cache | None = None,
        *,
        role: str = "endpoint",
        error: type[EndpointError] = EndpointError,
        sleep: Callable[[float], None] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.settings, self.cache, self.role, self.error = settings, cache, role, error
        self._sleep, self._jitter = sleep, jitter

    @property
    def name(self) -> str:
        return f"{self.role} {self.settings.model} at {self.settings.base_url}"

    def check(self) -> None:
        """Raises what the first request would if the key is missing or the environment's proxy cannot
        be used; sends nothing."""
        self._connection(self._key()).close()

    def ask_many(
        self,
        kind: str,
        asks: Sequence[Ask],
        read: Callable[[str], Any],
        on_done: Callable[[int], None] | None = None,
    ) -> list[Any]:
        """What `read` makes of the replies (a JSON value), in the order of `asks`.

        Known replies are taken from the cache, the others stored in it under `kind`. `read` raises
        UnreadableReply. on_done: called with the number of asks that just got their reply. Raises
        `self.error` for an endpoint that fails for good.
        """
        found = {} if self.cache is None else self.cache.cached(ask.key for ask in asks)
        missing = {ask.key: ask for ask in asks if ask.key not in found}
        if on_done is not None and len(missing) < len(asks):
            on_done(len(asks) - len(missing))
        if missing:
            self._fetch(kind, list(missing.values()), read, found, on_done)
        return [found[ask.key] for ask in asks]

    def _fetch(
        self,
        kind: str,
        asks: Sequence[Ask],
        read: Callable[[str], Any],
        found: dict[str, Any],
        on_done: Callable[[int], None] | None,
    ) -> None:
        """Ask at most `concurrency` at a time. The first failure stops what has not been sent yet."""
        secret = self._key()
        request = _Request(secret, kind, read)
        batch: Batch[Ask, Connection, Any] = Batch(
            lambda connection, ask: self._reply(batch, request, connection, ask)
        )
        num = min(self.settings.concurrency, len(asks))
        num_done = 0
        failure: EndpointError | None = None
        try:
            with closing(batch.run(asks, [self._connection(secret) for _ in range(num)])) as replies:
                for ask, value in replies:
                    found[ask.key] = value
                    num_done += 1
                    if on_done is not None:
                        on_done(1)
        except EndpointError as error:
            failure = error
        if failure is not None and self.cache is not None:
            kept = f"{num_done} of {len(asks)} replies of this batch arrived and are kept"
            raise self.error(f"{failure} ({kept}: the same run goes on from there.)")
        if failure is not None:
            raise failure

    def _reply(
        self, batch: Batch[Ask, Connection, Any], request: _Request, connection: Connection, ask: Ask
    ) -> Any:
        tries = self.settings.max_retries + 1
        for attempt in range(1, tries + 1):
            if batch.stop.is_set():
                raise Stopped
            outcome = self._attempt(request, connection, ask)
            if not isinstance(outcome, _Problem):
                with batch.keeping() as wanted:
                    if self.cache is not None and wanted:
                        self.cache.put_cached(request.kind, {ask.key: outcome})
                return outcome
            if not outcome.transient or attempt == tries:
                raise self._failure(outcome, attempt)
            (self._sleep or batch.stop.wait)(self._delay(attempt, outcome.retry_after))
        raise AssertionError("max_retries is not negative")

    def _attempt(self, request: _Request, connection: Connection, ask: Ask) -> Any:
        """The reply as `read` gives it, or a _Problem (not an exception: those may hold the key)."""
        limit = self.settings.limit_parameter
        options = {limit if k == "max_tokens" else k: v for k, v in ask.options.items()}
        options = {k: v for k, v in options.items() if k not in self.settings.omit}
        text = ask.text.encode("utf-8", "replace").decode("utf-8")  # no lone surrogates in JSON
        asked = {
            "model": self.settings.model,
            "messages": [{"role": "user", "content": text}],
            **options,
        }
        headers = {"Authorization": f"Bearer {request.secret}", "User-Agent": "selfedit"}
        try:
            response = connection.post("/chat/completions", json.dumps(asked).encode(), headers)
            body = response.body.decode("utf-8", "replace")
            if response.status >= 300:
                return self._refused(response.status, body, response.headers, request.secret)
            # An endpoint may send back what it was sent: the key is stored and trained on nowhere.
            return request.read(without_secret(content_of(body), request.secret))
        except UnreadableReply as error:
            return _Problem(
                redacted(f"its reply was {error}", request.secret),
                "Check that the model follows instructions, is given enough tokens for its reply, "
                "and that the address is the right one.",
            )
        except TooLarge as error:
            return _Problem(redacted(str(error), request.secret), "Check the address.", False)
        except Broken as error:
            return _Problem(redacted(str(error), request.secret))

    def _refused(self, status: int, text: str, headers: Mapping[str, str], secret: str) -> _Problem:
        """What an HTTP status of 3xx, 4xx or 5xx means."""
        message, code = error_of(text)
        said = redacted(f"{status}: {message}", secret)
        if code == "insufficient_quota":
            return _Problem(said, "Add credit to the account, or use another endpoint.", False)
        if status in _TRANSIENT or status >= 500:
            wait = retry_after(headers)
            if wait is not None and wait > LONGEST_RETRY_AFTER:
                return _Problem(said, f"It asks for a pause of {wait:.0f} s: wait.", False)
            return _Problem(said, retry_after=wait)
        if 300 <= status < 400:
            advice = "It sends requests on to another address; name that one, if you trust it."
            return _Problem(said, advice, False)
        variable = self.settings.key_variable
        advices = {
            401: f"Put a valid key into the environment variable {variable}.",
            403: f"Check what the key in {variable} may do, and the model's name.",
            404: "Check the address (it often ends in /v1) and the model's name.",
        }
        usual = (
            "Check the model's name; a request parameter that the endpoint does not know can be left "
            "out (`omit`) or, for the limit of tokens, renamed (`limit_parameter`)."
        )
        return _Problem(said, advices.get(status, usual), False)

    def _failure(self, problem: _Problem, attempts: int) -> EndpointError:
        advice = problem.advice or (
            "Check that it can be reached and is not overloaded (settings: base_url, timeout, "
            "max_retries, concurrency)."
        )
        tried = f" after {attempts} attempts" if attempts > 1 else ""
        return self.error(f"The {self.name} failed{tried} ({problem.said}). {advice} Then run again.")

    def _delay(self, attempt: int, wait: float | None) -> float:
        """Seconds: doubled each time, between half and the whole of that; never under Retry-After."""
        whole = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** (attempt - 1))
        return max(whole * (0.5 + 0.5 * self._jitter()), wait or 0.0)

    def _key(self) -> str:
        """The key. A local server needs none, but the client requires some text."""
        variable = self.settings.key_variable
        key = os.environ.get(variable, "").strip()
        if not key and self.settings.is_openai:
            raise self.error(
                f"The {self.name} needs a key: set the environment variable {variable}, or choose "
                "another endpoint (base_url), such as a local server."
            )
        if not key.isascii() or not key.isprintable() or " " in key:
            raise self.error(
                f"The environment variable {variable} does not hold a key (it has spaces or unusual "
                f"characters); set the key of the {self.name}."
            )
        return key or "none"

    def _connection(self, key: str) -> Connection:
        own = self.settings
        try:
            return Connection(own.base_url, timeout=own.timeout, deadline=own.deadline)
        except (OSError, ValueError) as error:  # a proxy or certificate of the environment
            problem = redacted(f"{type(error).__name__}: {error}", key)
        raise self.error(
            f"The connection to the {self.name} could not be prepared ({problem}). Check the proxy and "
            "certificate variables of the environment."
        )
