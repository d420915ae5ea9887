"""Words, as the fitted grader sees them: numbers by value, stems, names, sentences.

"1.2 million" and "1,200,000" are the same number; "13th", "thirteen" and "XIII" are 13; "mediating" and
"mediator" have the same stem; "B.C.E." is "bc". English only: other languages are compared as written.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from selfedit.grading.numerals import ORDINALS, SCALES, SMALL, TENS

_WORD = re.compile(
    r"\d[\d,]*(?:\.\d+)?(?:st|nd|rd|th|s)?\b|[^\W\d_]+\d*|\d+|[.!?](?=\s|$)|[\n%\u20ac$\u00a3]"
)
_NUMBER = re.compile(r"(\d[\d,]*(?:\.\d+)?)(?:st|nd|rd|th|s)?$")
_INITIALS = re.compile(r"\b(?:[^\W\d_]\.){2,}")
_POSSESSIVE = re.compile(r"(?<=\w)['\u2019]s?\b")
_CLOCK = re.compile(r"(?<=\d):(?=\d)")
_DECIMAL_COMMA = re.compile(r"(?<![\d,.])(\d{1,2}),(\d{1,2})(?![\d,])")
_ROMAN = {"ii": 2.0, "iii": 3.0, "iv": 4.0, "vi": 6.0, "vii": 7.0, "viii": 8.0, "ix": 9.0, "xi": 11.0,
          "xii": 12.0, "xiii": 13.0, "xiv": 14.0, "xv": 15.0, "xvi": 16.0}  # fmt: skip

_SMALL = {word: float(value) for word, value in (*SMALL.items(), *TENS.items())}
_SMALL |= {word: float(value) for word, value in ORDINALS.items() if 1 < value <= 20}
_SMALL |= {"once": 1.0, "twice": 2.0, "dozen": 12.0}
_SCALES = {word: SCALES[word] for word in "hundred thousand million billion trillion".split()}

_SAME = {
    "bce": "bc", "percent": "%", "percentage": "%", "dollar": "$", "dollars": "$", "usd": "$",
    "euro": "\u20ac", "euros": "\u20ac", "pound": "\u00a3", "pounds": "\u00a3", "jan": "january",
    "feb": "february", "aug": "august", "sept": "september", "oct": "october", "nov": "november",
    "dec": "december", "approximately": "about", "roughly": "about", "around": "about",
    "nearly": "about", "almost": "about", "circa": "about", "tv": "television",
    "ww2": "wwii", "film": "movie", "films": "movie", "colour": "color",
}  # fmt: skip

# Words for a country's people and language count as the country. Listed only where the stems differ:
# "Italian" and "Italy" share one.
_COUNTRIES = {
    form: country
    for country, forms in (
        ("us", "usa america american americans"), ("uk", "britain british britons"),
        ("germany", "german germans"), ("france", "french frenchman"), ("spain", "spanish spaniards"),
        ("netherlands", "dutch holland"), ("denmark", "danish danes"), ("sweden", "swedish swedes"),
        ("norway", "norwegian norwegians"), ("finland", "finnish finns"), ("poland", "polish poles"),
        ("turkey", "turkish turks"), ("greece", "greek greeks"), ("scotland", "scottish scots"),
        ("ireland", "irish"), ("wales", "welsh welshman"), ("england", "english englishman"),
        ("portugal", "portuguese"), ("switzerland", "swiss"), ("china", "chinese"),
        ("czechia", "czech"),
        ("japan", "japanese"), ("thailand", "thai"), ("philippines", "filipino filipinos"),
        ("peru", "peruvian"), ("mexico", "mexican"), ("chile", "chilean"), ("iraq", "iraqi iraqis"),
        ("hungary", "hungarian hungarians"), ("belgium", "belgian"), ("lebanon", "lebanese"),
        ("israel", "israeli israelis"), ("ussr", "soviet soviets"), ("jews", "jewish jew"),
        ("islam", "muslim muslims islamic"), ("christianity", "christian christians"),
    )
    for form in forms.split()
}  # fmt: skip
_SAME |= _COUNTRIES

# Expressions of several words, replaced by one word before the text is split.
_PHRASES = tuple(
    (re.compile(rf"\b(?:{pattern})\b"), word)
    for pattern, word in (
        (r"[Uu]nited [Ss]tates(?: of [Aa]merica)?", "US"),
        (r"[Uu]nited [Kk]ingdom|Great Britain", "UK"),
        (r"Soviet Union", "USSR"),
        (r"World War (?:II|Two|2)|Second World War", "WWII"),
        (r"World War (?:I|One|1)|First World War", "WWI"),
        (r"[Mm]iddle [Aa]ges|[Mm]edia?eval (?:[Pp]eriod|[Ee]ra|[Tt]imes)", "medieval"),
    )
)

STOP = frozenset(
    "one a an the of to in on at by for from with as and or is are was were be been being it its this "
    "that these those which who whom whose what when where why how do does did done has have had "
    "having their his her they them he she i you we our your my than then there also into onto about "
    "can could will would shall should may might must very more most some any such s t both each "
    "other only just so if while during through between among over under within ce ad".split()
)
NEGATIONS = frozenset(
    "not no never none neither nor without cannot isn don doesn didn wasn aren weren hasn haven hadn "
    "won wouldn couldn unable unlike false incorrect lack lacks lacked fail failed".split()
)

_SUFFIXES = (
    "ization isation ational fulness ousness iveness ations ation ition ments ment ances ance ences "
    "ence ities ity ives ive ating izing ising ized ised izes ize ise ators ator ations ables able "
    "ibles ible ically ical ics ic ians ian ism ists ist ness ions ion ings ing edly ed ers er ors or "
    "als al ous ies y ily ly es s e ants ant ents ent ates ated ate ese an ans"
).split()
_SUFFIXES.sort(key=lambda suffix: (-len(suffix), suffix))
_SHORTEST_STEM = 4
_MOST_DIGITS = 20  # longer ones are compared as written


@dataclass(frozen=True, slots=True)
class Word:
    """text: lower case. stem: what is compared. number: its value, if it is one. name: capitalised."""

    text: str
    stem: str
    number: float | None
    name: bool
    sentence: int
    acronym: bool = False

    @property
    def content(self) -> bool:
        return self.text not in STOP


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """The word without its endings, of at least four letters ("mediator" and "mediating": "medi")."""
    if len(word) <= _SHORTEST_STEM:
        return word[:-1] if len(word) == 4 and word[-1] == "s" and word[-2] not in "su" else word
    changed = True
    while changed:
        changed = False
        for suffix in _SUFFIXES:
            if word.endswith(suffix) and len(word) - len(suffix) >= _SHORTEST_STEM:
                word = word[: -len(suffix)]
                changed = True
                break
    return word


@lru_cache(maxsize=1 << 16)
def similarity(left: str, right: str) -> float:
    """Of two stems, in [0, 1]: 1 if equal, else by their common beginning and their bigrams."""
    if left == right:
        return 1.0
    if left[:2] != right[:2] or min(len(left), len(right)) < 4 or left[0].isdigit():
        return 0.0
    common = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        common += 1
    by_prefix = common / max(len(left), len(right)) if common >= 4 else 0.0
    if common >= 4 and common == min(len(left), len(right)):
        by_prefix = max(by_prefix, 0.8)
    left_pairs = {left[i : i + 2] for i in range(len(left) - 1)}
    right_pairs = {right[i : i + 2] for i in range(len(right) - 1)}
    dice = 2 * len(left_pairs & right_pairs) / (len(left_pairs) + len(right_pairs))
    best = max(by_prefix, dice)
    return best if best >= 0.5 else 0.0


def words(text: str) -> list[Word]:
    """The words of a text, numbers read, in order."""
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text))
    text = "".join(c for c in text if not unicodedata.combining(c)) if not text.isascii() else text
    for pattern, word in _PHRASES:
        text = pattern.sub(word, text)
    text = _INITIALS.sub(lambda match: match[0].replace(".", ""), text)
    text = _DECIMAL_COMMA.sub(r"\1.\2", _CLOCK.sub(" ", _POSSESSIVE.sub("", text)))
    found: list[Word] = []
    sentence = 0
    starts = True
    for raw in _WORD.findall(text):
        if raw in ".!?\n":
            sentence += not starts
            starts = True
            continue
        found.append(_word(raw, starts, sentence))
        starts = False
    return _join_numbers(found)


def _word(raw: str, starts: bool, sentence: int) -> Word:
    low = raw.lower()
    low = _SAME.get(low, low)
    if low[0].isdigit():
        match = _NUMBER.match(low)
        value = float(match[1].replace(",", "")) if match and len(match[1]) <= _MOST_DIGITS else None
        return Word(low, low if value is None else _spelled(value), value, False, sentence)
    if low in _SMALL and (starts or not raw[0].isupper()):
        return Word(low, _spelled(_SMALL[low]), _SMALL[low], False, sentence)
    if low in _ROMAN and raw.isupper():
        return Word(low, _spelled(_ROMAN[low]), _ROMAN[low], True, sentence)
    name = raw[0].isupper() and (not starts or raw[1:].isupper())
    return Word(low, stem(low), None, name, sentence, acronym=raw.isupper() and 1 < len(raw) < 6)


def _spelled(value: float) -> str:
    return f"{value:.15g}"


def _join_numbers(found: list[Word]) -> list[Word]:
    """ "twenty", "five" to 25; "1.2", "million" to 1200000."""
    joined: list[Word] = []
    for word in found:
        last = joined[-1] if joined else None
        scale = _SCALES.get(word.text) or _SCALES.get(word.text.rstrip("s"))
        value: float | None = None
        if scale is not None:
            value = scale
            if last is not None and last.number is not None and last.number < scale:
                value = last.number * scale
                joined.pop()
        elif word.number is not None and last is not None and last.number is not None:
            tens = last.text in TENS and 0 < word.number < 10 and word.text in _SMALL
            if tens:
                value = last.number + word.number
                joined.pop()
        if value is None:
            joined.append(word)
        else:
            joined.append(Word(_spelled(value), _spelled(value), value, False, word.sentence))
    return joined
