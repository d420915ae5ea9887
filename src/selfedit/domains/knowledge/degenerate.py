"""Text with nothing to teach: empty, or a model's loop."""

from __future__ import annotations

import re
import zlib
from collections import Counter

from selfedit.words import words as split_words

MARKER = re.compile(r"^\s*(?:[-*\u2022\u2023\u25aa\u25cf]+|\(?\d{1,3}[.):]+)(?:\s+|$)")

MIN_WORDS = 2
_LONGEST_PERIOD = 20  # words
# The lowest values among 250 recorded edits of a 7B model, and among 2067 SQuAD passages: 0.48 and 0.87
# of the 4-grams are distinct; 0.22 and 0.42 of the bytes are left by compression.
_MIN_DISTINCT_4GRAMS = 0.3
_MIN_COMPRESSED = 0.12


def without_marker(line: str) -> str:
    """A line without its bullet or number."""
    return MARKER.sub("", line, count=1).strip()


def comparable(text: str) -> str:
    """The words alone: lines with equal words are the same statement."""
    return " ".join(split_words(without_marker(text).casefold()))


def degeneracy(text: str) -> str:  # noqa: PLR0911  (one return for each reason)
    """Why a text has nothing to train on, or "" if it has.

    A loop is: one line of three or more making up over half of them; a stretch of at most twenty
    words that is repeated three times or more and fills half of the text or more; few distinct
    4-grams; or, for text without spaces, bytes that compress to almost nothing.
    """
    if not text.strip():
        return "it is empty"
    words = split_words(text.casefold())
    if not words or (len(words) < MIN_WORDS and len(words[0]) < 8):
        return "it holds no words" if not words else f'it holds only "{words[0]}"'
    lines = [line for line in map(comparable, text.splitlines()) if line]
    if len(lines) >= 3:
        line, count = Counter(lines).most_common(1)[0]
        if count >= 3 and 2 * count > len(lines):
            return f'it repeats one line {count} times ("{_shortened(line)}")'
    if phrase := _repeated_phrase(words):
        return f'it repeats the same few words ("{_shortened(phrase)}")'
    if len(words) >= 40 and _distinct_4grams(words) < _MIN_DISTINCT_4GRAMS:
        return "it repeats the same few phrases"
    data = text.encode("utf-8", "replace")
    if len(data) >= 200 and len(zlib.compress(data)) < _MIN_COMPRESSED * len(data):
        return "it repeats the same few characters"
    return ""


def _repeated_phrase(words: list[str]) -> str:
    """The words of a loop that fills half of the text, or ""."""
    for period in range(1, min(_LONGEST_PERIOD, len(words) // 3) + 1):
        run = 0
        for i in range(period, len(words)):
            run = run + 1 if words[i] == words[i - period] else 0
            span = run + period
            if run and span >= max(3 * period, 6) and 2 * span >= len(words):
                return " ".join(words[i - period + 1 : i + 1])
    return ""


def _distinct_4grams(words: list[str]) -> float:
    grams = list(zip(words, words[1:], words[2:], words[3:], strict=False))
    return len(set(grams)) / len(grams)


def _shortened(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
