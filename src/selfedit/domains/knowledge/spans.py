"""What of a sentence can be blanked, in any script: its details first, then its rarer words.

Rules alone, in linear time: no model, and no dictionary but a list of common English words. Names are
told by their capitals; in scripts without case (Arabic, Devanagari, Han) figures, quotations, words in
Latin letters and rare words are left, and where words are not parted by spaces, a few characters.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, cast

SpanKind = Literal["date", "number", "name", "quoted", "latin", "term", "characters"]

# A detail is what a reader would be asked for; a rare word is a guess at one.
_WORTH: dict[SpanKind, float] = {"term": 1.0, "characters": 0.5}
_DETAIL = 3.0
_MOST_WORDS = 5  # of a span
_CHARACTERS = 3  # of a span, where words are not parted by spaces
_WORDS_BEFORE = 2  # of a span: what comes first says what is spoken of

# Scripts that write without spaces: Thai, Lao, Burmese, Khmer, Kana, Han.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_MARKS = (
    r"\s!-/:-@\[-`{-~\u00a1-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u2000-\u206f\u2e00-\u2e7f"
    r"\u3000-\u3003\u3008-\u303f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\u060c\u061b"
    r"\u061f\u0964\u0965"
)
_LETTER = f"[^{_MARKS}{_UNSPACED}]"  # not \w, which leaves out the vowel signs of many scripts
# Nothing in these backtracks (++, *+).
_TOKEN = re.compile(
    rf"(?P<unspaced>[{_UNSPACED}]++)"
    rf"|(?P<number>[$\u20ac\u00a3\u00a5\u20b9]?+\d++(?:[.,:/\u2013-]\d++)*+{_LETTER}*+"
    rf"(?:['\u2019-]{_LETTER}++)*+%?+)"
    rf"|(?P<word>{_LETTER}++(?:['\u2019./_-]{_LETTER}++)*+)"
)
_QUOTED = re.compile(
    r"\"[^\"]{2,60}\"|\u201c[^\u201c\u201d]{2,60}\u201d|\u00ab[^\u00ab\u00bb]{2,60}\u00bb"
    r"|\u201e[^\u201c\u201d\u201e]{2,60}[\u201c\u201d]"
    r"|[\u300c\u300e\u300a][^\u300a-\u300f]{1,40}[\u300b\u300d\u300f]"
)
_FOOTNOTE = re.compile(r"\[[^\[\]]{1,12}\]")
_MONTHS = frozenset(
    "january february march april may june july august september october november december".split()
)
_INSIDE_NAMES = frozenset(
    "of the de del della der den des di da do dos du la le van von bin al".split()
)
_PRONOUNS = frozenset(
    "he she it they we you i this that these those there here his her its their such both one".split()
)
COMMON = frozenset(
    "a about above across after again against all almost along already also although always am among "
    "an and another any are around as at away back be became because become been before began being "
    "below between both but by called came can cannot come could did different do does doing done "
    "down during each early either end enough especially etc even ever every example few first for "
    "found four from full further gave general get give given go goes good great had has have having "
    "he her here hers him his how however i if in including instead into is it its itself just keep "
    "kept kind know known large last later least less let like likely little long made main mainly "
    "make makes making many may me might more most mostly much must my near nearly never new next no "
    "nor not nothing now number of off often old on once one only onto or other others our out over "
    "own part people per perhaps place possible quite rather really right said same say second see "
    "seen several she should show shown similar since small so some someone something sometimes soon "
    "still such take taken than that the their them then there therefore these they thing things "
    "third this those though three through thus time times to today together too took toward towards "
    "two under until up upon us use used uses using usually various very was way we well went were "
    "what when where whether which while who whole whom whose why will with within without work "
    "would year years yet you your".split()
)


@dataclass(frozen=True, slots=True)
class Span:
    """sentence[start:end]. worth: how good an item it makes, the higher the better."""

    start: int
    end: int
    kind: SpanKind
    worth: float


@dataclass(frozen=True, slots=True)
class _Token:
    start: int
    end: int
    text: str
    kind: Literal["unspaced", "number", "word"]

    @property
    def is_capital(self) -> bool:
        return self.kind == "word" and self.text[0] != self.text[0].lower() and self.text != "I"

    @property
    def words(self) -> Sequence[str]:
        folded = self.text.casefold()
        if self.kind == "unspaced":
            return _pairs(folded)
        return (folded.removesuffix("'s").removesuffix("\u2019s"),)

    @property
    def is_latin(self) -> bool:
        return self.kind == "word" and len(self.text) > 1 and self.text[0] < "\u0250"


def find_spans(sentence: str, title: str, counts: Counter[str]) -> list[Span]:
    """The spans that the rest of the sentence determines and does not give away, the best first.

    Every span stands behind two words, which say what is spoken of, and no word of it stands elsewhere
    in the sentence or in the title. Best are details, those near the sentence's end, and words that do
    not recur. title: of the passage, which the item will name. counts: in how many sentences of the
    document each word stands (`words_of`).
    """
    tokens = list(_tokens(sentence))
    if not tokens:
        return []
    starts = [token.start for token in tokens]
    everywhere = Counter(word for token in tokens for word in token.words)
    named = words_of(title)
    begins_open = tokens[0].text.casefold() in _PRONOUNS  # the title says who "he" is, at best
    spans = []
    for start, end, kind in _candidates(sentence, tokens, starts):
        first, behind = bisect_left(starts, start), bisect_left(starts, end)
        if kind == "characters":
            here = Counter(_pairs(sentence[start:end].casefold()))
        else:
            here = Counter(word for token in tokens[first:behind] for word in token.words)
        content = here.keys() - COMMON
        if not content or any(w in named or everywhere[w] > here[w] for w in content):
            continue
        if "_" in sentence[max(0, start - 1) : start] + sentence[end : end + 1]:
            continue  # part of "do_not_touch", and a blank's line would grow
        recurs = max(counts[word] for word in content) - 1
        worth = _WORTH.get(kind, _DETAIL) + first / len(tokens) - 0.5 * min(max(recurs, 0), 4)
        if kind in _WORTH:
            worth += 0.05 * min(end - start, 12)
        if kind == "number" and end - start == 1:
            worth -= 1.0  # one digit is soon guessed
        spans.append(Span(start, end, kind, round(worth - 2.0 * begins_open, 6)))
    return sorted(spans, key=lambda span: (-span.worth, span.start, span.end))


def words_of(text: str) -> set[str]:
    """The words of a text, in lower case; of scripts without spaces, each two neighbours."""
    return {word for token in _tokens(text) for word in token.words}


def count_words(text: str) -> int:
    """Words; where they are not parted by spaces, three characters count one."""
    return sum(
        max(1, len(token.text) // 3) if token.kind == "unspaced" else 1 for token in _tokens(text)
    )


def is_unspaced(text: str) -> bool:
    """Whether a text ends in a script that does not part words by spaces."""
    tokens = list(_tokens(text))
    return bool(tokens) and tokens[-1].kind == "unspaced"


def _tokens(text: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(text):
        kind = cast(Literal["unspaced", "number", "word"], match.lastgroup)
        yield _Token(match.start(), match.end(), match.group(), kind)


def _candidates(
    sentence: str, tokens: Sequence[_Token], starts: Sequence[int]
) -> Iterator[tuple[int, int, SpanKind]]:
    """(start, end, kind) of everything that may be blanked. Quotations may overlap with the others."""
    yield from _quotations(sentence, starts)
    footnotes: set[int] = set()
    for match in _FOOTNOTE.finditer(sentence):
        footnotes.update(range(bisect_left(starts, match.start()), bisect_left(starts, match.end())))
    finder = _Details(sentence, tokens)
    # A run of a script without spaces says enough by itself.
    earliest = 1 if tokens[0].kind == "unspaced" else _WORDS_BEFORE
    i = 0
    while i < len(tokens):
        token = tokens[i]
        last, kind = finder.at(i)
        if token.kind == "unspaced":
            yield from _characters(token, skip=_CHARACTERS if i == 0 else 0)
        elif i >= earliest and i not in footnotes and kind is not None and last - i < _MOST_WORDS:
            yield token.start, tokens[last].end, kind
        i = last + 1


def _quotations(sentence: str, starts: Sequence[int]) -> Iterator[tuple[int, int, SpanKind]]:
    for match in _QUOTED.finditer(sentence):
        start, end = match.start() + 1, match.end() - 1
        while end > start and not sentence[end - 1].isalnum():  # 'the "Owl," she said'
            end -= 1
        first = bisect_left(starts, start)
        if first > 0 and 0 < bisect_left(starts, end) - first <= _MOST_WORDS:
            yield starts[first], end, "quoted"


class _Details:
    """Finds the dates, numbers, names, Latin words and rare words of one sentence."""

    def __init__(self, sentence: str, tokens: Sequence[_Token]) -> None:
        self.sentence, self.tokens = sentence, tokens
        words = [token for token in tokens if token.kind == "word"]
        letters = sum(len(t.text) if t.kind == "unspaced" else 1 for t in tokens)
        # Where nearly all words are capitals, as in a heading, they tell no names.
        self.tells_names = 4 * sum(token.is_capital for token in words[1:]) <= 3 * len(words[1:])
        self.is_foreign = 4 * sum(token.is_latin for token in words) <= letters

    def at(self, i: int) -> tuple[int, SpanKind | None]:
        """(place of its last token, kind) of what begins at token i; kind None: nothing to blank."""
        token = self.tokens[i]
        if (last := self._date(i)) is not None:
            return last, "date"
        if token.kind == "number":
            return i, "number"
        if self.is_foreign and token.is_latin:
            while i + 1 < len(self.tokens) and self.tokens[i + 1].is_latin and self._joined(i + 1):
                i += 1
            return i, "latin"
        if token.is_capital and i > 0:
            return (self._name(i), "name") if self.tells_names else (i, None)
        long_enough = len(token.text) >= (3 if self.is_foreign else 4)
        rare = token.text.casefold() not in COMMON and any(map(str.isalpha, token.text))
        return i, "term" if token.kind == "word" and long_enough and rare else None

    def _date(self, i: int) -> int | None:
        """Place of the last token of "12 March 1887", "March 12, 1887" or "March 1887" from i on."""
        last = i + 1 if self.tokens[i].kind == "number" else i
        if last >= len(self.tokens) or (last > i and not self._joined(last)):
            return None
        if self.tokens[last].text.casefold() not in _MONTHS or not self.tokens[last].is_capital:
            return None
        for _ in range(2):
            if last + 1 < len(self.tokens) and self.tokens[last + 1].kind == "number":
                last += self._joined(last + 1, (" ", ", "))
        return last if last > i else None

    def _name(self, i: int) -> int:
        """Place of the last token of a name that begins at token i: "Isle of Man", "Apollo 11"."""
        last = i
        for j in range(i + 1, len(self.tokens)):
            before = self.tokens[j - 1]
            initials = before.is_capital and (len(before.text) <= 2 or "." in before.text)
            if not self._joined(j, (" ", ". ") if initials else (" ",)):
                break
            if self.tokens[j].is_capital:
                last = j
            elif self.tokens[j].kind == "number" and last == j - 1:
                return j
            elif self.tokens[j].text not in _INSIDE_NAMES or j - last > 2:
                break
        return last

    def _joined(self, j: int, between: tuple[str, ...] = (" ",)) -> bool:
        """Whether only this stands between token j and the one before it."""
        return self.sentence[self.tokens[j - 1].end : self.tokens[j].start] in between


def _pairs(text: str) -> Sequence[str]:
    """Neighbouring characters, which stand in for words; a single one is itself."""
    return [a + b for a, b in pairwise(text)] or [text]


def _characters(token: _Token, skip: int) -> Iterator[tuple[int, int, SpanKind]]:
    """Neighbouring characters of a run without spaces; a vowel sign never without its letter."""
    end = skip
    while end < len(token.text):
        start = end
        while end < len(token.text) and (
            end - start < _CHARACTERS or unicodedata.category(token.text[end]).startswith("M")
        ):
            end += 1
        if end - start > 1:
            yield token.start + start, token.start + end, "characters"
