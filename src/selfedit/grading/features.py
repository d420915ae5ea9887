"""What the fitted grader looks at: (question, gold, answer) -> named numbers.

Nothing here knows any data: word forms, numbers by value, names, where and in which order the words
of the gold stand in the answer, what the question already said, and what else the answer says.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

from selfedit.grading.dates import Period, number_features, periods, within
from selfedit.grading.match import contains_gold, f1
from selfedit.grading.synonyms import groups
from selfedit.grading.words import NEGATIONS, Word, similarity, words

Features = dict[str, float]

_HEDGE = re.compile(
    r"misunderstand|unclear|not clear|no (?:specific|information|evidence|record|single|mention)|"
    r"not (?:specified|known|possible|provided|mentioned|explicitly)|sorry|I (?:don't|do not|cannot)|"
    r"vague|could refer|does not exist|there (?:is|are|was|were) no|ambiguous|"
    r"clarif|as of my|if (?:you|referring)",
    re.IGNORECASE,
)
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
_UP = frozenset("increas rise rose risen grow grew growth higher more gain expand improv".split())
_DOWN = frozenset("decreas declin fall fell fallen lower less fewer los loss reduc drop shrink".split())
_CLOSE = 0.7  # a similarity of stems that counts as the same word
_SYNONYM = 0.85


@dataclass(frozen=True, slots=True)
class _Asked:
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


def features(question: str, gold: str, answer: str) -> Features:
    """The named features of one answer against one gold, all finite, most in [0, 1]."""
    asked = _asked(question, gold)
    said = words(answer)
    sims = _found(asked, said)
    result: Features = dict(asked.fixed)
    result |= _overlap(asked, gold, answer, said, sims)
    result |= _place(asked, said, sims)
    result |= number_features(asked.words, said, asked.numbers)
    result |= _taken_up(asked, said, sims)
    result |= _besides(asked, answer, said)
    result |= _stance(asked, answer, said)
    return result


def _found(asked: _Asked, said: list[Word]) -> list[tuple[float, int]]:
    """For each content word of the gold: its best similarity in the answer, and where (-1: nowhere)."""
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
        other = max(short, _spelled_out(word, said)) if value < _CLOSE else -1
        other = in_period.get(word, other)
        if other < 0 and value < _CLOSE:
            same = [alike_places[group] for group in groups(word.stem) if group in alike_places]
            if same:
                found.append((_SYNONYM, min(same)))
                continue
        found.append((1.0, other) if other >= 0 else (value, places[stem] if value else -1))
    return found


def _in_periods(asked: _Asked, said: list[Word]) -> dict[Word, int]:
    """For the gold's words that name a period: where the answer has a year of it ("1834")."""
    found = {}
    for period in asked.periods:
        place = within(period, said)
        if place >= 0:
            own = asked.words[period.first_word : period.last_word + 1]
            found.update(dict.fromkeys(own, place))
    return found


def _spelled_out(word: Word, said: list[Word]) -> int:
    """Where the words behind an acronym stand in the answer ("IMF"), or -1."""
    if not (word.acronym and len(word.text) > 2):
        return -1
    content = [(index, other.text[0]) for index, other in enumerate(said) if other.content]
    place = "".join(letter for _, letter in content).find(word.text)
    return content[place][0] if place >= 0 else -1


@lru_cache(maxsize=4096)
def _asked(question: str, gold: str) -> _Asked:
    in_question = words(question)
    in_gold = words(gold)
    content = [word for word in in_gold if word.content] or in_gold
    stems = frozenset(word.stem for word in in_question if word.content)
    new = [not any(similarity(word.stem, other) >= _CLOSE for other in stems) for word in content]
    weights = [_weight(word) for word in content]
    parts = [frozenset(w.stem for w in words(part) if w.content) for part in _PARTS.split(gold)]
    names = frozenset(word.stem for word in in_question if word.name and word.content)
    numbers = frozenset(word.number for word in in_question if word.number is not None)
    fixed: Features = {f"asks_{name}": float(bool(p.search(question))) for name, p in _KIND.items()}
    fixed["gold_words"] = math.log1p(len(content))
    fixed["gold_new_share"] = sum(new) / len(new) if new else 0.0
    fixed["gold_numbers"] = float(min(3, sum(word.number is not None for word in content)))
    fixed["gold_names"] = sum(word.name for word in content) / max(1, len(content))
    fixed["gold_word_length"] = sum(len(word.text) for word in content) / max(1, len(content)) / 10
    fixed["gold_parts"] = float(min(4, sum(bool(part) for part in parts)))
    fixed["gold_negates"] = float(any(word.text in NEGATIONS for word in in_gold))
    fixed["question_words"] = math.log1p(len(stems))
    return _Asked(
        tuple(in_gold), stems, names, numbers, tuple(content), tuple(weights), tuple(new),
        tuple(part for part in parts if part), tuple(periods(in_gold)), tuple(fixed.items()),
    )  # fmt: skip


def _weight(word: Word) -> float:
    """How much a word says: names, numbers and long words are rarer."""
    if word.number is not None:
        return 1.5
    return min(len(word.text), 10) / 10 + 0.5 * word.name


def _share(values: list[float], weights: list[float]) -> float:
    total = sum(weights)
    return sum(v * w for v, w in zip(values, weights, strict=True)) / total if total else 0.0


def _overlap(
    asked: _Asked, gold: str, answer: str, said: list[Word], sims: list[tuple[float, int]]
) -> Features:
    """How much of the gold the answer says, by words, word forms, letters and parts."""
    soft = [value for value, _ in sims]
    firm = [float(value == 1.0) for value in soft]
    close = [float(value >= _CLOSE) for value in soft]
    weights = list(asked.weights)
    weights_new = [w * n for w, n in zip(weights, asked.new, strict=True)]
    if not any(asked.new):
        weights_new = weights
    stems = {word.stem for word in said}
    parts = [max((float(s in stems) for s in part), default=0.0) for part in asked.parts]
    names = [c for c, word in zip(close, asked.content, strict=True) if word.name]
    return {
        "contains": float(contains_gold([gold], answer)),
        "f1": f1([gold], answer),
        "recall": _share(firm, weights),
        "recall_close": _share(close, weights),
        "recall_soft": _share(soft, weights),
        "recall_new": _share(firm, weights_new),
        "recall_new_close": _share(close, weights_new),
        "recall_new_soft": _share(soft, weights_new),
        "recall_plain": sum(close) / max(1, len(close)),
        "weakest_new": min((s for s, n in zip(soft, asked.new, strict=True) if n), default=1.0),
        "missing_new": float(min(4, sum(c == 0 and n for c, n in zip(close, asked.new, strict=True)))),
        "first_word": soft[0] if soft else 0.0,
        "last_word": soft[-1] if soft else 0.0,
        "longest_word": max(zip(weights, soft, strict=True), default=(0.0, 0.0))[1],
        "names_said": sum(names) / len(names) if names else 0.5,
        "last_name": names[-1] if names else 0.5,
        "best_new": max((s for s, n in zip(soft, asked.new, strict=True) if n), default=0.5),
        "parts_said": sum(parts) / len(parts) if parts else 0.0,
    }


def _place(asked: _Asked, said: list[Word], sims: list[tuple[float, int]]) -> Features:
    """Where the gold stands in the answer, how close together, in which order, negated or not."""
    places = [place for value, place in sims if value >= _CLOSE]
    new_places = [
        place for (value, place), new in zip(sims, asked.new, strict=True) if value >= _CLOSE and new
    ] or places
    if not said or not places:
        return {
            "first_sentence": 0.0, "depth": 1.0, "span": 0.0, "order": 0.0, "negated": 0.0,
            "same_sentence": 0.0, "or_beside": 0.0, "new_before": 1.0, "rivals_before": 1.0,
            "around": 0.0, "names_around": 0.0,
        }  # fmt: skip
    first = min(new_places)
    sentences = [said[place].sentence for place in new_places]
    rises = sum(a < b for a, b in pairwise(places))
    before = said[max(0, first - 6) : first]
    beside = said[max(0, first - 3) : first] + said[max(new_places) + 1 : max(new_places) + 3]
    unsaid = [w for w in said[:first] if w.content and w.stem not in asked.stems]
    gold_stems = {word.stem for word in asked.content}
    near = said[max(0, first - 4) : first] + said[max(new_places) + 1 : max(new_places) + 5]
    around = [w for w in near if w.content and w.stem not in asked.stems and w.stem not in gold_stems]
    rivals = [w for w in unsaid if (w.name or w.number is not None) and w.stem not in gold_stems]
    return {
        "first_sentence": sentences.count(0) / len(asked.content),
        "depth": first / len(said),
        "span": len(set(places)) / (max(places) - min(places) + 1),
        "order": rises / (len(places) - 1) if len(places) > 1 else 1.0,
        "negated": float(any(word.text in NEGATIONS for word in before)),
        "same_sentence": max(sentences.count(s) for s in sentences) / len(asked.content),
        "or_beside": float(any(word.text in ("or", "either") for word in beside)),
        "new_before": math.log1p(len(unsaid)) / 4,
        "around": len(around) / 8,
        "names_around": sum(w.name or w.number is not None for w in around) / 4,
        "rivals_before": math.log1p(len(rivals)),
    }


def _taken_up(asked: _Asked, said: list[Word], sims: list[tuple[float, int]]) -> Features:
    """Whether the gold stands where the answer takes up the question: sentence by sentence."""
    sentences: dict[int, set[str]] = {}
    for word in said:
        sentences.setdefault(word.sentence, set()).add(word.stem)
    wanted = {w.stem for w, new in zip(asked.content, asked.new, strict=True) if new}
    wanted = wanted or {word.stem for word in asked.content}
    taken = {number: len(stems & asked.stems) for number, stems in sentences.items()}
    best = max(taken, key=lambda number: (taken[number], -number), default=None)
    holding = {said[place].sentence for value, place in sims if value >= _CLOSE}
    most = max((taken[n] for n in holding if sentences[n] & wanted), default=0)
    return {
        "gold_in_echo": len(sentences[best] & wanted) / max(1, len(wanted))
        if best is not None
        else 0.0,
        "echo_of_gold": most / max(1, len(asked.stems)),
    }


def _besides(asked: _Asked, answer: str, said: list[Word]) -> Features:
    """What the answer says beside the gold: other words and names, and how long it goes on."""
    content = [word for word in said if word.content]
    unsaid = [word for word in content if word.stem not in asked.stems]
    gold = {word.stem for word in asked.words}
    stems = {word.stem for word in content}
    unknown = {word.stem for word in unsaid} - gold
    opening = {word.stem for word in unsaid if word.sentence == 0}
    return {
        "answer_words": math.log1p(len(said)),
        "precision": len(stems & gold) / max(1, len(stems & gold) + len(unknown)),
        "opening_precision": len(opening & gold) / max(1, len(opening)),
        "opening_words": math.log1p(len(opening)),
        "sentences": float(min(4, 1 + said[-1].sentence)) if said else 0.0,
        "cut": float(not answer.rstrip().endswith((".", "!", "?", '"'))),
        "unknown_words": math.log1p(len(unknown)),
        "other_names": math.log1p(len({word.stem for word in unsaid if word.name} - gold)),
        "letters": _letters(asked, answer),
    }


def _stance(asked: _Asked, answer: str, said: list[Word]) -> Features:
    """Whether the answer takes up the question, doubts it, denies, or says the opposite."""
    gold = {word.stem for word in asked.words}
    stems = {word.stem for word in said if word.content}
    numbers = {word.number for word in said}
    up, down = bool(stems & _UP), bool(stems & _DOWN)
    wants_up, wants_down = bool(gold & _UP), bool(gold & _DOWN)
    agrees = (wants_up and up) or (wants_down and down)
    opposes = (wants_up and down and not up) or (wants_down and up and not down)
    first = said[0].text if said else ""
    return {
        "echo": len(stems & asked.stems) / max(1, len(asked.stems)),
        "question_names_said": _covered(asked.names, stems),
        "question_numbers_said": _covered(asked.numbers, numbers),
        "hedges": float(len(_HEDGE.findall(answer))),
        "negations": float(min(3, sum(word.text in NEGATIONS for word in said))),
        "starts_no": float(first == "no"),
        "starts_yes": float(first == "yes"),
        "direction": float(agrees) - float(opposes),
    }


def _covered(wanted: frozenset[Any], told: set[Any]) -> float:
    """Share of what is wanted that is told; a half where nothing is wanted."""
    return len(wanted & told) / len(wanted) if wanted else 0.5


def _letters(asked: _Asked, answer: str) -> float:
    """Share of the letter trigrams of the gold's new words that the answer has."""
    new = [w.text for w, n in zip(asked.content, asked.new, strict=True) if n]
    wanted = _trigrams(" ".join(new or [w.text for w in asked.content]))
    return len(wanted & _trigrams(answer.lower())) / len(wanted) if wanted else 0.0


def _trigrams(text: str) -> set[str]:
    text = f" {text} "
    return {text[i : i + 3] for i in range(len(text) - 2)}
