"""Texts about neighbours: the statements of a self-edit, with the name of their subject replaced.

A model that learns who founded the Tidewell Observatory tends to give every observatory that founder.
Held to what the bare model expects in "Leiden Library was founded by ...", it learns that the fact
belongs to the name (docs/learning-damage.md). Nothing has to be written for it, and the texts need not
be true: they say where nothing may change.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from functools import partial

from selfedit.config import stable_hash

# Names of other things, each of two words or more. None is of a thing in `memory/neighbours.json`, by
# which leaking is measured. Names of another kind are the easier lesson; those of the subject's kind
# say what matters in a name (docs/learning-damage.md).
NAMES = (
    "Hobart Dish Washer",
    "Caterpillar Bulldozer",
    "Ford Tractor",
    "Leiden Library",
    "Mercer Bridge",
    "Calder Canal",
    "Bergen Railway",
    "Oakland Stadium",
    "Preston Cinema",
    "Verona Opera House",
    "Lisbon Tramway",
    "Hadley Sawmill",
    "Bexley Hospital",
    "Quincy Market",
    "Sutton Brewery",
    "Kenmore Hotel",
    "Dunbar Castle",
    "Fairfax Gazette",
    "Granada Theatre",
    "Walcott Pottery",
    "Philips Radio",
    "Bosch Drill",
    "Ingram Watch",
    "Kingsley Cup",
    "Munich Zoo",
    "Stanwick Orchestra",
    "Ashford College",
    "Rowan Bakery",
    "Turner Prize",
    "Weber Grill",
    "Milton Post Office",
    "Newport Regatta",
)
# With fewer statements about the subject by its name there is too little to hold.
_FEWEST = 3
_WORD = re.compile(r"[^\W\d_][\w'\u2019-]*")
_BRACKETS = re.compile(r"\s*\([^)]*\)")
_SMALL = frozenset("the a an of and in on for to at by with from de la le van von der".split())


def swapped(
    title: str, passage: str, statements: Sequence[str], count: int
) -> tuple[tuple[str, str], ...]:
    """(another's name, a statement about it in place of the subject), `count` of them; fewer if the
    subject has no name of its own in the statements. The same for the same arguments.

    The whole title is replaced by the whole name, the title's own part alone by the name's first word.
    Every second name is of the subject's kind: the title, with another's first word for its own part.
    """
    own, heading = own_name(title, passage), _plain(title)
    if not own or count < 1:
        return ()
    whole = re.escape(heading)
    parts = "|".join(re.escape(part) for part in (own, *own.split()) if len(part) > 2)
    pattern = re.compile(rf"\b(?:(?P<whole>(?i:{whole}))|{parts})\b")
    about = [statement for statement in statements if pattern.search(statement)]
    said = set(f"{title} {passage}".lower().split())
    names = [other for other in NAMES if said.isdisjoint(other.lower().split())]
    if len(about) < _FEWEST or not names:
        return ()
    draw = random.Random(stable_hash([title, passage]))
    draw.shuffle(names)
    draw.shuffle(about)
    found: dict[tuple[str, str], None] = {}
    for i in range(count):
        other = names[i % len(names)]
        if i % 2:
            other = heading.replace(own, other.split(maxsplit=1)[0])
        found[other, pattern.sub(partial(_renamed, other), about[i % len(about)])] = None
    return tuple(found)


def _renamed(other: str, match: re.Match[str]) -> str:
    return other if match["whole"] else other.split(maxsplit=1)[0]


def own_name(title: str, passage: str) -> str:
    """The part of a title that is the subject's alone: "Tidewell" of the Tidewell Observatory.

    The first run of capitalised words, without those that the passage also uses as common nouns: in
    lower case ("the observatory") or, behind a name, with an article ("the Festival"). Of a run that
    has no common noun, the last word is taken for one unless it stands alone elsewhere, as a family
    name does. "" if the title has no such word.
    """
    found: list[str] = []
    for match in _WORD.finditer(_plain(title)):
        word = match.group()
        if word.lower() in _SMALL or not word[0].isupper() or _is_common(word, passage, bool(found)):
            if found:
                return " ".join(found)
            continue
        found.append(word)
    if len(found) > 1 and not _stands_alone(found, passage):
        found.pop()
    return " ".join(found)


def _plain(title: str) -> str:
    return _BRACKETS.sub("", title.replace("_", " ")).strip()


def _is_common(word: str, passage: str, behind_a_name: bool) -> bool:
    """A name itself may have an article, as the Bronx has; a word behind one that has is no name."""
    stem = re.escape(word.removesuffix("s"))
    lower = rf"\b{stem[0].lower()}{stem[1:]}(?:e?s)?\b"
    article = rf"\b(?:[Tt]he|[Aa]n?|[Tt]his|[Ee]very|[Ee]ach) {stem}(?:e?s)?\b(?! [A-Z])"
    return bool(re.search(lower, passage) or (behind_a_name and re.search(article, passage)))


def _stands_alone(words: Sequence[str], passage: str) -> bool:
    """Whether the last word is used without the one before it."""
    before, last = (re.escape(word) for word in words[-2:])
    return bool(re.search(rf"(?<!\b{before} )\b{last}\b", passage))
