"""Splitting English text into sentences, without a model and in linear time."""

from __future__ import annotations

import re
from collections.abc import Iterator

# A run of end marks with the quotes, brackets and footnote numbers behind it. The look-behind lets
# a match start only at the beginning of a run, and nothing backtracks (++, *+): linear in time.
_BORDER = re.compile(
    r"(?<![.!?\u2026])[.!?\u2026]++(?:[\"'\u2019\u201d\u00bb)\]]|\[\d++\])*+(?=\s)"
    r"|[\u3002\uff01\uff1f]++[\u300d\u300f\u201d\u2019\uff09]*+"
)
_NEXT_WORD = re.compile(r"[\"'\u2018\u201c\u00ab(\[]{0,3}([^\W_]+)(\.?)")
_ACRONYM = re.compile(r"(?:[^\W\d_]{1,2}\.)*[^\W\d_]{1,2}")
_IRREGULAR_SPACE = re.compile(r"\s{2,}|[^\S ]")
_OPENING = "\"'\u2018\u201c\u00ab(["

# Always followed by what they belong to.
_NEVER_LAST = frozenset(
    "dr mr mrs ms prof st gen sen rep gov lt col capt cpt sgt rev hon pres maj adm cmdr mt ft "
    "messrs mme mlle e.g i.e eg ie cf vs viz approx ca c.f resp incl esp dept univ".split()
)
# Abbreviations only in front of a number ("No. 5", "Jan. 3"); "No." can be a whole sentence.
_BEFORE_NUMBER = frozenset(
    "no nos nr fig figs vol vols p pp art sec ch eq par tab ex lines jan feb mar apr jun jul aug "
    "sep sept oct nov dec".split()
)
# May end a sentence: they do if a word that begins sentences comes next.
_MAYBE_LAST = frozenset(
    "etc inc ltd co corp bros jr sr al ed eds est ave blvd rd assn ext min max avg".split()
)
_STARTERS = frozenset(
    "the a an it he she they we i you this that these those there here in on at by for from with "
    "after before when while if as but and or so yet however its his her their our my your one "
    "two many most some several both all each no not during since under over between among "
    "although though because what who where why how today then later also another such according "
    "to of about until once only even thus therefore moreover".split()
)


def split_sentences(text: str) -> list[str]:
    """Sentences in order, whitespace runs made one space. A line break always ends a sentence."""
    return list(iterate_sentences(text))


def iterate_sentences(text: str) -> Iterator[str]:
    """As split_sentences, one at a time: for texts of many megabytes."""
    for raw in text.splitlines():
        line = one_line(raw)
        start = 0
        for border in _BORDER.finditer(line):
            if _is_end(line, start, border):
                yield line[start : border.end()].strip()
                start = border.end()
        if start < len(line):
            yield line[start:].strip()


def one_line(text: str) -> str:
    """Each run of whitespace made one space, as " ".join(text.split()) would, in less memory."""
    return _IRREGULAR_SPACE.sub(" ", text.strip())


def _is_acronym(token: str) -> bool:
    """U.S, a.m, Ph.D and the J of J. Smith, but no "me" and no "ok"."""
    return ("." in token or (len(token) == 1 and token.isupper())) and bool(_ACRONYM.fullmatch(token))


def _is_end(line: str, start: int, border: re.Match[str]) -> bool:  # noqa: PLR0911
    """Whether the end mark, in a sentence that began at `start`, is the end of it."""
    marks = border.group()
    if marks[0] in "\u3002\uff01\uff1f":
        return True
    following = _NEXT_WORD.match(line, border.end() + 1)
    word = following.group(1) if following else ""
    if word[:1].islower():
        return False
    if marks[0] != "." or marks[:2] == "..":
        return True
    before = max(start, line.rfind(" ", max(start, border.start() - 30), border.start()) + 1)
    token = line[before : border.start()].lstrip(_OPENING)
    name = token.lower()
    if name in _NEVER_LAST:
        return False
    if name in _BEFORE_NUMBER:
        return not word[:1].isdigit()
    if name in _MAYBE_LAST or _is_acronym(token):
        is_initial = following is not None and len(word) == 1 and following.group(2) == "."
        return not word or (word.lower() in _STARTERS and not is_initial)
    # "1." at the start of a sentence numbers it.
    return not (token.isdigit() and before <= start + 1)
