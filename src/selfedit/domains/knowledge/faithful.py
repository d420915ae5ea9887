"""Whether a restated sentence still says what the sentence said, as far as words can tell."""

from __future__ import annotations

import unicodedata

from selfedit.words import is_unspaced, words

# Share of a restatement's content words that must come from the sentence, and of the sentence's that
# must come back (docs/log.md has the search).
OWN_SHARE = 0.6
KEPT_SHARE = 0.6


def _numbers(found: list[str]) -> set[str]:
    return {word.replace(",", "") for word in found if any(c.isdigit() for c in word)}


def _content(found: list[str]) -> set[str]:
    """Words of more than three letters, cut to five, so that "rings" and "ringing" are one. Of scripts
    without spaces every character, and of those without capitals words of two letters, too."""
    return {word.lower()[:5] for word in found if len(word) > 3 or is_unspaced(word) or _is_short(word)}


def _is_short(word: str) -> bool:
    """A short word of a script without capitals, where it may say as much as a long one."""
    return len(word) > 1 and unicodedata.category(word[0]) == "Lo"


def details(sentence: str) -> set[str]:
    """Names (capitalised words other than the first) and numbers, lower-cased."""
    found = words(sentence)
    names = {word.lower() for word in found[1:] if word[0].isupper() and len(word) > 1}
    return names | _numbers(found)


def is_faithful(sentence: str, restated: str) -> bool:
    """All names and numbers of the sentence are there, no number is new, and few other words are.

    A small model invents and loses details at any temperature that gives it variety, and what it
    then trains on is false. A name at the very beginning of a sentence cannot be told from other words.
    """
    own, said = words(sentence), words(restated)
    spoken = {word.lower() for word in said} | _numbers(said)
    if not details(sentence) <= spoken or not _numbers(said) <= _numbers(own):
        return False
    before, after = _content(own), _content(said)
    shared = len(before & after)
    return shared >= OWN_SHARE * len(after) and shared >= KEPT_SHARE * len(before)
