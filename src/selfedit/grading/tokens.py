"""Text as tokens that are equal where they mean the same: dates, numbers, units, spellings.

"3 March 1887" is 1887-03-03, three is 3, 5 km has 5 and a length, Zürich is Zurich. Where a script has
no spaces, each character is a token.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import regex

from selfedit.grading import numerals
from selfedit.grading.units import Unit, unit
from selfedit.grading.written import versions
from selfedit.words import is_unspaced, words

_ARTICLES = frozenset({"a", "an", "the"})
_NUMBER = r"-?\d+(?:\.\d+)*"
_SCAN = regex.compile(
    r"(?V1)(?P<number>(?<![\w.\p{M}])(?:(?<=^|[\s(\"'=])-)?\d+(?:\.\d+)*)(?P<tail>[^\W\d_]*)"
    r"|(?P<initials>(?<!\w)(?:\p{L}\.){2,}\p{L}?(?!\w))"
    r"|(?P<word>[\p{L}\p{N}\p{M}_]+(?:['`\u00b4][\p{L}\p{N}\p{M}_]+)*)"
    r"|(?P<sign>[$€£¥%°])|(?P<stop>[.!?;:\n\u3002\uff01\uff1f\u061f])|(?P<comma>[,、])"
)
_REWRITTEN = tuple(
    (re.compile(pattern), new)
    for pattern, new in (
        (r"(?<=[^\W\d_])'s(?!\w)", ""),
        (r"\b(?:l|d|qu|un|dell|nell|all|sull|dall)'(?=[^\W\d_])", ""),
        (r"(?<![\w.,])(\d{1,3})([ ,'])(\d{3})(?:\2(\d{3}))?(?:\2(\d{3}))?(?![\d])", r"\1\3\4\5"),
        (r"(?<![\d,.])(\d+),(\d{1,2})(?![\d,])", r"\1.\2"),
        (r"\b(?:minus|negative) (?=\d)", "-"),
        (r"\bv(?:ersion|\.)? ?(?=\d)", "version "),
        (r"\bhalf an? (?=(?:dozen|hundred|thousand|million|billion|trillion)\b)", "0.5 "),
        (
            r"\bhalf an? (?=(?:(?:kilo)?met(?:er|re)|mile|inch|foot|lit(?:er|re)|kilo|hour|year)\b)",
            "0.5 ",
        ),
        (r"\bper cent\b", "percent"),
        (r"\b(?:square|sq\.?) (?:kilomet(?:er|re)s?|km)\b", "km2"),
        (r"\b(?:square|sq\.?) (?:met(?:er|re)s?|m)\b", "m2"),
        (r"\b(?:square|sq\.?) (?:miles?|mi)\b", "mi2"),
        (r"\b(?:square|sq\.?) (?:feet|foot|ft)\b", "sqft"),
        (r"\bkm/h\b|\b(?:km|kilomet(?:er|re)s?) per hour\b", "kmh"),
        (r"\bmiles per hour\b", "mph"),
        (r"\bm/s\b|\bmet(?:er|re)s per second\b", "mps"),
        (r"(?:° ?|\bdegrees? )(c|f)(?:elsius|ahrenheit)?\b", r" deg\1"),
    )
)
_SIGNS = {"$": "usd", "€": "eur", "£": "gbp", "¥": "jpy", "%": "pct", "°": "deg"}
_BEFORE = frozenset("$€£¥")


@dataclass(frozen=True, slots=True)
class Token:
    """text: what is compared; a number's is its value. place: of its sentence, and its clause there."""

    text: str
    sentence: int = 0
    clause: int = 0
    value: float | None = None
    unit: Unit | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """A text in tokens, ready to be searched. starts: of each token in `joined`."""

    tokens: tuple[Token, ...]
    joined: str
    starts: tuple[int, ...]

    @classmethod
    def of(cls, tokens: Sequence[Token]) -> Read:
        starts, at = [], 1
        for token in tokens:
            starts.append(at)
            at += len(token.text) + 1
        return cls(tuple(tokens), f" {' '.join(token.text for token in tokens)} ", tuple(starts))

    @property
    def has_numbers(self) -> bool:
        return any(token.value is not None for token in self.tokens)


def readings(text: str, units: bool = True) -> tuple[Read, ...]:
    """The ways to read a text: one, or two (`written.versions`). units: whether units belong to their
    numbers, and are no words."""
    return _cached(text, units) if len(text) < 500 else _readings(text, units)


def _readings(text: str, units: bool) -> tuple[Read, ...]:
    return tuple(Read.of(list(_tokens(version, units))) for version in versions(text))


_cached = lru_cache(maxsize=4096)(_readings)


@dataclass(frozen=True, slots=True)
class _Piece:
    text: str
    sentence: int
    clause: int
    tail: str = ""
    kind: str = "word"


def _tokens(text: str, units: bool) -> Iterator[Token]:
    for pattern, new in _REWRITTEN:
        text = pattern.sub(new, text)
    pieces = list(_pieces(text))
    plain = [piece.text for piece in pieces]
    place = 0
    while place < len(pieces):
        piece = pieces[place]
        token, place = _number(pieces, plain, place, units) or (None, place + 1)
        if token is not None:
            yield token
        elif piece.kind == "sign":
            continue
        elif piece.text in numerals.ORDINALS:
            yield Token(f"o{numerals.ORDINALS[piece.text]}", piece.sentence, piece.clause)
        else:
            yield Token(piece.text + piece.tail, piece.sentence, piece.clause)


def _number(
    pieces: list[_Piece], plain: list[str], place: int, units: bool
) -> tuple[Token, int] | None:
    """The number that begins at a place with its unit, and the place behind both."""
    piece = pieces[place]
    if piece.kind == "sign":
        return None
    if piece.tail in ("st", "nd", "rd", "th") and piece.kind == "number":
        rank_of = numerals.figures(piece.text)  # None: a version, such as 1.2.3rd
        if rank_of is not None:
            return Token(f"o{int(rank_of)}", piece.sentence, piece.clause), place + 1
    tail = unit(piece.tail) if piece.tail and units else None
    scale = {"k": 1e3, **numerals.SCALES}.get(piece.tail)
    if piece.tail and tail is None and scale is None:
        return None
    if piece.text in numerals.TENS and place + 1 < len(pieces):
        ordinal = numerals.ORDINALS.get(pieces[place + 1].text, 0)
        if 0 < ordinal < 10:
            rank = numerals.TENS[piece.text] + ordinal
            return Token(f"o{rank}", piece.sentence, piece.clause), place + 2
    chinese = numerals.han(piece.text)
    found = (chinese, place + 1) if chinese is not None else numerals.leading(plain, place)
    if found is None:
        return None
    value, behind = found
    value *= scale or 1.0
    if units and tail is None:
        tail, behind = _unit(pieces, place, behind)
    text = f"#{value:.15g}"
    return Token(text, piece.sentence, piece.clause, value, tail), behind


def _unit(pieces: list[_Piece], first: int, behind: int) -> tuple[Unit | None, int]:
    """The unit of the number at [first, behind): before it ("$5") or behind. With the place behind."""
    if behind < len(pieces):
        following = pieces[behind]
        own = unit(_SIGNS.get(following.text, following.text) if not following.tail else "")
        # A letter by itself is a unit behind figures only: "a t", but "5 t".
        if own is not None and (
            len(following.text) > 1 or following.kind == "sign" or (pieces[behind - 1].kind == "number")
        ):
            return own, behind + 1
    if first and pieces[first - 1].text in _BEFORE:
        return unit(_SIGNS[pieces[first - 1].text]), behind
    return None, behind


def _pieces(text: str) -> Iterator[_Piece]:
    sentence = clause = 0
    for found in _SCAN.finditer(text):
        kind = found.lastgroup if found.lastgroup != "tail" else "number"
        word = found.group()
        if kind == "stop":
            sentence, clause = sentence + 1, 0
        elif kind == "comma":
            clause += 1
        elif kind == "number":
            yield from _figured(found["number"], found["tail"], sentence, clause)
        elif kind == "sign":
            yield _Piece(word, sentence, clause, kind="sign")
        elif kind == "word" and is_unspaced(word):
            yield from _unspaced(word, sentence, clause)
        else:
            word = re.sub(r"['`.\u00b4]", "", word)
            if word == "but":
                clause += 1
            if word and word not in _ARTICLES:
                yield _Piece(word, sentence, clause)


_HAN_DIGITS = "零\u3007一二三四五六七八九两兩十百千万萬亿億"


def _unspaced(text: str, sentence: int, clause: int) -> Iterator[_Piece]:
    """Characters and numerals of a text without spaces."""
    for part in regex.findall(rf"{_NUMBER}|[{_HAN_DIGITS}]+|[^\d{_HAN_DIGITS}]+", text):
        if numerals.figures(part) is not None or numerals.han(part) is not None:
            yield _Piece(part, sentence, clause, kind="number")
        else:
            yield from (_Piece(one, sentence, clause) for one in words(part))


def _figured(number: str, tail: str, sentence: int, clause: int) -> Iterator[_Piece]:
    """Figures with the letters behind them: "5km", "3rd", "1990s", "3d", "1887年"."""
    if tail and is_unspaced(tail):
        yield _Piece(number, sentence, clause, kind="number")
        yield from (_Piece(one, sentence, clause) for one in words(tail))
    else:
        yield _Piece(number, sentence, clause, tail, kind="number")
