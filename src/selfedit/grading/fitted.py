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

import regex

from selfedit.config import stable_hash
from selfedit.grading.dates import MONTHS, another_month
from selfedit.grading.features import features
from selfedit.grading.forms import held
from selfedit.grading.match import exact_match
from selfedit.grading.stance import agrees, is_meant
from selfedit.grading.tokens import readings

_LATIN_LETTER = regex.compile(r"\p{Latin}")
_OTHER_LETTER = regex.compile(r"(?V1)[\p{L}--\p{Latin}]")


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


def known(question: str, gold: str, answer: str, golds: Sequence[str] = ()) -> float | None:
    """The probability where no model is needed; None where it is.

    0: no text; what `stance` finds (the gold denied, everything named, another name, the other answer
    to a yes-or-no question); months other than the gold's. 1: exactly the gold, or its date or number
    in another form and no other one. In other scripts than the Latin one, for which the model has no
    words, whether the answer holds the gold decides. golds: all that count as right.
    """
    if not answer.strip() or exact_match([gold], answer):
        return float(bool(answer.strip()))
    if (agreed := agrees(question, gold, answer)) is not None:
        return float(agreed)
    if another_month(gold, answer) or not is_meant(question, gold, answer, golds or (gold,)):
        return 0.0
    found = held(gold, answer)
    if _is_foreign(gold) or _is_foreign(answer):
        return float(found is not None)
    if found is None or not _is_quantity(gold):
        return None
    told = {token.text for text in (question, gold) for token in readings(text)[0].tokens}
    rivals = (token for token in found.said.tokens if token.value is not None)
    return None if any(token.text not in told for token in rivals) else 1.0


def _is_foreign(text: str) -> bool:
    """Whether most letters are of another script than the Latin one."""
    if text.isascii():
        return False
    return len(_OTHER_LETTER.findall(text)) > len(_LATIN_LETTER.findall(text))


def _is_quantity(gold: str) -> bool:
    """Whether a gold is made of numbers alone, with their units, or of a date or a release."""
    tokens = readings(gold)[0].tokens
    return any(token.value is not None for token in tokens) and all(
        token.value is not None or token.text in MONTHS or token.text == "version" for token in tokens
    )


def probability(
    question: str, golds: Sequence[str], answer: str, weights: Weights | None = None
) -> float:
    """Probability that the answer conveys one of the golds, in [0, 1]: the highest over the golds."""
    weights = weights or shipped()
    best = 0.0
    for gold in golds:
        sure = known(question, gold, answer, golds)
        best = max(
            best, weights.probability(features(question, gold, answer)) if sure is None else sure
        )
    return best


def offline(question: str, golds: Sequence[str], answer: str) -> bool:
    """Correct if the fitted model finds that the answer conveys a gold."""
    return probability(question, golds, answer) >= shipped().threshold
