"""Common English synonyms: a short list, written by hand, compared by stem.

It is not a dictionary. A word may be in several groups, and stems include further forms of a word
("modified", "modification").
"""

from __future__ import annotations

from functools import cache

from selfedit.grading.words import stem

_GROUPS = """
decrease decline reduce fall drop lessen diminish shrink dwindle lower
increase rise grow expand climb surge gain
change modify alter amend update revise adjust
start begin commence launch
finish end conclude terminate
stop halt cease
agriculture farm agricultural
job employment occupation
worker labourer laborer employee
labor labour
build construct erect
kill murder assassinate slay
buy purchase acquire
big large huge great vast enormous massive substantial
small little tiny
fast quick rapid swift
film movie
car automobile
doctor physician
teacher instructor
show display exhibit
make produce manufacture create
found establish
choose select pick
help assist aid
need require
permit allow authorise authorize
forbid prohibit ban outlaw disallow
get receive obtain
give provide supply offer grant
use utilise utilize employ
fight battle combat
attack assault raid
defeat beat conquer vanquish
win triumph victory
live reside dwell inhabit
die death perish
disease illness sickness
religion faith
king monarch
world global worldwide international
money fund financial monetary
price cost
cheap inexpensive affordable
expensive costly
rich wealthy affluent
poor impoverished poverty
law legislation act statute
weapon arm
army military troops
ship vessel boat
mountain mount
sea ocean
important significant crucial vital essential key
main primary chief principal
famous renowned celebrated
same identical
near close
old ancient
new recent modern
child kid
freedom liberty free
independence independent sovereignty
rebellion revolt uprising insurrection rebel
riot unrest
agreement treaty pact accord
refuse reject decline
keep retain maintain preserve
protect defend safeguard
destroy demolish ruin
damage harm hurt
injure wound
divide split separate
join unite merge combine
study research
answer reply respond
name call
teach instruct educate
school education
write author
newspaper press
picture image
song tune
singer vocalist
game match
prize award
weak feeble
fuel gasoline petrol
rain rainfall precipitation
dry arid
earthquake quake
yearly annual
east eastern
west western
north northern
south southern
remove eliminate abolish
replace substitute
avoid prevent
result outcome consequence
reason cause
aim goal purpose objective
method way means technique
kind type sort
part portion section
border boundary frontier
travel journey trip
transport transportation
move relocate
leave depart
arrive reach
send dispatch
estimate guess
whole entire complete total
common frequent usual widespread
rare scarce uncommon
wrong incorrect false
right correct
easy simple
difficult hard
safe secure
dangerous hazardous risky
danger risk hazard threat
secret hidden covert
"""


@cache
def groups(word_stem: str) -> frozenset[int]:
    """The numbers of the groups that a stem (`words.stem`) belongs to."""
    return _index().get(word_stem, frozenset())


@cache
def _index() -> dict[str, frozenset[int]]:
    found: dict[str, set[int]] = {}
    for number, line in enumerate(_GROUPS.strip().splitlines()):
        for word in line.split():
            found.setdefault(stem(word), set()).add(number)
    return {own: frozenset(numbers) for own, numbers in found.items()}
