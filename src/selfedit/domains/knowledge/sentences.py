"""Splitting text into sentences, in any script, without a model and in linear time.

English has its own lists here; other languages are told by their small words (`languages.py`). Scripts
with end marks of their own (Han, Devanagari, Arabic, Ethiopic ...) end sentences at those, by Unicode's
property Sentence_Break=STerm; Thai and Lao, which have none, at the spaces between longer runs.
"""

from __future__ import annotations

from collections.abc import Iterator

import regex

from selfedit.domains.knowledge.clauses import LONGEST, cut_at_clauses, is_overlong
from selfedit.domains.knowledge.languages import OTHER, Language, is_month, language_of

# A run of end marks with the quotes, brackets and footnote marks behind it. The look-behind lets a
# match start only at the beginning of a run, and nothing backtracks (++, *+): linear in time.
_FOOTNOTE = (
    r"\^?\[(?:\d++(?:[,\u2013-] ?\d++)*+|[a-z]|(?:note|n|nb|Anm\.) ?\d++|\^[\w-]++|"
    r"(?:citation|clarification) needed)\]|[\u00b9\u00b2\u00b3\u2070\u2074-\u2079*\u2020\u2021]"
)
_BRACKETS = r"[\"'\u2019\u201d\u00bb\u203a)\]\u300d\u300f\u300b\uff09\u3011]"
_CLOSING = rf"(?:{_BRACKETS}|{_FOOTNOTE})*+"
_SPACED_QUOTE = r"[ \u00a0\u202f]\u00bb"  # French has a space inside of its marks
_OWN_MARK = r"[\p{SB=STerm}--[!?\u104a]]"  # of a script: no space need follow
_WIDE = r"[\p{Han}\p{Hiragana}\p{Katakana}]"
_BORDER = regex.compile(
    # German and others close a quotation with marks that open it elsewhere.
    rf"(?V1)(?<![.!?\u2026])[.!?\u2026]++(?:{_BRACKETS}|[\u201c\u00ab\u2039]|{_FOOTNOTE}|{_SPACED_QUOTE})*+(?=\s)"
    rf"|{_OWN_MARK}++[!?{_OWN_MARK}]*+{_CLOSING}"
    rf"|(?<={_WIDE})[!?]++{_CLOSING}(?={_WIDE})"
    r"|\uff0e++(?!\d)"
    r"|(?<=\p{Greek})[;\u037e](?=\s)"
    r"|[\u0f0d\u0f0e]++(?=\s)"
    r"|(?<=\p{L}{3}\.)\d{1,3}+(?=\s+\p{Lu})"  # a footnote's number, as it comes out of a PDF
)
_NEXT_WORD = regex.compile(r"[\"'\u2018\u201c\u201e\u00ab(\[\u00bf\u00a1]{0,3}([^\W_]+)(\.?)")
_ACRONYM = regex.compile(r"(?:[^\W\d_]{1,2}\.)*[^\W\d_]{1,2}")
_ROMAN = regex.compile(r"[IVXLC]+")
_SPACED_OUT = regex.compile(r"(?:(?<!\w)\w{1,2}\. ?)+\w{1,3}$")  # "z. B", "i. d. R"
_ELIDED = regex.compile(r"^(?:[cdjlmnst]|dell|nell|all|qu)['\u2019]")  # "l'ing", "d'av"
_IRREGULAR_SPACE = regex.compile(r"\s{2,}|[^\S ]")
_OPENING = "\"'\u2018\u201c\u201e\u00ab(["
_AFTER_QUOTED = regex.compile(
    r"[\u3068\u3063\u306e\u3092\u304c\u306f\u306b\u3067\u3082\u3084\u3001\uff0c,]"
)
_QUOTE_END = tuple("\u300d\u300f\u201d\u2019\uff09")
_LETTER = regex.compile(r"\p{L}")
_THAI_SPACE = regex.compile(r"(?<=[\p{Thai}\p{Lao}\d]) (?=[\p{Thai}\p{Lao}]\S{9})")
_SAMPLE = 200  # end marks of a line that tell how it begins its sentences
_SHORTEST_THAI = 10  # characters of a sentence, where only spaces part them

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
_ENGLISH = Language("en", _STARTERS, _NEVER_LAST, _BEFORE_NUMBER, _MAYBE_LAST)


def split_sentences(text: str) -> list[str]:
    """Sentences in order, whitespace runs made one space. A line break always ends a sentence.

    One of more than `LONGEST` words, as in a transcript without punctuation, is cut between clauses.
    """
    pieces = []
    for sentence in iterate_sentences(text):
        pieces += cut_at_clauses(sentence) if is_overlong(sentence, LONGEST) else [sentence]
    return pieces


def iterate_sentences(text: str) -> Iterator[str]:
    """Whole sentences, one at a time: for texts of many megabytes."""
    language = language_of(text) or _ENGLISH
    for raw in text.splitlines():
        line = one_line(raw)
        borders = [(border, _next_word(line, border)) for border in _BORDER.finditer(line)]
        lower = _is_lower_case(line, borders, language)
        start = 0
        for border, following in borders:
            if border.end() > start and _is_end(line, start, border, following, language, lower):
                yield from _at_thai_spaces(line[start : border.end()].strip())
                start = border.end()
        if start < len(line):
            yield from _at_thai_spaces(line[start:].strip())


def one_line(text: str) -> str:
    """Each run of whitespace made one space, as " ".join(text.split()) would, in less memory."""
    return _IRREGULAR_SPACE.sub(" ", text.strip())


def _next_word(line: str, border: regex.Match[str]) -> regex.Match[str] | None:
    return _NEXT_WORD.match(line, border.end() + 1)


def _is_acronym(token: str) -> bool:
    """U.S, a.m, Ph.D and the J of J. Smith, but no "me" and no "ok"."""
    is_initial = len(token) == 1 and token.isalpha() and not token.islower()
    return ("." in token or is_initial) and bool(_ACRONYM.fullmatch(token))


def _token(line: str, start: int, border: regex.Match[str]) -> tuple[str, int]:
    """The word before an end mark, and its place; the mark is not part of it."""
    before = max(start, line.rfind(" ", max(start, border.start() - 30), border.start()) + 1)
    return line[before : border.start()].lstrip(_OPENING), before


def _is_lower_case(
    line: str,
    borders: list[tuple[regex.Match[str], regex.Match[str] | None]],
    language: Language,
) -> bool:
    """Whether a line begins its sentences with small letters, as chats and transcripts do."""
    first = _LETTER.search(line)
    if first is None:
        return False
    lower = count = 0
    for border, following in borders[:_SAMPLE]:
        name = _token(line, 0, border)[0].lower()
        is_plain = border.group() in (".", "!", "?") and following is not None
        if is_plain and not _is_abbreviation(name, language) and not _is_acronym(name):
            count += 1
            lower += following.group(1)[:1].islower() if following else 0
    return 2 * lower >= count > 0 if first.group().islower() else lower == count >= 3


def _is_abbreviation(name: str, language: Language) -> bool:
    lists = (language.never_last, language.before_number, language.maybe_last)
    return len(name) == 1 or any(name in names for names in lists)


def _is_end(
    line: str,
    start: int,
    border: regex.Match[str],
    following: regex.Match[str] | None,
    language: Language,
    lower: bool,
) -> bool:
    """Whether the end mark, in a sentence that began at `start`, is the end of it."""
    marks = border.group()
    word = following.group(1) if following else ""
    if marks[0].isdigit():
        token = _token(line, start, border)[0].rstrip(".").lower()
        return not _is_abbreviation(token, language)
    if marks[0] not in ".!?\u2026":
        quoted = marks[-1] in _QUOTE_END and border.end() < len(line)
        return not (quoted and _AFTER_QUOTED.match(line, border.end()))
    if word[:1].islower() and not (lower and marks in (".", "!", "?")):
        return False
    if marks[0] != "." or marks[:2] == "..":
        return True
    return _full_stop_ends(line, start, border, following, language)


def _full_stop_ends(
    line: str,
    start: int,
    border: regex.Match[str],
    following: regex.Match[str] | None,
    language: Language,
) -> bool:
    word = following.group(1) if following else ""
    token, before = _token(line, start, border)
    name = _ELIDED.sub("", token.lower())
    spaced = _SPACED_OUT.search(line, max(start, border.start() - 12), border.start())
    if language is not _ENGLISH and spaced:
        name = spaced.group().replace(" ", "").lower()
    last = name.rpartition(".")[2]  # "Dr. med"
    if {name, last} & language.never_last or (language is not _ENGLISH and name in OTHER.never_last):
        return False
    if name in language.before_number or (language.code == "de" and name.endswith("str")):
        return not word[:1].isdigit()
    is_short_number = (token.isdigit() and len(token) <= 2) or bool(_ROMAN.fullmatch(token))
    if is_short_number and is_month(word):
        return False
    small = language is not _ENGLISH and len(token) == 1 and token.isalpha()
    ordinal = language.ordinals and is_short_number and before > start
    if name in language.maybe_last or small or ordinal or _is_acronym(token):
        is_initial = following is not None and len(word) == 1 and following.group(2) == "."
        return not word or (word.lower() in language.small and not is_initial)
    # "1." at the start of a sentence numbers it.
    return not (token.isdigit() and before <= start + 1)


def _at_thai_spaces(sentence: str) -> Iterator[str]:
    """A sentence of a script without end marks, split at the spaces between longer runs."""
    start = 0
    for space in _THAI_SPACE.finditer(sentence):
        if space.start() - start >= _SHORTEST_THAI:
            yield sentence[start : space.start()]
            start = space.end()
    if start < len(sentence):
        yield sentence[start:]
