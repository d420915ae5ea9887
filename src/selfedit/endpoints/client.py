"""Asking an OpenAI-compatible endpoint, many prompts at once: retries, cached replies, safe errors.

`judge.py`, `rubric.py` and `writer.py` are built on `Endpoint`.
A reply is read, and stored as soon as it arrives. Transient failures (429, 408, 5xx, time-outs, broken
connections, unreadable replies) are retried; any other stops the batch with an error, and replies
that have arrived are kept. The key is read from the environment when it is needed; no object that
outlives the batch holds it, and it is cut out of every message.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from selfedit.config import OPENAI_URL, EndpointSettings
from selfedit.endpoints.replies import (
    UnreadableReply,
    content_of,
    redacted,
    retry_after,
    without_secret,
)
from selfedit.errors import EndpointError

if TYPE_CHECKING:
    from openai import OpenAI

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
class _Batch:
    """What the threads of one batch share."""

    client: OpenAI = field(repr=False)
    secret: str = field(repr=False)
    kind: str
    read: Callable[[str], Any]
    stop: threading.Event


class _Stopped(Exception):
    """Another request of the batch has failed for good."""


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
        self._writing = threading.Lock()

    @property
    def name(self) -> str:
        return f"{self.role} {self.settings.model} at {self.settings.base_url}"

    def check(self) -> None:
        """Raises what the first request would if the `openai` package or the key is missing; sends
        nothing."""
        self._client(self._key()).close()

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
        batch = _Batch(self._client(secret), secret, kind, read, threading.Event())
        workers = min(self.settings.concurrency, len(asks))
        failure: BaseException | None = None
        num_done = 0
        with batch.client, ThreadPoolExecutor(workers, thread_name_prefix="selfedit") as pool:
            futures = {pool.submit(self._ask, batch, ask): ask for ask in asks}
            try:
                for future in as_completed(futures):
                    problem = None if future.cancelled() else future.exception()
                    if future.cancelled() or isinstance(problem, _Stopped):
                        continue
                    if problem is None:
                        found[futures[future].key] = future.result()
                        num_done += 1
                        if on_done is not None:
                            on_done(1)
                    elif failure is None:
                        failure = problem
                        _stop(batch, futures)
            finally:  # also on Ctrl-C: requests on their way end, and their replies are stored
                _stop(batch, futures)
        if isinstance(failure, EndpointError) and self.cache is not None:
            kept = f"{num_done} of {len(asks)} replies of this batch arrived and are kept"
            raise self.error(f"{failure} ({kept}: the same run goes on from there.)")
        if failure is not None:
            raise failure

    def _ask(self, batch: _Batch, ask: Ask) -> Any:
        """One reply, read and stored. Without one, the batch stops before this thread goes on."""
        try:
            return self._reply(batch, ask)
        except BaseException:
            batch.stop.set()
            raise

    def _reply(self, batch: _Batch, ask: Ask) -> Any:
        tries = self.settings.max_retries + 1
        for attempt in range(1, tries + 1):
            if batch.stop.is_set():
                raise _Stopped
            outcome = self._attempt(batch, ask)
            if not isinstance(outcome, _Problem):
                if self.cache is not None:
                    with self._writing:
                        self.cache.put_cached(batch.kind, {ask.key: outcome})
                return outcome
            if not outcome.transient or attempt == tries:
                raise self._failure(outcome, attempt)
            (self._sleep or batch.stop.wait)(self._delay(attempt, outcome.retry_after))
        raise AssertionError("max_retries is not negative")

    def _attempt(self, batch: _Batch, ask: Ask) -> Any:
        """The reply as `read` gives it, or a _Problem (not an exception: those may hold the key)."""
        from openai import APIConnectionError, APIStatusError, OpenAIError

        limit = self.settings.limit_parameter
        options = {limit if k == "max_tokens" else k: v for k, v in ask.options.items()}
        options = {k: v for k, v in options.items() if k not in self.settings.omit}
        text = ask.text.encode("utf-8", "replace").decode("utf-8")  # no lone surrogates in JSON
        try:
            reply = batch.client.chat.completions.with_raw_response.create(
                model=self.settings.model, messages=[{"role": "user", "content": text}], **options
            )
            # An endpoint may send back what it was sent: the key is stored and trained on nowhere.
            return batch.read(without_secret(content_of(reply.text), batch.secret))
        except UnreadableReply as error:
            return _Problem(
                redacted(f"its reply was {error}", batch.secret),
                "Check that the model follows instructions, is given enough tokens for its reply, "
                "and that the address is the right one.",
            )
        except APIStatusError as error:
            return self._refused(error, batch.secret)
        except APIConnectionError as error:
            cause = f": {error.__cause__}" if error.__cause__ and str(error.__cause__) else ""
            return _Problem(redacted(f"{error.message.rstrip('.')}{cause}", batch.secret))
        except OpenAIError as error:
            return _Problem(redacted(str(error), batch.secret))

    def _refused(self, error: Any, secret: str) -> _Problem:
        """What an HTTP status of 4xx or 5xx means."""
        status = int(error.status_code)
        body = error.body if isinstance(error.body, dict) else {}
        said = redacted(f"{status}: {body.get('message') or error.message}", secret)
        if body.get("code") == "insufficient_quota":
            return _Problem(said, "Add credit to the account, or use another endpoint.", False)
        if status in _TRANSIENT or status >= 500:
            wait = retry_after(error.response.headers)
            if wait is not None and wait > LONGEST_RETRY_AFTER:
                return _Problem(said, f"It asks for a pause of {wait:.0f} s: wait.", False)
            return _Problem(said, retry_after=wait)
        if 300 <= status < 400:
            advice = "It sends requests on to another address; name that one, if you trust it."
            return _Problem(said, advice, False)
        variable = self.settings.api_key_env
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
        variable = self.settings.api_key_env
        key = os.environ.get(variable, "").strip()
        if not key and self.settings.base_url == OPENAI_URL:
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

    def _client(self, key: str) -> OpenAI:
        try:
            from openai import DefaultHttpxClient, OpenAI
        except ImportError:
            raise self.error(
                f"The {self.name} needs the openai package: "
                'pip install "selfedit[judge]" (and run again).'
            ) from None
        problem = ""
        try:
            return OpenAI(
                api_key=key,
                base_url=self.settings.base_url,
                timeout=self.settings.timeout,
                max_retries=0,
                # A redirect would take prompts, and the key with them, to an address that nobody named.
                http_client=DefaultHttpxClient(follow_redirects=False),
            )
        except Exception as error:  # a proxy or certificate of the environment that cannot be used
            problem = redacted(f"{type(error).__name__}: {error}", key)
        raise self.error(
            f"The connection to the {self.name} could not be prepared ({problem}). Check the proxy and "
            "certificate variables of the environment."
        )


def _stop(batch: _Batch, futures: Iterable[Future[Any]]) -> None:
    batch.stop.set()
    for future in futures:
        future.cancel()
