"""Comparison of an answer with its gold answers, by tokens (`forms`); and texts normalised.

`normalise` tells contexts apart (after SQuAD, arXiv 1606.05250); the identities of contexts depend on
it, so it stays as it is. It differs from the SQuAD script, each time because SQuAD's rule judged right
answers wrong or wrong ones right: dashes, slashes and commas separate words ("13th-century" holds "13th
century"; SQuAD joins them); "3.5" stays 3.5 and "-5" stays -5 (SQuAD makes them 35 and 5); "1,200" is
1200; "Japan's" is Japan; text is NFKC.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from selfedit.grading.forms import held, same
from selfedit.grading.tokens import readings

_ARTICLES = frozenset({"a", "an", "the"})
_GROUP_COMMA = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_DECIMAL_POINT = re.compile(r"(?<=\d)\.(?=\d)")
_MINUS = re.compile(r"(?<!\S)[-\u2212](?=\d)")
_POSSESSIVE = re.compile(r"(?<=[^\W\d_])['\u2019]s(?!\w)")
_JOINING = ".'\u2019\u2018`\u00b4"  # "U.S." is one word, and so is "don't"
_KEPT_POINT, _KEPT_MINUS = "\ue000", "\ue001"  # private use: what survives the punctuation


class _Punctuation(dict[int, str | None]):
    """Translation table, filled as characters occur: removes punctuation and currency signs."""

    def __missing__(self, code: int) -> str | None:
        character = chr(code)
        kind = unicodedata.category(character)
        new: str | None = character
        if character in _JOINING:
            new = None
        elif kind.startswith("P") or kind == "Sc" or character in "+<=>^|~":
            new = " "
        self[code] = new
        return new


_PUNCTUATION = _Punctuation()


def normalise(text: str) -> str:
    """Lower case, NFKC, without punctuation and articles, words separated by one space."""
    text = unicodedata.normalize("NFKC", text).lower()
    text = _GROUP_COMMA.sub("", text)
    text = _DECIMAL_POINT.sub(_KEPT_POINT, text)
    text = _POSSESSIVE.sub("", text)
    text = _MINUS.sub(_KEPT_MINUS, text)
    text = text.translate(_PUNCTUATION)
    text = text.replace(_KEPT_POINT, ".").replace(_KEPT_MINUS, "-")
    return " ".join(word for word in text.split() if word not in _ARTICLES)


def exact_match(golds: Sequence[str], answer: str) -> bool:
    """Whether the answer is, after normalisation, one of the golds."""
    return any(_equal(gold, answer) for gold in golds)


def contains_gold(golds: Sequence[str], answer: str) -> bool:
    """Whether the words of a gold occur side by side in the answer ("art" is not in "party").

    A gold without any word of its own ("The", "+") must be the whole answer.
    """
    return any(held(gold, answer) is not None or _equal(gold, answer) for gold in golds)


def f1(golds: Sequence[str], answer: str) -> float:
    """Overlap of words (harmonic mean of precision and recall) with the nearest gold, in [0, 1]."""
    return max((_f1(gold, answer) for gold in golds), default=0.0)


def _f1(gold: str, answer: str) -> float:
    best = 0.0
    for wanted in readings(gold):
        for said in readings(answer, wanted.has_numbers):
            if not wanted.tokens or not said.tokens:
                return float(_equal(gold, answer))
            ours, theirs = ([token.text for token in own.tokens] for own in (wanted, said))
            common = sum((Counter(ours) & Counter(theirs)).values())
            best = max(best, 2 * common / (len(ours) + len(theirs)))
    return best


def _equal(gold: str, answer: str) -> bool:
    if not answer.strip() or not gold.strip():
        return False
    if readings(gold)[0].tokens or readings(answer)[0].tokens:
        return same(gold, answer)
    return _bare(gold) == _bare(answer)


def _bare(text: str) -> str:
    """What is compared where normalisation leaves nothing."""
    text = unicodedata.normalize("NFKC", text).strip().lower()
    return text.rstrip(".") or text
