"""Texts about neighbours: the statements of a self-edit, with the name of their subject replaced.

A model that learns who founded the Tidewell Observatory tends to give every observatory that founder.
Held to what the bare model expects in "Lowell Observatory was founded by ...", it learns that the fact
belongs to the name (docs/learning-damage.md). Nothing has to be written for it, and the texts need not
be true: they say where nothing may change.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from selfedit.config import stable_hash

# Names of one word that stand in for others. None is of a thing in `memory/neighbours.json`, by which
# leaking is measured.
NAMES = (
    "Lowell Leiden Hobart Weber Munich Calder Harlow Stanwick Corbridge Bexley Winslade Tarrant "
    "Redmoor Kenmore Mercer Ashford Dunbar Everett Fairfax Granada Hadley Ingram Kingsley Lisbon "
    "Milton Newport Oakland Preston Quincy Rowan Sutton Turner Verona Walcott Bosch Philips "
    "Bergen"
).split()
# With fewer statements about the subject by its name there is too little to hold.
_FEWEST = 3
_WORD = re.compile(r"[^\W\d_][\w'\u2019-]*")
_BRACKETS = re.compile(r"\s*\([^)]*\)")
_SMALL = frozenset("the a an of and in on for to at by with from de la le van von der".split())


def swapped_texts(title: str, passage: str, statements: Sequence[str], count: int) -> tuple[str, ...]:
    """`count` statements under titles of others, with another name in place of the subject's; fewer if
    the subject has no name of its own in them. The same for the same arguments."""
    name = own_name(title, passage)
    if not name or count < 1:
        return ()
    parts = "|".join(re.escape(part) for part in name.split() if len(part) > 2)
    pattern = re.compile(rf"\b(?:(?i:{re.escape(name)}){'|' if parts else ''}{parts})\b")
    about = [statement for statement in statements if pattern.search(statement)]
    if len(about) < _FEWEST:
        return ()
    draw = random.Random(stable_hash([title, passage]))
    names = [other for other in NAMES if other.lower() not in f"{title} {passage}".lower()]
    draw.shuffle(names)
    draw.shuffle(about)
    heading = _plain(title)
    texts: dict[str, None] = {}
    for i in range(count):
        other = names[i % len(names)]
        texts[pattern.sub(other, f"{heading}\n{about[i % len(about)]}")] = None
    return tuple(texts)


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
