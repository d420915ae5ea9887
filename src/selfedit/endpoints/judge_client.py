"""What the judges share: an endpoint that decodes greedily, and replies that are kept."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, ClassVar

from selfedit.config import JudgeSettings
from selfedit.endpoints.client import Cache, Endpoint
from selfedit.errors import JudgeError


class EndpointJudge:
    """A model behind an endpoint that judges. role: what messages call it.

    cache: keeps what it said (a `Store`); without one, everything costs a call every time.
    sleep, jitter: see `endpoint.Endpoint`.
    """

    role: ClassVar[str]

    def __init__(
        self,
        settings: JudgeSettings | None = None,
        cache: Cache | None = None,
        *,
        sleep: Callable[[float], None] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.settings = settings or JudgeSettings()
        self.endpoint = Endpoint(
            self.settings, cache, role=self.role, error=JudgeError, sleep=sleep, jitter=jitter
        )

    def check(self) -> None:
        """Raises JudgeError for a missing package or key, before any work is done; asks nothing."""
        self.endpoint.check()

    @property
    def greedy(self) -> dict[str, Any]:
        """How every reply is decoded, in the words of the API."""
        return {"temperature": 0, "max_tokens": self.settings.max_tokens}
