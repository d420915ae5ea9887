"""Progress as the loops report it; who shows it (a terminal, a page, nobody) is not their affair."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Progress(Protocol):
    """One stage at a time: `start` ends the stage before; parts of a unit may be reported."""

    def start(self, name: str, total: int) -> None: ...

    def advance(self, amount: float = 1) -> None: ...

    def note(self, text: str) -> None:
        """Something that a user should know, in a sentence; the work goes on."""
        ...


class Silent:
    """Nobody looks."""

    def start(self, name: str, total: int) -> None:
        pass

    def advance(self, amount: float = 1) -> None:
        pass

    def note(self, text: str) -> None:
        pass


def by_steps(progress: Progress, units: float) -> Callable[[int, int], None]:
    """An on_step(finished steps, all steps) that advances `progress` by `units` over all of them."""
    shown = 0.0

    def on_step(step: int, total: int) -> None:
        nonlocal shown
        now = units * step / total
        progress.advance(now - shown)
        shown = now

    return on_step
