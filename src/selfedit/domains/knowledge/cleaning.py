"""Text as PDFs, word processors and web pages give it, made plain: what is read stays the same.

Removed or joined is only what a reader does not see: byte order marks, soft hyphens, zero-width and
direction marks, presentation forms (ligatures, joined Arabic letters), accents apart from their
letters, and the hyphen of a word that was broken at a line's end.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Set

import regex

from selfedit.domains.knowledge.spans import COMMON

# Byte order marks, zero-width spaces, word joiners, direction marks, interlinear marks, tags.
_INVISIBLE = regex.compile(
    r"[\u200b\u200e\u200f\u2060-\u2064\u2066-\u206f\u202a-\u202e\u061c\ufeff\u180e\ufff9-\ufffb]"
)
# Joiners shape the letters of Arabic and Indic scripts and of emoji; elsewhere they say nothing.
_JOINER = regex.compile(r"(?<![\p{Arabic}\p{Syriac}\p{Mongolian}\p{M}\p{So}])[\u200c\u200d]")
# Letters in the form of a typeface: ligatures, Arabic and Hebrew presentation forms, radicals,
# half-width katakana.
_PRESENTED = regex.compile(
    r"[\ufb00-\ufb06\ufb13-\ufb17\ufb1d-\ufb4f\ufb50-\ufd3d\ufd50-\ufdfb\ufe70-\ufefc"
    r"\u2e80-\u2fd5\uff65-\uff9f]+"
)
_SOFT = regex.compile(r"\u00ad[^\S\n]*\n?[^\S\n]*(?=\p{L})|\u00ad")
_HYPHEN = "[-\u2010\u2011]"
_BROKEN = regex.compile(
    rf"(?<!\S)(\S*?)([\p{{L}}\p{{M}}]+){_HYPHEN}[^\S\n]*\n[^\S\n]*([\p{{L}}\p{{M}}]+)"
)
_RANGE = regex.compile(r"(?<=\d)([-\u2010\u2013])\n[^\S\n]*(?=\d)")
# "Vor- und Nachteile" is written so, whatever line it stands on.
_SUSPENDED = frozenset("and or to und oder bis bzw et ou y o e en of och eller og i a".split())
_MOST_KNOWN = 200_000  # words of a text that tell which words there are


def clean_text(text: str) -> str:
    """The text without what is not seen, in Unicode's composed form (NFC); broken words are joined.

    Line ends are \\n. Paragraphs and lines stay, but for the second half of a broken word.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.isascii():
        return _joined(text)
    text = _SOFT.sub("", _INVISIBLE.sub("", text))
    text = _PRESENTED.sub(lambda match: unicodedata.normalize("NFKC", match.group()), text)
    return _joined(unicodedata.normalize("NFC", _JOINER.sub("", text)))


def _joined(text: str) -> str:
    """With the words whole that a line's end has broken ("obser-\\nvatory")."""
    text = _RANGE.sub(r"\1", text)
    if not _BROKEN.search(text):
        return text
    known = _known_words(text)
    return _BROKEN.sub(lambda match: _whole(match, known), text)


def _known_words(text: str) -> Set[str]:
    """Words that stand in the text unbroken, and compounds with their hyphens."""
    words = regex.finditer(
        rf"(?<!{_HYPHEN}\n)\b[\p{{L}}\p{{M}}]++(?:-[\p{{L}}\p{{M}}]++)*+(?!{_HYPHEN}\n)", text
    )
    return {match.group().casefold() for _, match in zip(range(_MOST_KNOWN), words, strict=False)}


def _whole(match: regex.Match[str], known: Set[str]) -> str:
    before, first, second = match.groups()
    if second.casefold() in _SUSPENDED:
        return f"{before}{first}- {second}"
    one, two = first.casefold(), second.casefold()
    if one + two in known:
        hyphen = ""
    elif f"{one}-{two}" in known or second[0].isupper() or before.endswith("-"):
        hyphen = "-"
    else:
        hyphen = "-" * all(part in known or part in COMMON for part in (one, two))
    return f"{before}{first}{hyphen}{second}"
