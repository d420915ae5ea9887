"""Cutting an overlong sentence between its clauses, in linear time and in any script.

Transcripts have no full stops, and some statements run on for hundreds of words. A restatement has room
for about fifty, so that what is longer can be neither restated nor asked about as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator

import regex

LONGEST = 80  # words of a sentence that stays whole

_ROOM = 40  # words of a piece
_LEAST = 12  # words of a piece: before them no border is taken
_CHARACTERS = 3  # of a script without spaces that count as a word
_MARKS = tuple(",;:\u2013\u2014\u2026.!?\u060c\u061b\uff0c\u3001\uff1b\uff1a\u0964")
# Words that begin a clause, in the languages that transcripts most often are in.
_JOINING = frozenset(
    "and but so because then or which while when where although und aber denn weil dann oder et mais "
    "car donc puis y pero porque luego e ma perch\u00e9 mas en maar want i ale "
    "\u0438 \u043d\u043e "
    "\u0430 \u0648 \u0914\u0930 \u0627\u0648\u0631".split()
)
_SCRIPT = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
# A word with the space before it, or one character of a script without spaces.
_PIECE = regex.compile(
    rf"(?V1)\s*+(?:(?P<word>[\S--[{_SCRIPT}]]{{1,40}}+\p{{M}}*+)"
    rf"|[{_SCRIPT}][\p{{M}}\u30fc]*+[\uff0c\u3001\uff1b\uff1a]*+)"
)


def is_overlong(sentence: str, longest: int) -> bool:
    """Whether a sentence has more than `longest` words; three characters without spaces are one."""
    if len(sentence) <= longest:
        return False
    units = 0
    for piece in _PIECE.finditer(sentence):
        units += _units(piece)
        if units > _CHARACTERS * longest:
            return True
    return False


def cut_at_clauses(sentence: str) -> list[str]:
    """Pieces of at most forty words: cut behind a comma, else before "and" and its like, else
    anywhere."""
    return [piece.strip() for piece in _pieces(sentence) if piece.strip()]


def _units(piece: regex.Match[str]) -> int:
    """Three for a word, one for a character of a script without spaces."""
    return _CHARACTERS if piece.lastgroup else 1


def _pieces(sentence: str) -> Iterator[str]:
    found = [(piece.group(), _units(piece)) for piece in _PIECE.finditer(sentence)]
    start = units = 0
    mark = join = 0  # the last place to cut at, of either kind
    i = 0
    while i < len(found):
        text, own = found[i]
        units += own
        if units > _CHARACTERS * _ROOM:
            end = mark or join or i
            yield "".join(text for text, _ in found[start:end])
            start = i = end
            units = mark = join = 0
            continue
        if units >= _CHARACTERS * _LEAST:
            if text.strip().casefold() in _JOINING:
                join = i
            if text.endswith(_MARKS):
                mark = i + 1
        i += 1
    yield "".join(text for text, _ in found[start:])
