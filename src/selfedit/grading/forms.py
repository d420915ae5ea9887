"""Whether an answer has a gold, in whatever form: where the tokens of one stand in the other.

Quantities agree in other units (5 km and 5,000 m); a number without a unit may be of any. Korean
particles are forgiven, and what Arabic and Hebrew write as one word with the next.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import regex

from selfedit.grading.tokens import Read, Token, readings
from selfedit.grading.units import same_quantity

_MOST_PLACES = 50


@dataclass(frozen=True, slots=True)
class Held:
    """Where an answer holds a gold: from token first to token last of `said`, both inclusive."""

    said: Read
    spans: tuple[tuple[int, int], ...]


def held(gold: str, answer: str) -> Held | None:
    """Where the tokens of a gold stand side by side in an answer; None if nowhere. A gold without any
    token ("The", "+") is nowhere."""
    for wanted in readings(gold):
        if not wanted.tokens:
            continue
        for said in readings(answer, wanted.has_numbers):
            if spans := tuple(_spans(wanted, said)):
                return Held(said, spans)
    return None


def same(gold: str, answer: str) -> bool:
    """Whether the tokens of both are the same, in the same order."""
    return any(
        len(wanted.tokens) == len(said.tokens) > 0 and _agree(wanted.tokens, said.tokens)
        for wanted in readings(gold)
        for said in readings(answer, wanted.has_numbers)
    )


def _spans(wanted: Read, said: Read) -> Iterator[tuple[int, int]]:
    length, found, at = len(wanted.tokens), 0, 0
    while found < _MOST_PLACES and (at := said.joined.find(wanted.joined, at)) >= 0:
        first = bisect_left(said.starts, at + 1)
        if _agree(wanted.tokens, said.tokens[first : first + length]):
            yield first, first + length - 1
        found += 1
        at += 1
    if not found and length <= _MOST_PLACES:
        yield from _inexact(wanted.tokens, said.tokens)


def _inexact(wanted: Sequence[Token], said: Sequence[Token]) -> Iterator[tuple[int, int]]:
    """Places where quantities agree in another unit, or words but for what is joined to them."""
    converts = any(token.unit is not None for token in wanted)
    joins = _joins(wanted[0].text) or _is_hangul(wanted[-1].text)
    if not (converts or joins):
        return
    for first in range(len(said) - len(wanted) + 1):
        part = said[first : first + len(wanted)]
        if all(map(_alike, wanted, part)):
            yield first, first + len(wanted) - 1


def _agree(wanted: Sequence[Token], said: Sequence[Token]) -> bool:
    return all(
        own.text == other.text if own.value is None else _equal(own, other)
        for own, other in zip(wanted, said, strict=True)
    )


def _equal(own: Token, other: Token) -> bool:
    return (
        own.value is not None
        and other.value is not None
        and same_quantity(own.value, own.unit, other.value, other.unit)
    )


def _alike(own: Token, other: Token) -> bool:
    return (
        own.text == other.text
        if own.value is None and other.value is None and own.text == other.text
        else (_equal(own, other) or _joined(own.text, other.text))
    )


# Korean particles and endings of "to be"; they may follow each other.
_PARTICLES = regex.compile(
    r"(?:은|는|이|가|을|를|의|에|에서|에게|께|께서|한테|와|과|로|으로|도|만|까지|부터|처럼|보다|마다|조차|밖에|나|이나|랑|이랑|하고"
    r"|란|이란|라고|이라고|라는|이라는|이다|입니다|이며|이고|였다|이었다|였습니다|이었습니다|이에요|예요|인|이라|라|씨|님|들)+"
)
# Conjunctions, prepositions and articles that Arabic and Hebrew write as one word with the next.
_ARABIC = regex.compile(r"[وف]?[بلك]?(?:ال)?|[وف]?لل|س")
_HEBREW = regex.compile("[ובלמשכה]{1,3}")


def _is_hangul(text: str) -> bool:
    return "가" <= text[-1:] <= "힣"


def _joins(text: str) -> bool:
    return len(text) > 2 and ("\u0621" <= text[0] <= "\u06d3" or "\u05d0" <= text[0] <= "\u05ea")


def _joined(own: str, other: str) -> bool:
    """Whether one word is the other with what its script joins to words."""
    if _is_hangul(own) and other.startswith(own):
        return _PARTICLES.fullmatch(other[len(own) :]) is not None
    if not _joins(own):
        return False
    bare = own.removeprefix("ال") if len(own) > 4 else own
    if not other.endswith(bare):
        return False
    before = other[: len(other) - len(bare)]
    return _ARABIC.fullmatch(before) is not None or _HEBREW.fullmatch(before) is not None
