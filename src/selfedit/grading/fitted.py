"""The offline grader: logistic regression over `features`, fitted on recorded verdicts of GPT-4.1.

The weights are readable (`weights.json`: mean, scale and weight of each feature, written by
`scripts/fit_grader.py`); nothing is pickled, and the standard library suffices. How well it
agrees with the judge is measured in docs/graders.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from selfedit.config import stable_hash
from selfedit.grading.dates import another_month
from selfedit.grading.features import features
from selfedit.grading.match import exact_match, normalise

_NOT = frozenset("not never isnt wasnt arent werent didnt doesnt dont cannot".split())
_REACH = 3  # a "not" within so many words before the gold denies it


@dataclass(frozen=True, slots=True)
class Weights:
    """A fitted model.

    terms: (feature, mean, scale, weight). clip: features are clipped at so many standard deviations.
    """

    terms: tuple[tuple[str, float, float, float], ...]
    intercept: float
    threshold: float
    clip: float

    @property
    def digest(self) -> str:
        return stable_hash([self.terms, self.intercept, self.threshold, self.clip])[:8]

    @classmethod
    def from_json(cls, text: str) -> Weights:
        """Raises KeyError, TypeError or ValueError for anything but what fit_grader.py writes."""
        value = json.loads(text)
        terms = tuple(
            (name, float(term["mean"]), float(term["scale"]), float(term["weight"]))
            for name, term in value["features"].items()
        )
        weights = cls(terms, float(value["intercept"]), float(value["threshold"]), float(value["clip"]))
        numbers = [number for _, *rest in terms for number in rest]
        if not all(map(math.isfinite, (*numbers, weights.intercept, weights.threshold, weights.clip))):
            raise ValueError("weights must be finite")
        return weights

    def probability(self, named: dict[str, float]) -> float:
        """Probability that the judge says yes, in [0, 1]. KeyError if a feature is missing."""
        logit = self.intercept
        for name, mean, scale, weight in self.terms:
            deviation = (named[name] - mean) / scale
            logit += weight * max(-self.clip, min(self.clip, deviation))
        return 1 / (1 + math.exp(-logit)) if logit > -500 else 0.0


@cache
def shipped() -> Weights:
    """The weights that come with the package."""
    return Weights.from_json(
        files("selfedit.grading").joinpath("weights.json").read_text(encoding="utf-8")
    )


def known(question: str, gold: str, answer: str) -> float | None:
    """The probability where no model is needed: no text, exactly the gold, the gold denied, or
    months other than the gold's."""
    if not answer.strip():
        return 0.0
    if exact_match([gold], answer):
        return 1.0
    return 0.0 if _denied(question, gold, answer) or another_month(gold, answer) else None


def _denied(question: str, gold: str, answer: str) -> bool:
    """Whether the answer says "not" right before the gold wherever it holds it ("is not of steel").

    Recorded answers do this too rarely for a weight to be learned from them.
    """
    wanted = normalise(gold).split()
    if not wanted or not _NOT.isdisjoint((*wanted, *normalise(question).split())):
        return False
    said = normalise(answer).split()
    places = [i for i in range(len(said)) if said[i : i + len(wanted)] == wanted]
    before = [" ".join(said[max(0, i - _REACH) : i]) for i in places]
    return bool(places) and all(_NOT & set(text.split()) and "not only" not in text for text in before)


def probability(
    question: str, golds: Sequence[str], answer: str, weights: Weights | None = None
) -> float:
    """Probability that the answer conveys one of the golds, in [0, 1]: the highest over the golds."""
    weights = weights or shipped()
    best = 0.0
    for gold in golds:
        sure = known(question, gold, answer)
        best = max(
            best, weights.probability(features(question, gold, answer)) if sure is None else sure
        )
    return best


def offline(question: str, golds: Sequence[str], answer: str) -> bool:
    """Correct if the fitted model finds that the answer conveys a gold."""
    return probability(question, golds, answer) >= shipped().threshold
