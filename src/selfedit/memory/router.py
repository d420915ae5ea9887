"""Which of the learned passages a question concerns: BM25 (Robertson and Zaragoza, 2009), weighed by
how much of the question is covered.

Two things set it apart from a search engine's. A library may hold a single passage, in which no word is
rarer than another: the shipped generic prompts (`model.anchors`) stand beside the passages, so that
"capital" or "year" counts little from the first document on. And a question may concern nothing that
was learned: a passage is found only if its score, BM25 times the share of the question's weight that it
covers, reaches a threshold. In that share a name that an English passage lacks weighs several times: a
question about the Griffith Observatory does not concern a passage about another observatory. Adding a
passage costs its own words alone.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
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
# How often a name of the question counts that a passage lacks. Chosen on the same contexts, by the
# share of questions about neighbours (`memory.neighbours`) that are left alone (docs/memory.md).
ABSENT_NAME = 10.0
_SAME = 1 - 1e-9
# What is stored of answers that went through a router is stored under these.
RULES = (START, GROWTH, LATER_FROM, ABSENT_NAME)

_K1, _B = 1.5, 0.75  # the usual ones
_STOP_WORDS = frozenset(
    "a about an and are as at be been but by can could did do does for from had has have how if in "
    "into is it its many may might much must no not of on or s should such than that the their then "
    "there these they this those to was were what when where which who whom whose why will with "
    "would".split()
)
# Share of an English text's words that are among them, at least. Of others' (German's capitals are
# nouns) it is not known what a capital says.
_ENGLISH_FROM = 0.2
_SENTENCES = re.compile(r"(?<=[.?!:])\s+|\n")
_HEADING_FROM = 4  # rare words of a sentence


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
        self._titles: list[frozenset[str] | None] = []  # None: not of an English text
        self._places: dict[str, list[tuple[int, int]]] = {}
        self._spread = Counter(_background())
        for text in texts:
            self.add(text)

    def __len__(self) -> int:
        return len(self._lengths)

    def add(self, text: str) -> None:
        """One more passage."""
        words, counts = Counter(iterate_words(text.lower())), Counter[str]()
        for word, count in words.items():
            if word not in _STOP_WORDS:
                counts[_stem(word)] += count
        english = words.total() - counts.total() >= _ENGLISH_FROM * words.total()
        self._titles.append(frozenset(rare_words(text.split("\n", 1)[0])) if english else None)
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
        bm25, covered, scored = self._scored(question)
        scores = self._scores(question, scored)
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

    def _scored(self, question: str) -> tuple[dict[int, float], dict[int, float], dict[int, float]]:
        """Of each text with any word of the question: BM25, the share of the question's weight that it
        covers, and its score."""
        weights = {word: self._weight(word) for word in rare_words(question)}
        whole = sum(weights.values())
        named = names(question) & weights.keys()
        of_names = sum(weights[word] for word in named)
        mean = sum(self._lengths) / max(1, len(self._lengths))
        bm25: dict[int, float] = defaultdict(float)
        covered: dict[int, float] = defaultdict(float)
        covered_names: dict[int, float] = defaultdict(float)
        for word, weight in weights.items():
            for place, count in self._places.get(word, ()):
                long = 1 - _B + _B * self._lengths[place] / mean
                bm25[place] += weight * count * (_K1 + 1) / (count + _K1 * long)
                covered[place] += weight
                if word in named:
                    covered_names[place] += weight
        scores = {}
        for place, own in covered.items():
            title = self._titles[place]
            about = title is None or (title and title <= weights.keys())
            lacks = 0.0 if about else of_names - covered_names[place]
            scores[place] = bm25[place] * own / (whole + (ABSENT_NAME - 1) * lacks)
        return bm25, {place: own / whole for place, own in covered.items()}, scores

    def _weight(self, word: str) -> float:
        """Inverse document frequency, as Lucene's: log(1 + (N - n + 0.5) / (n + 0.5))."""
        own = self._spread[word]
        return math.log1p((len(self) + len(_prompts()) - own + 0.5) / (own + 0.5))


def rare_words(text: str) -> list[str]:
    """Lower-case words without English stop words and endings."""
    return [_stem(word) for word in iterate_words(text.lower()) if word not in _STOP_WORDS]


def names(question: str) -> set[str]:
    """Its names, as `rare_words` has them: capitalised words, at the beginning of a sentence only those
    before another one. A heading, all of whose words are capitalised, does not show any."""
    found: set[str] = set()
    for sentence in _SENTENCES.split(question):
        words = list(iterate_words(sentence))
        capital = [word[0].isupper() for word in words]
        rare = [i for i, word in enumerate(words) if word.lower() not in _STOP_WORDS]
        named = [i for i in rare if capital[i] and (i > 0 or any(capital[1:2]))]
        if len(named) < len(rare) or len(rare) < _HEADING_FROM:
            found.update(_stem(words[i].lower()) for i in named)
    return found


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
