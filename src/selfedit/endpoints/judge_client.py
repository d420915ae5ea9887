"""What the judges share: greedy decoding, and replies that are stored."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, ClassVar

from selfedit.config import JudgeSettings
from selfedit.endpoints.client import Cache, Endpoint
from selfedit.errors import JudgeError


class EndpointJudge:
    """A model behind an endpoint that judges. role: its name in messages.

    cache: stores its replies (a `Store`); without one, every verdict costs a call each time.
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
        """Request parameters of greedy decoding."""
        return {"temperature": 0, "max_tokens": self.settings.max_tokens}
