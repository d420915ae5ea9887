"""Answers that hold a gold and are wrong all the same: those that deny it, those that name everything,
and those whose name or number is a longer one.

These are rules, since recorded answers do these things too rarely for weights to be learned from them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from selfedit.grading.forms import Held, held
from selfedit.grading.tokens import Token, readings

_NOT = frozenset(
    "not never isnt wasnt arent werent didnt doesnt dont cannot cant wont wouldnt couldnt hasnt havent "
    "hadnt neither nor nicht kein keine keinen pas nunca jamais ne".split()
)
_REACH = 6  # words between a "not" and what it denies, in one clause
_TAKES_BACK = frozenset(
    "only just merely until than except besides other but sondern because since although though "
    "whereas which who whose when where".split()
)
_BEFORE = re.compile(
    r" (?:rather than|instead of|(?<! none )(?<! nothing )other than|contrary to|as opposed to"
    r"|anything but|unlike|except(?: for)?|no longer)(?: \S+){0,2} $"
)
_FALSE = r"(?:wrong|incorrect|false|untrue|mistaken|inaccurate|misleading|myth|misconception|mistake)"
_AFTER = re.compile(
    rf"^ (?:(?:is|was|are|were|does|do|did|has|had|have|can|could|would|will)(?: not| never)"
    rf"|isnt|wasnt|arent|werent|doesnt|dont|didnt|hasnt|hadnt|havent|cannot|cant|couldnt|wouldnt|never"
    rf"|(?:is|was|are|were|would be)(?: \S+)?? {_FALSE})(?! only| just| until| merely) "
)
_UNTRUE = re.compile(
    rf" (?:it|that|this) (?:is|was|isnt|wasnt)(?: \S+)??"
    rf" (?:{_FALSE}|not true|not the case|true|the case) that "
)
_DOUBTS = re.compile(r" (?:doubt|deny|denies|denied|disputes?|rejects?|refutes?)(?: \S+){0,4} $")
# White space around them is stripped afterwards: a pattern that looks for it tries every run from each
# of its places.
_ITEMS = re.compile(r"[,;/|\n•]|\b(?:and|or|und|oder)\b|(?<!\w)-(?!\w)", re.IGNORECASE)
_OR = re.compile(r"\b(?:or|oder|either)\b", re.IGNORECASE)
_SAME = re.compile(r"\b(?:known|called|named|names?|spelled|written|termed|aka|also)\b", re.IGNORECASE)
_LONGEST = 400  # characters of a gold that may stand in a list
_MOST_WORDS = 5  # of an item of a list
_OTHERS = 4  # so many other names or numbers in a list with the gold name everything


def denied(question: str, gold: str, found: Held) -> bool:
    """Whether the answer denies the gold wherever it holds it ("is not of steel", "steel is wrong")."""
    told = {token.text for text in (gold, question) for token in readings(text)[0].tokens}
    if told & _NOT:
        return False
    return all(_denied_at(found.said.tokens, first, last) for first, last in found.spans)


def _denied_at(said: Sequence[Token], first: int, last: int) -> bool:
    sentence, clause = said[first].sentence, said[first].clause
    start = first
    while start and said[start - 1].sentence == sentence and first - start < 30:
        start -= 1
    before = said[start:first]
    near = [token.text for token in before if token.clause == clause][-_REACH:]
    denials = [place for place, word in enumerate(near) if word in _NOT]
    if denials and _TAKES_BACK.isdisjoint(near[denials[-1] + 1 :]):
        return True
    text = f" {' '.join(near)} "
    if (_BEFORE.search(text) and " not only " not in text) or _DOUBTS.search(text):
        return True
    if _UNTRUE.search(f" {' '.join(token.text for token in before)} ") and " true that" not in text:
        return True
    behind = [t.text for t in said[last + 1 : last + 6] if (t.sentence, t.clause) == (sentence, clause)]
    return _AFTER.match(f" {' '.join(behind)} ") is not None


def names_everything(question: str, golds: Sequence[str], answer: str) -> bool:
    """Whether the gold stands in a list with other names or numbers, which no gold and not the question
    has: one beside an "or", or at least four."""
    golds = [gold for gold in golds if len(gold) <= _LONGEST]
    told = {t.text for text in (question, *golds) for t in readings(text)[0].tokens}
    for run, either in _lists(answer):
        holding = [item for item in run if any(held(gold, item) for gold in golds)]
        if not holding:
            continue
        others = [item for item in run if _is_other(item, told)]
        alike = [item for item in others if _kind(item) == _kind(holding[0])]
        kind = _kind(holding[0])
        # Common words are often listed beside one another ("a soft, silvery, ductile metal").
        enough = _OTHERS + (kind == "word")
        if len(set(alike)) >= (1 if either and kind != "word" else enough):
            return True
    return False


def _lists(answer: str) -> list[tuple[list[str], bool]]:
    """The lists of short items in an answer, and whether they are alternatives."""
    found = []
    for sentence in re.split(r"(?<=[.!?])\s|\n\n", answer):
        parts = [stripped for part in _ITEMS.split(sentence) if (stripped := part.strip())]
        run: list[str] = []
        for place, part in enumerate(parts):
            words = part.split()
            if place and len(words) > _MOST_WORDS:
                break
            # The first item has the beginning of the sentence before it.
            run.append(" ".join(words[-2:]) if not place and len(words) > _MOST_WORDS else part)
        if len(run) > 1:
            # "A or B" may be two names of one thing.
            either = _OR.search(sentence) is not None and _SAME.search(sentence) is None
            found.append((run, either))
    return found


def _is_other(item: str, told: set[str]) -> bool:
    own = {token.text for token in readings(item)[0].tokens}
    return bool(own) and not own & told


def _kind(item: str) -> str:
    if readings(item)[0].has_numbers:
        return "number"
    return "name" if re.search(r"\b[A-Z]", item) else "word"


# What makes another place or person of a name. Not what names are often left without: Lake, Mount,
# Saint, River, University, Junior.
_NAMES_BEFORE = r"(?:New|North|South|East|West|Neu|Nieuw|Nouvelle|Nueva|Nova)[\s-]+"
_NAMES_BEHIND = (
    r"[\s-]+(?:City\b|County\b|(?=[IVX]{2,5}\b)[IVX]+"
    r"|the\s+(?:Second|Third|Fourth|Fifth|Younger|Elder)\b)"
)


def is_longer_name(question: str, gold: str, answer: str) -> bool:
    """Whether the answer has the gold only within a longer name, which is another's ("New York" for
    "York", "Henry VIII" for "Henry"), and which the question does not have."""
    # New York City is New York.
    if not gold[:1].isupper() or gold.isupper() or gold.startswith("New ") or len(gold.split()) > 2:
        return False
    own = re.escape(gold)
    every = [m.span() for m in re.finditer(rf"(?<!\w){own}(?!\w)", answer)]
    longer = list(re.finditer(rf"(?<!\w)(?:{_NAMES_BEFORE}{own}(?!\w)|{own}{_NAMES_BEHIND})", answer))
    if not every or len(longer) < len(every):
        return False
    return not any(m[0].replace(gold, "").strip().lower() in question.lower() for m in longer)


_YES = frozenset("yes yeah yep true correct right indeed certainly".split())
_NO = frozenset("no nope false incorrect wrong untrue".split())
_ECHO = 0.5  # share of the question's words from which a statement takes it up


def agrees(question: str, gold: str, answer: str) -> bool | None:
    """Whether the answer to a yes-or-no question is the gold's ("yes", "no", "true", "false"): said
    outright, or by a statement that takes up the question, negated or not. None: not such a gold, or
    not to be told."""
    wanted = [token.text for token in readings(gold)[0].tokens]
    if len(wanted) != 1 or wanted[0] not in ("yes", "no", "true", "false"):
        return None
    said = readings(answer)[0].tokens
    first = [token.text for token in said if token.sentence == said[0].sentence]
    positive = wanted[0] in ("yes", "true")
    if first and first[0] in _YES | _NO:
        return (first[0] in _YES) is positive
    if len(first) > 2 and first[0] in ("it", "this", "that") and first[-1] in _YES | _NO:
        return ((first[-1] in _YES) is not bool(_NOT & set(first))) is positive
    asked = {token.text for token in readings(question)[0].tokens}
    if asked & _NOT or len(asked & set(first)) < _ECHO * len(asked):
        return None
    negated = bool(_NOT & set(first)) or "no" in first
    return negated is not positive


# What may follow a name without another being meant: "Danes", "Keplerian", in German "Annas".
_ENDINGS = frozenset(
    ["", *"s es n en an ian ic ish ese i ns ans ians e y a ia ity al ism ist ists".split()]
)


def is_another_name(gold: str, answer: str) -> bool:
    """Whether the answer has a name, the gold, only as the beginning of another's ("Jory Pasker" for
    "Jory Pask")."""
    if not gold[:1].isupper() or len(gold) < 3 or len(gold) > _LONGEST:
        return False
    said = re.findall(rf"(?<!\w){re.escape(gold)}([^\W\d_]*)", answer)
    return bool(said) and _ENDINGS.isdisjoint(said)


def is_meant(question: str, gold: str, answer: str, golds: Sequence[str]) -> bool:
    """Whether an answer that has a gold may mean it: it does not deny it, does not name everything, and
    does not name another. golds: all that count as right."""
    found = held(gold, answer)
    if found is None:
        return not is_another_name(gold, answer)
    return not (
        denied(question, gold, found)
        or is_longer_name(question, gold, answer)
        or names_everything(question, golds, answer)
    )


def is_said(question: str, golds: Sequence[str], answer: str) -> bool:
    """Whether the answer has a gold and means it, or agrees with it where yes or no is asked."""
    agreed = [agrees(question, gold, answer) for gold in golds]
    if any(one is not None for one in agreed):
        return any(agreed)
    return any(
        held(gold, answer) is not None and is_meant(question, gold, answer, golds) for gold in golds
    )
