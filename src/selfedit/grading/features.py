"""What the fitted grader looks at: (question, gold, answer) -> named numbers.

Nothing here depends on any data set: word forms, numbers by value, names, where and in which order the
words of the gold stand in the answer, what the question already said, and what else the answer says.
"""

from __future__ import annotations

import math
import re
from itertools import pairwise
from typing import Any

from selfedit.grading.asked import CLOSE, Asked, analyse, found_in
from selfedit.grading.dates import number_features
from selfedit.grading.match import contains_gold, f1
from selfedit.grading.words import NEGATIONS, Word, words

Features = dict[str, float]

_HEDGE = re.compile(
    r"misunderstand|unclear|not clear|no (?:specific|information|evidence|record|single|mention)|"
    r"not (?:specified|known|possible|provided|mentioned|explicitly)|sorry|I (?:don't|do not|cannot)|"
    r"vague|could refer|does not exist|there (?:is|are|was|were) no|ambiguous|"
    r"clarif|as of my|if (?:you|referring)",
    re.IGNORECASE,
)
_LONGEST = 5000  # characters
_UP = frozenset("increas rise rose risen grow grew growth higher more gain expand improv".split())
_DOWN = frozenset("decreas declin fall fell fallen lower less fewer los loss reduc drop shrink".split())


def features(question: str, gold: str, answer: str) -> Features:
    """The named features of one answer against one gold, all finite, most in [0, 1]. Of very long texts
    the beginning counts, so that the time stays linear."""
    question, gold, answer = question[:_LONGEST], gold[:_LONGEST], answer[: 2 * _LONGEST]
    asked = analyse(question, gold)
    said = words(answer)
    sims = found_in(asked, said)
    result: Features = dict(asked.fixed)
    result |= _overlap(asked, gold, answer, said, sims)
    result |= _place(asked, said, sims)
    result |= number_features(asked.words, said, asked.numbers)
    result |= _taken_up(asked, said, sims)
    result |= _besides(asked, answer, said)
    result |= _stance(asked, answer, said)
    return result


def _share(values: list[float], weights: list[float]) -> float:
    total = sum(weights)
    return sum(v * w for v, w in zip(values, weights, strict=True)) / total if total else 0.0


def _overlap(
    asked: Asked, gold: str, answer: str, said: list[Word], sims: list[tuple[float, int]]
) -> Features:
    """How much of the gold the answer says, by words, word forms, letters and parts."""
    soft = [value for value, _ in sims]
    firm = [float(value == 1.0) for value in soft]
    close = [float(value >= CLOSE) for value in soft]
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


def _place(asked: Asked, said: list[Word], sims: list[tuple[float, int]]) -> Features:
    """Where the gold stands in the answer, how close together, in which order, negated or not."""
    places = [place for value, place in sims if value >= CLOSE]
    new_places = [
        place for (value, place), new in zip(sims, asked.new, strict=True) if value >= CLOSE and new
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


def _taken_up(asked: Asked, said: list[Word], sims: list[tuple[float, int]]) -> Features:
    """Whether the gold stands where the answer takes up the question: sentence by sentence."""
    sentences: dict[int, set[str]] = {}
    for word in said:
        sentences.setdefault(word.sentence, set()).add(word.stem)
    wanted = {w.stem for w, new in zip(asked.content, asked.new, strict=True) if new}
    wanted = wanted or {word.stem for word in asked.content}
    taken = {number: len(stems & asked.stems) for number, stems in sentences.items()}
    best = max(taken, key=lambda number: (taken[number], -number), default=None)
    holding = {said[place].sentence for value, place in sims if value >= CLOSE}
    most = max((taken[n] for n in holding if sentences[n] & wanted), default=0)
    return {
        "gold_in_echo": len(sentences[best] & wanted) / max(1, len(wanted))
        if best is not None
        else 0.0,
        "echo_of_gold": most / max(1, len(asked.stems)),
    }


def _besides(asked: Asked, answer: str, said: list[Word]) -> Features:
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


def _stance(asked: Asked, answer: str, said: list[Word]) -> Features:
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
    """Share of the wanted words that are there; a half if none are wanted."""
    return len(wanted & told) / len(wanted) if wanted else 0.5


def _letters(asked: Asked, answer: str) -> float:
    """Share of the letter trigrams of the gold's new words that the answer has."""
    new = [w.text for w, n in zip(asked.content, asked.new, strict=True) if n]
    wanted = _trigrams(" ".join(new or [w.text for w in asked.content]))
    return len(wanted & _trigrams(answer.lower())) / len(wanted) if wanted else 0.0


def _trigrams(text: str) -> set[str]:
    text = f" {text} "
    return {text[i : i + 3] for i in range(len(text) - 2)}
