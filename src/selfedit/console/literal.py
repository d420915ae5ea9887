"""Text from documents, models and files stays text on a terminal: it moves no cursor, sets no title."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import IO, Any

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.segment import Segment

# Control characters except tab and line feed, text direction overrides, lone surrogates.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def literal(text: str) -> str:
    """The text with its control characters written out, as Python writes them."""
    return _CONTROL.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


@dataclass(frozen=True, slots=True)
class _Literal:
    """Renders as what it wraps does, every piece of text as `literal` gives it."""

    inner: ConsoleRenderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self.inner, options):
            yield segment if segment.control else Segment(literal(segment.text), segment.style)


class _AllLiteral(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Literal(renderable) for renderable in renderables]


def console(**options: Any) -> Console:
    """A rich console: everything that is printed on it is literal text, and only rich styles it."""
    made = Console(**options)
    made.push_render_hook(_AllLiteral())
    return made


def lose_nothing(*streams: IO[str]) -> None:
    """Make streams escape characters that their encoding lacks (Windows code pages, LANG=C), so that a
    command does not fail after its work."""
    for stream in streams:
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
