"""Which passage answers which question."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from selfedit.domains.knowledge.sentences import split_sentences
from selfedit.domains.knowledge.strategies import restatable_sentences
from selfedit.grading import normalise
from selfedit.types import Query, Task
from selfedit.words import is_unspaced, words

# Question words and other very common ones; the rest are weighted by their rarity.
_STOPWORDS = frozenset(
    "what which who whom whose when where why how many much did does do is are was were be been "
    "has have had in on at of to for from by with as and or it its that this these those there "
    "can could would will not than then he she they his her their".split()
)
_NOWHERE = np.array([], dtype=np.int64)
_STEM = 6  # letters of a word that are compared: "baptised" and "baptism" are one


def assign_queries(tasks: Sequence[Task], queries: Sequence[Query]) -> tuple[Task, ...]:
    """The tasks, each with the questions (appended, in order) that it answers more likely than
    the others: rare words in common, and the gold answer found in the passage. A question that
    has nothing in common with any goes to the first. Deterministic; time grows with the
    questions and with how many passages share their words."""
    if not tasks:
        return ()
    index = _Index(tasks)
    assigned: dict[int, list[Query]] = defaultdict(list)
    for query in queries:
        assigned[index.best(query)].append(query)
    return tuple(
        replace(task, queries=(*task.queries, *assigned[i])) if i in assigned else task
        for i, task in enumerate(tasks)
    )


def questions_about(task: Task, completions: int) -> tuple[tuple[int, ...], ...]:
    """For each completion of an edit of `sentences`, the numbers of the questions that its sentence
    answers more likely than the others (`assign_queries`)."""
    sentences = restatable_sentences(task) or split_sentences(task.context)
    if not sentences:
        return ((),) * completions
    index = _Index([Task(str(n), "", sentence) for n, sentence in enumerate(sentences)])
    found: list[list[int]] = [[] for _ in sentences]
    for n, query in enumerate(task.queries):
        found[index.best(replace(query, topic=""))].append(n)
    return tuple(tuple(found[i % len(sentences)]) for i in range(completions))


class _Index:
    """Where each word occurs, and its weight (inverse document frequency)."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._contexts = [f" {_parted(normalise(f'{task.title} {task.context}'))} " for task in tasks]
        self._titles = [normalise(task.title) for task in tasks]
        postings: dict[str, list[int]] = defaultdict(list)
        for i, context in enumerate(self._contexts):
            for word in _content(context):
                postings[word].append(i)
        self._postings = {word: np.array(places) for word, places in postings.items()}
        self._by_title: dict[str, list[int]] = defaultdict(list)
        for i, title in enumerate(self._titles):
            self._by_title[title].append(i)

    def best(self, query: Query) -> int:
        scores = np.zeros(len(self._contexts))
        for word in sorted(_content(normalise(query.question))):
            if word in self._postings:
                scores[self._postings[word]] += self._weight(word)
        for gold in query.answers:
            self._add_gold(scores, _parted(normalise(gold)))
        for i in self._by_title.get(normalise(query.topic), ()) if query.topic else ():
            scores[i] += 2 * math.log(1 + len(self._titles))
        return int(scores.round(9).argmax())  # the first of equal ones

    def _add_gold(self, scores: NDArray[np.float64], gold: str) -> None:
        """Passages that hold the gold, word for word, score by the rarity of its words."""
        words = _content(gold)
        places = min((self._postings.get(word, _NOWHERE) for word in words), key=len, default=_NOWHERE)
        bonus = 1.0 + sum(self._weight(word) for word in words)
        for i in places:
            if f" {gold} " in self._contexts[i]:
                scores[i] += bonus

    def _weight(self, word: str) -> float:
        return math.log(1 + len(self._contexts) / len(self._postings.get(word, (0,))))


def _parted(normalised: str) -> str:
    """With a space between all words, also of scripts that have none there."""
    return " ".join(words(normalised)) if is_unspaced(normalised) else normalised


def _content(normalised: str) -> set[str]:
    # Vowel signs belong to their words; \w leaves them out.
    found = re.findall(r"\w+", normalised) if normalised.isascii() else words(normalised)
    return {word[:_STEM] for word in found if word not in _STOPWORDS}
