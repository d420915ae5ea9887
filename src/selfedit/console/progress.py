"""The loops' progress on stderr: a bar on a terminal, else a line from time to time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from selfedit.console.common import shown
from selfedit.console.literal import literal
from selfedit.show.wording import duration

# Seconds from the start of a stage to its first line, and the longest time between two lines.
FIRST_LINE, LONGEST_GAP = 10.0, 60.0


class _Bars(Bars):
    """Bars with a line below them."""

    line = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if self.line:
            yield Text(literal(self.line), style="dim", no_wrap=True, overflow="ellipsis")


class Lines:
    """Progress for logs: a line when a stage starts and when it ends, and between them after 10, 30
    and 70 seconds, then every minute: what, how far, how long still, and the latest note."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._clock = console, clock
        self._name, self._note = "", ""
        self._total, self._done = 0, 0.0
        self._started = 0.0
        self._said = 0.0  # when the last line was printed
        # When the first part was done, then when the last line was printed, and how much was done then:
        # before the first part work is prepared, which says nothing about the pace.
        self._pace_from: tuple[float, float] | None = None
        self._gap = FIRST_LINE

    def start(self, name: str, total: int) -> None:
        self.end()
        now = self._clock()
        self._name, self._total, self._done = name, total, 0.0
        self._started, self._said, self._pace_from, self._gap = now, now, None, FIRST_LINE
        if total:
            self._print()

    def advance(self, amount: float) -> None:
        if not self._total:
            return
        self._done += amount
        now = self._clock()
        if self._done >= self._total - 1e-6:  # parts of a unit do not add up exactly
            self.end()
        elif now - self._said >= self._gap:
            left = self._seconds_left(now)
            self._print("" if left is None else f"about {duration(left)} left")
            self._said, self._gap = now, min(2 * self._gap, LONGEST_GAP)
            self._pace_from = (now, self._done)
        elif self._pace_from is None:
            self._pace_from = (now, self._done)

    def found(self, amount: float) -> None:
        """As `advance`, apart from the pace."""
        if self._pace_from is not None:
            then, done = self._pace_from
            self._pace_from = (then, done + amount)
        self.advance(amount)

    def note(self, text: str) -> None:
        self._note = text

    def end(self) -> None:
        """The stage's last line, unless that was printed."""
        if self._total:
            self._print(f"after {duration(self._clock() - self._started)}")
        self._total = 0

    def _seconds_left(self, now: float) -> float | None:
        """At the pace since the last line: what was finished in an earlier run counts at once."""
        then, done = self._pace_from or (now, self._done)
        if self._done <= done:
            return None
        return (self._total - self._done) * (now - then) / (self._done - done)

    def _print(self, time_said: str = "") -> None:
        how_far = f"{self._name}: {int(self._done + 1e-6)} of {self._total}"
        said = ", ".join(part for part in (how_far, time_said) if part)
        line = f"{said} ({self._note})" if self._note else said
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class RichProgress:
    """Implements `progress.Progress`. With --quiet nothing is shown but warnings."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._bars = _Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not (shown.progress and console.is_terminal),
        )
        self._lines = Lines(console, clock) if shown.progress and not console.is_terminal else None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()
        if self._lines is not None:
            self._lines.end()

    def start(self, name: str, total: int) -> None:
        self._task = self._bars.add_task(name, total=total)
        if self._lines is not None:
            self._lines.start(name, total)

    def advance(self, amount: float = 1) -> None:
        if self._task is not None:
            self._bars.advance(self._task, amount)
        if self._lines is not None:
            self._lines.advance(amount)

    def found(self, amount: float) -> None:
        if self._task is not None:
            self._bars.advance(self._task, amount)
        if self._lines is not None:
            self._lines.found(amount)

    def note(self, text: str) -> None:
        self._bars.line = text
        if self._lines is not None:
            self._lines.note(text)

    def warn(self, text: str) -> None:
        console = self._bars.console
        # A line of a log is not broken at 80 columns.
        console.print(
            text, style="yellow", markup=False, highlight=False, soft_wrap=not console.is_terminal
        )

    def pause(self) -> None:
        """Stop drawing, to ask a question."""
        self._bars.stop()

    def resume(self) -> None:
        self._bars.start()
