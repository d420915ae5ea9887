"""Which of the learned passages a question concerns: BM25 (Robertson and Zaragoza, 2009), weighed by
how much of the question is covered.

Two things set it apart from a search engine's. A library may hold a single passage, in which no word is
rarer than another: the shipped generic prompts (`model.anchors`) stand beside the passages, so that
"capital" or "year" counts little from the first document on. And a question may concern nothing that
was learned: a passage is found only if its score, BM25 times the share of the question's weight that it
covers, reaches a threshold. Adding a passage costs its own words alone.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from selfedit.model.anchors import shipped
from selfedit.words import iterate_words

# The score from which a passage is found, START + GROWTH * log(number of passages): the best of more
# chance scores is higher. Chosen on the 50 contexts of train_round2 alone, by the share of questions
# that find their passage minus that of unrelated ones that find any (questions about other articles,
# generic prompts) in libraries of 1, 8 and 50 passages (docs/memory.md).
START, GROWTH = 2.5, 0.6
# A later passage that covers the same words of a question takes precedence if its BM25 score is at
# least this share of the best one's: of two documents that contradict each other the later one wins.
LATER_FROM = 0.6
_SAME = 1 - 1e-9

_K1, _B = 1.5, 0.75  # the usual ones
_STOP_WORDS = frozenset(
    "a about an and are as at be been but by can could did do does for from had has have how if in "
    "into is it its many may might much must no not of on or s should such than that the their then "
    "there these they this those to was were what when where which who whom whose why will with "
    "would".split()
)


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that a question concerns. place: the number of its text. score: see the module.
    covered: share of the question's weight that it covers."""

    place: int
    score: float
    covered: float


class Router:
    """Finds texts by the rare words that a question shares with them.

    texts: what is known of each passage: its title, its text, its self-edit. The later ones were
    learned later.
    """

    _margin = math.inf  # how much less than the best one's the score of a later passage may be

    def __init__(self, texts: Iterable[str]) -> None:
        self._lengths: list[int] = []
        self._places: dict[str, list[tuple[int, int]]] = {}
        self._spread = Counter(_background())
        for text in texts:
            self.add(text)

    def __len__(self) -> int:
        return len(self._lengths)

    def add(self, text: str) -> None:
        """One more passage."""
        counts = Counter(rare_words(text))
        for word, count in counts.items():
            self._places.setdefault(word, []).append((len(self._lengths), count))
        self._spread.update(counts.keys())
        self._lengths.append(counts.total())

    @property
    def threshold(self) -> float:
        """The score from which a passage is found."""
        return START + GROWTH * math.log(max(1, len(self)))

    def find(self, question: str, most: int = 1) -> list[Hit]:
        """The passages that it concerns, at most so many, the first one first; none if it concerns
        nothing that is known."""
        threshold = self.threshold
        bm25, covered = self._scored(question)
        scores = self._scores(question, {place: bm25[place] * covered[place] for place in bm25})
        found = [place for place, score in scores.items() if score >= threshold]
        if not found:
            return []
        best = max(found, key=lambda place: (scores[place], place))
        equal = [
            place
            for place in found
            if covered.get(place, 0.0) >= _SAME * covered.get(best, 0.0)
            and bm25.get(place, 0.0) >= LATER_FROM * bm25.get(best, 0.0)
            and scores[place] >= scores[best] - self._margin
        ]
        first = max(equal) if best in covered else best
        order = sorted(found, key=lambda place: (place != first, -scores[place], -place))
        return [Hit(place, scores[place], covered.get(place, 0.0)) for place in order[:most]]

    def _scores(self, question: str, words: dict[int, float]) -> dict[int, float]:
        """The scores of texts, of which `words` has what shared words say."""
        return words

    def _scored(self, question: str) -> tuple[dict[int, float], dict[int, float]]:
        """BM25, and the share of the question's weight that is covered, of each text with any."""
        asked = list(dict.fromkeys(rare_words(question)))
        weights = {word: self._weight(word) for word in asked}
        whole = sum(weights.values())
        mean = sum(self._lengths) / max(1, len(self._lengths))
        bm25: dict[int, float] = {}
        covered: dict[int, float] = {}
        for word in asked:
            for place, count in self._places.get(word, ()):
                long = 1 - _B + _B * self._lengths[place] / mean
                own = weights[word] * count * (_K1 + 1) / (count + _K1 * long)
                bm25[place] = bm25.get(place, 0.0) + own
                covered[place] = covered.get(place, 0.0) + weights[word] / whole
        return bm25, covered

    def _weight(self, word: str) -> float:
        """Inverse document frequency, as Lucene's: log(1 + (N - n + 0.5) / (n + 0.5))."""
        own = self._spread[word]
        return math.log1p((len(self) + len(_prompts()) - own + 0.5) / (own + 0.5))


def rare_words(text: str) -> list[str]:
    """Lower-case words without English stop words and endings."""
    return [_stem(word) for word in iterate_words(text.lower()) if word not in _STOP_WORDS]


def _stem(word: str) -> str:
    """Without the commonest English endings: wolves and wolve, founded and found, cities and city."""
    if len(word) > 3 and word.endswith("ies"):
        return f"{word[:-3]}y"
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    if len(word) > 5 and word.endswith("ing"):
        return word[:-3]
    if len(word) > 4 and word.endswith("ed"):
        return word[:-2]
    return word[:-1] if len(word) > 4 and word.endswith("e") else word


@cache
def _prompts() -> Sequence[str]:
    return [prompt for own in shipped().values() for prompt in own]


@cache
def _background() -> Counter[str]:
    """In how many of the generic prompts each word stands."""
    return Counter(word for prompt in _prompts() for word in set(rare_words(prompt)))
