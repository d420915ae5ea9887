"""Progress as the loops report it, whoever shows it (a terminal, a log, nobody)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Progress(Protocol):
    """One stage at a time: `start` ends the stage before; parts of a unit may be reported.

    note: what is known so far, in one line; it replaces the previous note ("": none).
    """

    def start(self, name: str, total: int) -> None: ...

    def advance(self, amount: float = 1) -> None: ...

    def found(self, amount: float) -> None:
        """Advance by what needed no work, such as what is in the store: it says nothing of the pace."""
        ...

    def note(self, text: str) -> None: ...

    def warn(self, text: str) -> None:
        """Something that a user should know, in a sentence; the work goes on."""
        ...


class Silent:
    """No-op progress."""

    def start(self, name: str, total: int) -> None:
        pass

    def advance(self, amount: float = 1) -> None:
        pass

    def found(self, amount: float) -> None:
        self.advance(amount)

    def note(self, text: str) -> None:
        pass

    def warn(self, text: str) -> None:
        pass


class Part:
    """A part of a stage, for which `units` were announced: it starts no stage, and `finish` reports
    what was not reported yet."""

    def __init__(self, progress: Progress, units: int) -> None:
        self._progress, self._left = progress, float(units)

    def start(self, name: str, total: int) -> None:
        pass

    def advance(self, amount: float = 1) -> None:
        self._left -= amount
        self._progress.advance(amount)

    def found(self, amount: float) -> None:
        self._left -= amount
        self._progress.found(amount)

    def note(self, text: str) -> None:
        self._progress.note(text)

    def warn(self, text: str) -> None:
        self._progress.warn(text)

    def finish(self) -> None:
        self.found(self._left)


class Noted:
    """A progress whose notes all have the same beginning."""

    def __init__(self, progress: Progress, beginning: str) -> None:
        self._progress, self._beginning = progress, beginning
        progress.note(beginning)

    def start(self, name: str, total: int) -> None:
        self._progress.start(name, total)

    def advance(self, amount: float = 1) -> None:
        self._progress.advance(amount)

    def found(self, amount: float) -> None:
        self._progress.found(amount)

    def note(self, text: str) -> None:
        self._progress.note(f"{self._beginning}, {text}" if text else self._beginning)

    def warn(self, text: str) -> None:
        self._progress.warn(text)


class Renamed:
    """A progress whose next stages are called otherwise."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress, self._name = progress, name

    def start(self, name: str, total: int) -> None:
        self._progress.start(self._name, total)

    def advance(self, amount: float = 1) -> None:
        self._progress.advance(amount)

    def found(self, amount: float) -> None:
        self._progress.found(amount)

    def note(self, text: str) -> None:
        self._progress.note(text)

    def warn(self, text: str) -> None:
        self._progress.warn(text)


class Tracked:
    """Progress that can be taken back, when work has to be done again."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._shown = progress, 0.0

    def start(self, name: str, total: int) -> None:
        self._progress.start(name, total)

    def advance(self, amount: float = 1) -> None:
        self._shown += amount
        self._progress.advance(amount)

    def found(self, amount: float) -> None:
        self._shown += amount
        self._progress.found(amount)

    def note(self, text: str) -> None:
        self._progress.note(text)

    def warn(self, text: str) -> None:
        self._progress.warn(text)

    def take_back(self) -> None:
        self._progress.advance(-self._shown)


def by_steps(progress: Progress, units: float) -> Callable[[int, int], None]:
    """An on_step(finished steps, all steps) that advances `progress` by `units` over all of them."""
    shown = 0.0

    def on_step(step: int, total: int) -> None:
        nonlocal shown
        now = units * step / total
        progress.advance(now - shown)
        shown = now

    return on_step
