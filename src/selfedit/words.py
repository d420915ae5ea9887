"""Words in any script: the one place that says where a word ends.

Where words are parted by spaces, a word is a run of letters, figures and underscores with the marks
that belong to them (vowel signs, accents that stand alone, joiners), and a number keeps its points and
commas ("1,200.5"). Where they are not (Chinese, Japanese kana, Thai, Lao, Khmer, Burmese, Tibetan),
each character with its marks is one word, and so is a run of katakana: what Unicode's default
segmentation (UAX #29) gives without a dictionary. Unlike there, an apostrophe parts words ("don't" is
"don" and "t").
"""

from __future__ import annotations

from collections.abc import Iterator

import regex

# Scripts written without spaces between words, Katakana apart (its runs stay whole).
_CHARACTERS = (
    r"\p{Han}\p{Hiragana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}\p{Tai_Le}\p{New_Tai_Lue}"
    r"\p{Tai_Tham}\p{Tai_Viet}\p{Javanese}\p{Balinese}\p{Yi}\p{Bopomofo}"
)
_KATAKANA = r"\p{Katakana}\u30fc\uff70"
_MARK = r"[\p{M}\u200c\u200d\u30fc]"  # joiners belong to the letters beside them
_LETTER = r"[\p{L}\p{N}\p{M}_\u200c\u200d]"
_ALONE = rf"[{_CHARACTERS}--[\p{{P}}\p{{S}}\p{{Nd}}]]"
# Nothing in it backtracks (++, *+): linear in time. The first branch is for the common case alone.
_WORD = regex.compile(
    r"(?V1)[A-Za-z0-9_]++(?=[\x00-\x7f]|\Z)(?:(?<=[0-9])[.,][0-9]++(?=[\x00-\x7f]|\Z))*+"
    rf"|[{_KATAKANA}]++\p{{M}}*+"
    rf"|{_ALONE}{_MARK}*+"
    rf"|(?:[{_LETTER}--{_ALONE}--[{_KATAKANA}]]|(?<={_LETTER})[\p{{M}}\u200c\u200d])++"
    r"(?:(?<=\p{Nd})[.,]\p{Nd}++)*+"
)
_UNSPACED = regex.compile(rf"(?V1){_ALONE}|[{_KATAKANA}]")
_SAYS_SOMETHING = regex.compile(r"[\p{L}\p{N}_]")


def words(text: str) -> list[str]:
    """The words of a text in their order, as written: neither folded nor normalised."""
    return list(iterate_words(text))


def iterate_words(text: str) -> Iterator[str]:
    """As `words`, one at a time: for texts of many megabytes."""
    for match in _WORD.finditer(text):
        word = match.group()
        if word.isascii() or _SAYS_SOMETHING.search(word):
            yield word


def is_unspaced(text: str) -> bool:
    """Whether a text holds a character of a script that does not part its words by spaces."""
    return _UNSPACED.search(text) is not None


def joined(parts: list[str]) -> str:
    """Words as one text: a space between two of them, unless both are of a script without spaces."""
    text = ""
    for part in parts:
        spaced = text and part and not (is_unspaced(text[-1]) and is_unspaced(part[0]))
        text += f" {part}" if spaced else part
    return text
