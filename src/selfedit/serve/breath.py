"""Learning makes way for answers: between its steps it waits while texts are being written.

Both run at the same time, each in its own thread on modules of its own. Where they compete, a training
of which nobody is in a hurry would halve the speed of answers that somebody waits for. So a job's work
calls this at every step: while answers are being written it sleeps, in proportion to what it worked
since it last slept, and so takes its share of the time and no more.
"""

from __future__ import annotations

import time

from selfedit.serve.engine import Engine

_LONGEST = 2.0  # seconds that it sleeps at a time, so that a job that is cancelled ends soon
_LOOK = 0.01  # seconds between two looks whether answers are done
_LEAST = 0.05  # seconds of work before it sleeps at all


class Breath:
    """share: of the time that the job takes while answers are being written, above 0, at most 1."""

    def __init__(self, engine: Engine, share: float) -> None:
        self._engine, self._share = engine, share
        self._since = time.monotonic()
        self.slept = 0.0

    def __call__(self) -> None:
        """Sleep as long as the work since the last call has earned, until no text is written."""
        worked = time.monotonic() - self._since
        if worked < _LEAST:
            return
        begun = time.monotonic()
        end = begun + min(_LONGEST, worked * (1 - self._share) / self._share)
        while any(self._engine.load) and time.monotonic() < end:
            time.sleep(_LOOK)
        self._since = time.monotonic()
        self.slept += self._since - begun
