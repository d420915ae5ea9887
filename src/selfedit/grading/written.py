"""Text as it is compared: case, accents, vowel marks, dates and signs in one form.

Letters keep what makes them another letter (dots of kana, vowel signs of Indic scripts, tones of Thai);
accents of Latin, Greek and Cyrillic and the vowel marks of Arabic and Hebrew go.
"""

# Letters of other scripts are what this is about.
# ruff: noqa: RUF001

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

# Combining accents; points of Hebrew; marks of Arabic, its elongation; characters without width.
_MARKS = re.compile(
    "[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670"
    "\u06d6-\u06ed\u0640\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
)
_LETTERS = str.maketrans({
    "ø": "o", "đ": "d", "ł": "l", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d", "ħ": "h", "ı": "i",
    "ى": "ي", "ی": "ي", "ک": "ك", "ة": "ه", "ۀ": "ه", "ہ": "ه", "۔": ".", "।": ".",
    "\u2212": "-", "\u2010": "-", "\u2011": "-", "\u2019": "'", "\u2018": "'", "\u02bc": "'",
    "\u060c": ",", "\u066b": ".", "\u066c": ",", "\u2044": "/",
})  # fmt: skip
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa", "æ": "ae"})
_HAS_UMLAUT = re.compile("[äöüøåæ]")

_MONTHS = tuple(
    tuple(names.split())
    for names in (
        "january jan januar janvier enero gennaio janeiro januari",
        "february feb februar fevrier febrero febbraio fevereiro februari",
        "march mar marz mars marzo marco maart",
        "april apr avril abril aprile",
        "may mai mayo maggio maio mei",
        "june jun juni juin junio giugno junho",
        "july jul juli juillet julio luglio julho",
        "august aug aout agosto augustus",
        "september sep sept septembre septiembre settembre setembro",
        "october oct oktober octobre octubre ottobre outubro okt",
        "november nov novembre noviembre novembro",
        "december dec dezember decembre diciembre dicembre dezembro dez",
    )
)
_NUMBER_OF = {name: number for number, names in enumerate(_MONTHS, start=1) for name in names}
_MONTH = rf"(?P<month>{'|'.join(sorted(_NUMBER_OF, key=len, reverse=True))})\b\.?"
_DAY = r"(?<![\d.,/-])(?P<day>[0-3]?\d)(?:st|nd|rd|th|er|º|\.)?"
_YEAR = r"(?P<year>\d{3,4})(?![\d])"
_OF = r"(?:\s+(?:of|de|di|del|den))?"
_DATES = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?<![\d.,/-])(?P<year>\d{4})[-/.](?P<number>\d{1,2})[-/.](?P<day>\d{1,2})(?![\d/-])",
        r"(?P<year>\d{4})\s*[年년]\s*(?P<number>\d{1,2})\s*[月월](?:\s*(?P<day>\d{1,2})\s*[日号일])?",
        r"(?<![\d.,/-])(?P<day>\d{1,2})\.\s?(?P<number>\d{1,2})\.\s?(?P<year>\d{4})(?!\d)",
        rf"\b{_DAY}{_OF}\s+{_MONTH}(?:{_OF},?\s+{_YEAR})?",
        rf"\b{_MONTH}\s+{_DAY}(?!\w)(?!\.\d)(?:,?{_OF}\s+{_YEAR})?",
        rf"\b{_MONTH}{_OF},?\s+{_YEAR}",
    )
)
_SLASHED = re.compile(r"(?<![\d.,/-])(\d{1,2})([/-])(\d{1,2})\2(\d{4})(?![\d/-])")


def versions(text: str) -> Iterator[str]:
    """The text in lower case, without accents, dates as "3 march 1887": once for each way to read it.

    ü is u or ue, 3/4/1887 is in March or in April, and 1.200 is 1200 or 1.2: then it is the second
    version that differs.
    """
    low = unicodedata.normalize("NFC", text).lower()
    first = _dated(_slashed(_folded(low), day_first=True))
    yield first
    second = _dated(_slashed(_folded(low.translate(_UMLAUTS)), day_first=False))
    if (dotted := _DOTTED.sub(lambda found: found[0].replace(".", ""), second)) != first:
        yield dotted


_DOTTED = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:\.\d{3})+(?![\d.,]?\d)")


def _folded(low: str) -> str:
    if low.isascii():
        return low
    apart = unicodedata.normalize("NFKD", low.replace("ß", "ss"))
    return unicodedata.normalize("NFC", _figures(_MARKS.sub("", apart)).lower().translate(_LETTERS))


def _figures(text: str) -> str:
    """Figures of any script as those of ASCII."""
    return "".join(
        str(unicodedata.decimal(c)) if c.isdecimal() and not c.isascii() else c for c in text
    )


def _slashed(text: str, day_first: bool) -> str:
    def named(found: re.Match[str]) -> str:
        one, other, year = int(found[1]), int(found[3]), found[4]
        day, month = (one, other) if other > 12 or (day_first and one > 0) else (other, one)
        if other > 12:
            day, month = other, one
        elif one > 12:
            day, month = one, other
        return f"{day} {_MONTHS[month - 1][0]} {year}" if 0 < month < 13 and 0 < day < 32 else found[0]

    return _SLASHED.sub(named, text) if "/" in text or "-" in text else text


def _dated(text: str) -> str:
    for pattern in _DATES:
        text = pattern.sub(_date, text)
    return text


def _date(found: re.Match[str]) -> str:
    parts = found.groupdict()
    month = int(parts["number"]) if parts.get("number") else _NUMBER_OF.get(parts.get("month") or "", 0)
    day = parts.get("day")
    if not 0 < month < 13 or (day is not None and not 0 < int(day) < 32):
        return found[0]
    told = (None if day is None else str(int(day)), _MONTHS[month - 1][0], parts.get("year"))
    return " ".join(part for part in told if part)
