"""Numbers as people write them: figures, words, scales, Chinese numerals."""

# Numerals of other scripts are what this is about.
# ruff: noqa: RUF001

from __future__ import annotations

import re

SMALL = {word: value for value, word in enumerate((
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
).split())}  # fmt: skip
TENS = {word: 10 * value for value, word in enumerate(
    "twenty thirty forty fifty sixty seventy eighty ninety".split(), start=2
)}  # fmt: skip
SCALES = {
    "hundred": 1e2, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12, "mn": 1e6,
    "mln": 1e6, "bn": 1e9, "hundreds": 1e2, "thousands": 1e3, "millions": 1e6, "billions": 1e9,
    "dozen": 12.0,
}  # fmt: skip
ORDINALS = {word: value for value, word in enumerate((
    "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth "
    "thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
).split())} | {f"{word[:-1]}ieth": value for word, value in TENS.items()}  # fmt: skip
# German, French and Spanish, without those that are English words ("elf", "sept", "once").
_FOREIGN = {
    word: float(value)
    for value, words in {
        2: "zwei deux dos", 3: "drei trois tres", 4: "vier quatre cuatro", 5: "funf cinq cinco",
        6: "sechs seis", 7: "sieben siete", 8: "acht huit ocho", 9: "neun neuf nueve",
        10: "zehn dix diez", 11: "onze", 12: "zwolf douze doce", 20: "zwanzig vingt veinte",
        100: "hundert", 1000: "tausend mille mil",
    }.items()
    for word in words.split()
}  # fmt: skip
_HAN = {digit: value for value, digit in enumerate("零一二三四五六七八九")} | {
    "〇": 0,
    "两": 2,
    "兩": 2,
}
_HAN_SCALES = {"十": 10, "百": 100, "千": 1000, "万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8}
_FIGURES = re.compile(r"-?\d+(?:\.\d+)?")
_MOST_DIGITS = 20  # longer ones are compared as written


def figures(text: str) -> float | None:
    """The value of figures without separators ("-5", "2.5"); None for anything else."""
    return float(text) if len(text) <= _MOST_DIGITS and _FIGURES.fullmatch(text) else None


def is_number_word(word: str) -> bool:
    return word in SMALL or word in TENS or word in SCALES or word in _FOREIGN


def leading(words: list[str], start: int) -> tuple[float, int] | None:
    """The number that begins at a place ("twenty", "five", "thousand"), and the place behind it."""
    first = figures(words[start])
    if first is None and not is_number_word(words[start]):
        return None
    total, part, place, last = 0.0, first, start + (first is not None), ""
    while place < len(words):
        word = words[place]
        scale = SCALES.get(word)
        if scale is not None and (part is None or part < scale):
            part = (1.0 if part is None else part) * scale
            if scale >= 1000 and last not in SCALES:
                total, part = total + part, None
        elif first is None and word in TENS and (part is None or last in SCALES):
            part = (part or 0.0) + TENS[word]
        elif first is None and word in SMALL and (part is None or last in SCALES or last in TENS):
            if last in TENS and not 0 < SMALL[word] < 10:
                break
            part = (part or 0.0) + SMALL[word]
        elif part is None and not last and word in _FOREIGN:
            return _FOREIGN[word], place + 1
        elif (
            word == "and"
            and last in SCALES
            and place + 1 < len(words)
            and (words[place + 1] in SMALL or words[place + 1] in TENS)
        ):
            place += 1
            continue
        else:
            break
        last = word
        place += 1
    return total + (part or 0.0), place


def han(text: str) -> float | None:
    """The value of Chinese numerals ("三百二十", "一八八七"); None for anything else."""
    if not text or any(c not in _HAN and c not in _HAN_SCALES for c in text):
        return None
    if all(c in _HAN for c in text):
        return float("".join(str(_HAN[c]) for c in text)) if len(text) <= _MOST_DIGITS else None
    total, part, digit = 0, 0, 0
    for c in text:
        if c in _HAN:
            digit = _HAN[c]
        elif (scale := _HAN_SCALES[c]) < 10**4:
            part, digit = part + (digit or 1) * scale, 0
        else:
            total, part, digit = total + (part + digit or 1) * scale, 0, 0
    return float(total + part + digit)
