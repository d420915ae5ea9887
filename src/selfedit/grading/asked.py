"""A question with its gold, analysed once for all its answers; where an answer holds the gold's
words."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache

from selfedit.grading.dates import Period, periods, within
from selfedit.grading.synonyms import groups
from selfedit.grading.words import NEGATIONS, Word, similarity, words

CLOSE = 0.7  # similarity of stems from which they count as the same word
_SYNONYM = 0.85
_OF = r"\b(?:what|which)\s+(?:\w+\s+)?"
_KINDS = {
    "when": rf"\bwhen\b|{_OF}(?:years?|date|century|decade|month|day|time|period)\b",
    "number": r"\bhow (?:many|much|long|old|far|often|large|big|tall|high|fast)\b|percent|"
    rf"{_OF}(?:number|amount|population)\b",
    "who": r"\bwho(?:m|se)?\b",
    "where": rf"\bwhere\b|{_OF}(?:city|country|state|region|place|area|street|continent)\b",
    "why": r"\bwhy\b|\bhow (?:did|do|does|is|are|was|were|can|could|would)\b|"
    rf"{_OF}(?:reason|purpose)\b",
}
_KIND = {name: re.compile(pattern, re.IGNORECASE) for name, pattern in _KINDS.items()}
_PARTS = re.compile(r"[,;&]|\band\b|\bor\b")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with one gold, analysed once for all its answers.

    new: whether the gold's content word of the same place is not already in the question.
    """

    words: tuple[Word, ...]
    stems: frozenset[str]
    names: frozenset[str]
    numbers: frozenset[float]
    content: tuple[Word, ...]
    weights: tuple[float, ...]
    new: tuple[bool, ...]
    parts: tuple[frozenset[str], ...]
    periods: tuple[Period, ...]
    fixed: tuple[tuple[str, float], ...]


@lru_cache(maxsize=4096)
def analyse(question: str, gold: str) -> Asked:
    """The words of both, and the features that do not depend on the answer (`Asked.fixed`)."""
    in_question = words(question)
    in_gold = words(gold)
    content = [word for word in in_gold if word.content] or in_gold
    stems = frozenset(word.stem for word in in_question if word.content)
    new = [not any(similarity(word.stem, other) >= CLOSE for other in stems) for word in content]
    weights = [_weight(word) for word in content]
    parts = [frozenset(w.stem for w in words(part) if w.content) for part in _PARTS.split(gold)]
    names = frozenset(word.stem for word in in_question if word.name and word.content)
    numbers = frozenset(word.number for word in in_question if word.number is not None)
    fixed = {f"asks_{name}": float(bool(p.search(question))) for name, p in _KIND.items()}
    fixed["gold_words"] = math.log1p(len(content))
    fixed["gold_new_share"] = sum(new) / len(new) if new else 0.0
    fixed["gold_numbers"] = float(min(3, sum(word.number is not None for word in content)))
    fixed["gold_names"] = sum(word.name for word in content) / max(1, len(content))
    fixed["gold_word_length"] = sum(len(word.text) for word in content) / max(1, len(content)) / 10
    fixed["gold_parts"] = float(min(4, sum(bool(part) for part in parts)))
    fixed["gold_negates"] = float(any(word.text in NEGATIONS for word in in_gold))
    fixed["question_words"] = math.log1p(len(stems))
    return Asked(
        tuple(in_gold), stems, names, numbers, tuple(content), tuple(weights), tuple(new),
        tuple(part for part in parts if part), tuple(periods(in_gold)), tuple(fixed.items()),
    )  # fmt: skip


def _weight(word: Word) -> float:
    """How informative a word is: names, numbers and long words are rarer."""
    if word.number is not None:
        return 1.5
    return min(len(word.text), 10) / 10 + 0.5 * word.name


def found_in(asked: Asked, said: list[Word]) -> list[tuple[float, int]]:
    """For each content word of the gold, its best similarity in the answer, and where (-1: nowhere)."""
    places: dict[str, int] = {}
    alike: dict[str, list[str]] = {}  # similar stems begin alike, see `similarity`
    for index, word in enumerate(said):
        if word.stem not in places:
            places[word.stem] = index
            alike.setdefault(word.stem[:2], []).append(word.stem)
    initials = "".join(word.text[0] for word in asked.content)
    short = places.get(initials, -1) if initials not in asked.stems else -1
    short = short if short >= 0 and said[short].acronym else -1
    in_period = _in_periods(asked, said)
    alike_places: dict[int, int] = {}
    for stem, place in places.items():
        for group in groups(stem):
            alike_places.setdefault(group, place)
    found = []
    for word in asked.content:
        stem = word.stem
        if stem not in places:
            near = alike.get(stem[:2], ())
            stem = max(near, key=lambda other: similarity(word.stem, other), default="")
        value = similarity(word.stem, stem)
        other = max(short, _spelled_out(word, said)) if value < CLOSE else -1
        other = in_period.get(word, other)
        if other < 0 and value < CLOSE:
            same = [alike_places[group] for group in groups(word.stem) if group in alike_places]
            if same:
                found.append((_SYNONYM, min(same)))
                continue
        found.append((1.0, other) if other >= 0 else (value, places[stem] if value else -1))
    return found


def _in_periods(asked: Asked, said: list[Word]) -> dict[Word, int]:
    """For words of the gold that name a period: where the answer has a year in it ("1834")."""
    found = {}
    for period in asked.periods:
        place = within(period, said)
        if place >= 0:
            own = asked.words[period.first_word : period.last_word + 1]
            found.update(dict.fromkeys(own, place))
    return found


def _spelled_out(word: Word, said: list[Word]) -> int:
    """Where the words that an acronym ("IMF") stands for are in the answer, or -1."""
    if not (word.acronym and len(word.text) > 2):
        return -1
    content = [(index, other.text[0]) for index, other in enumerate(said) if other.content]
    place = "".join(letter for _, letter in content).find(word.text)
    return content[place][0] if place >= 0 else -1
