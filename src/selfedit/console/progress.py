"""The loops' progress as a rich bar on stderr."""

from __future__ import annotations

from collections.abc import Iterable
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


class _Bars(Bars):
    """Bars with a line below them."""

    line = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if self.line:
            yield Text(self.line, style="dim", no_wrap=True, overflow="ellipsis")


class RichProgress:
    """Implements `progress.Progress`. Nothing is drawn where stderr is no terminal."""

    def __init__(self, console: Console) -> None:
        self._bars = _Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
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

    def start(self, name: str, total: int) -> None:
        self._task = self._bars.add_task(name, total=total)

    def advance(self, amount: float = 1) -> None:
        if self._task is not None:
            self._bars.advance(self._task, amount)

    def note(self, text: str) -> None:
        self._bars.line = text

    def warn(self, text: str) -> None:
        self._bars.console.print(text, style="yellow", markup=False, highlight=False)

    def pause(self) -> None:
        """Stop drawing, to ask a question."""
        self._bars.stop()

    def resume(self) -> None:
        self._bars.start()
