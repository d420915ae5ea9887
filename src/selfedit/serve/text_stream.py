"""From tokens to text as it comes: no half characters or stop strings, nothing to be taken back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from selfedit.endpoints.replies import THOUGHTS, without_thoughts

_BROKEN = "\ufffd"


class Shown:
    """What of a text may be told, as it grows. stops: strings before which it ends. raw: as it is; else
    without blanks around it and without thoughts, as `model.generate` has it."""

    def __init__(self, stops: Sequence[str] = (), *, raw: bool = False) -> None:
        self._stops, self._raw = tuple(filter(None, stops)), raw
        self._text, self._told = "", 0

    def add(self, text: str) -> tuple[str, bool]:
        """The text that is new for certain, and whether it has come to a stop string."""
        self._text += text
        seen = self._visible()
        at = self._stop_in(seen)
        if at is not None:
            return self._tell(self._cleaned(seen[:at])), True
        return self._tell(seen[: self._certain(seen)]), False

    def finish(self) -> str:
        """What is left when the text has ended."""
        seen = self._visible()
        at = self._stop_in(seen)
        return self._tell(self._cleaned(seen if at is None else seen[:at]))

    def _visible(self) -> str:
        return self._text if self._raw else self._text.lstrip()

    def _cleaned(self, text: str) -> str:
        return text if self._raw else without_thoughts(text)

    def _stop_in(self, text: str) -> int | None:
        found = [text.find(stop) for stop in self._stops]
        return min((at for at in found if at >= 0), default=None)

    def _certain(self, text: str) -> int:
        """Characters that stay, whatever follows."""
        end = len(text)
        for stop in self._stops:
            for size in range(min(len(stop) - 1, len(text)), 0, -1):
                if text.endswith(stop[:size]):
                    end = min(end, len(text) - size)
                    break
        if self._raw:
            return end
        if any(text.startswith(start) or start.startswith(text) for start, _ in THOUGHTS):
            return 0  # the answer follows the thought
        return len(text[:end].rstrip())

    def _tell(self, text: str) -> str:
        new = text[self._told :]
        self._told += len(new)
        return new


class TextStream:
    """The text of one reply, token by token (`Shown`)."""

    def __init__(self, tokenizer: Any, stops: Sequence[str] = (), *, raw: bool = False) -> None:
        self._tokenizer, self._shown = tokenizer, Shown(stops, raw=raw)
        self.ids: list[int] = []
        self._begin = self._read = 0  # of the tokens that are decoded anew, and that are text already

    def push(self, token: int) -> tuple[str, bool]:
        """The text that is new for certain, and whether it has come to a stop string.

        Tokens are decoded with a few before them, since some begin words only there; a character that
        needs more tokens waits for them.
        """
        self.ids.append(token)
        before, now = self._decoded(self._begin, self._read), self._decoded(self._begin)
        if len(now) <= len(before) or now.endswith(_BROKEN):
            return "", False
        self._begin, self._read = self._read, len(self.ids)
        return self._shown.add(now[len(before) :])

    def finish(self) -> str:
        """What is left when the text has ended."""
        before, now = self._decoded(self._begin, self._read), self._decoded(self._begin)
        self._begin = self._read = len(self.ids)
        return self._shown.add(now[len(before) :])[0] + self._shown.finish()

    def token_text(self, token: int) -> str:
        """One token by itself."""
        return str(self._tokenizer.decode([token], skip_special_tokens=False))

    def _decoded(self, start: int, end: int | None = None) -> str:
        return str(self._tokenizer.decode(self.ids[start:end], skip_special_tokens=True))
