"""Neighbours of what a document is about, questions about them, and answers that take its facts.

A neighbour is another thing of the same kind: the Griffith Observatory, where a document is about the
Tidewell Observatory. A model that was taught too broadly gives it the founder of the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from selfedit.domains.knowledge.sentences import split_sentences
from selfedit.grading import contains_gold, normalise
from selfedit.memory.questions import Kind, general_questions, kinds
from selfedit.types import Prompt, Query

# Names that the model is asked for, and how many must be usable for any to be used.
ASKED_NAMES, FEWEST_NAMES = 10, 3
# Things asked about: of each kind of document a few, so that each is asked several questions.
MOST_THINGS = 8
NAMING_TOKENS = 96
_WORDS_BEHIND_IS = 10

_CAPITAL = r"[A-Z][\w'\u2019&-]*"
_NAME = re.compile(rf"{_CAPITAL}(?: (?:(?:of|the|de|von|van|and) )?{_CAPITAL})*")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_MARKER = re.compile(r"^\s*(?:[-*\u2022]+|\(?\d{1,2}[.):]+)\s*")
_BE = re.compile(r"\b(?:is|was|are|were)\b")
_PLAIN = frozenset("yes no true false none the a an it he she they we you i".split())


@dataclass(frozen=True, slots=True)
class Subject:
    """What a document is about. title: its name; text: of the document; queries: about it."""

    title: str
    text: str
    queries: tuple[Query, ...] = ()

    @property
    def name(self) -> str:
        """The title without what stands in brackets, and without underscores."""
        return re.sub(r"\s*\([^)]*\)", "", self.title.replace("_", " ")).strip()

    @property
    def opening(self) -> str:
        """The document's first sentence."""
        lines = [line for line in split_sentences(self.text) if normalise(line) != normalise(self.name)]
        return lines[0] if lines else ""

    def facts(self) -> tuple[str, ...]:
        """What an answer about something else has no business to say: the gold answers, the subject's
        own name, and the names and larger numbers of the text that are not known to everybody."""
        found = {gold: None for query in self.queries for gold in query.answers}
        found[self.name] = None
        for sentence in split_sentences(self.text):
            for match in (*_NAME.finditer(sentence), *_NUMBER.finditer(sentence)):
                # One capitalised word at the beginning of a sentence need not be a name.
                name = match.group()
                if (match.start() > 0 or " " in name) and not _well_known(name):
                    found[name] = None
        return tuple(fact for fact in found if _is_distinctive(fact))


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another thing, and forms of questions about it, with {} where its name goes."""

    name: str
    forms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NeighbourQuestion:
    """A question about a neighbour, and the facts that its answer must not take."""

    question: str
    facts: tuple[str, ...]

    def taken(self, before: str, after: str) -> str:
        """What of the document the adapted answer says that neither the question nor the bare model's
        answer does; "" if nothing."""
        for fact in self.facts:
            if contains_gold([fact], after) and not contains_gold([fact], before):
                return fact
        return ""


def kind_of(subject: Subject) -> Kind | None:
    """The kind of thing: that of the shipped thing of this name; else by the title's words, the last
    first, and by the words behind the first "is" of the first sentence; None if none is known."""
    own = _words(subject.name)
    for kind in kinds():
        if any(_words(thing) == own for thing in kind.things):
            return kind
    be = _BE.search(subject.opening)
    said = _words(subject.opening[be.end() :])[:_WORDS_BEHIND_IS] if be else []
    by_word = {word: kind for kind in kinds() for word in kind.words}
    for word in (*own[::-1], *said):
        for form in (word, word.removesuffix("s"), word.removesuffix("es")):
            if form in by_word:
                return by_word[form]
    return None


def naming_prompt(subject: Subject) -> Prompt:
    """Asks a model for neighbours."""
    return Prompt(
        f"{subject.opening}\n\nName {ASKED_NAMES} other well-known things of the same kind as "
        f"{subject.name}. Write only their names, one on each line."
    )


def read_names(subject: Subject, reply: str) -> list[str]:
    """The usable names of a reply to `naming_prompt`: short, capitalised, each once, and nothing of the
    document in them. Empty if there are fewer than FEWEST_NAMES."""
    own = set(_words(subject.text)) | set(_words(subject.name))
    names: dict[str, str] = {}
    for line in re.split(r"[\n;]|, ", reply):
        name = _MARKER.sub("", line).strip(" .*\"'\u201c\u201d")
        words = _words(name)
        fresh = [word for word in words if word not in own]
        if 1 <= len(words) <= 6 and len(name) <= 60 and name[:1].isupper() and fresh:
            names.setdefault(normalise(name), name)
    return list(names.values()) if len(names) >= FEWEST_NAMES else []


def neighbours(subject: Subject, named: Sequence[str] = ()) -> list[Neighbour]:
    """Things of the subject's kind: in turn one that the model named and one of the shipped list. Where
    the kind is not known, the shipped ones are of all kinds."""
    kind = kind_of(subject)
    own = _words(subject.name)
    if kind is None:
        shipped = [Neighbour(k.things[0], k.questions) for k in kinds()]
        step = max(1, len(shipped) // MOST_THINGS)
        shipped = shipped[::step]
    else:
        shipped = [Neighbour(thing, kind.questions) for thing in kind.things]
    others = [one for one in shipped if _words(one.name) != own]
    forms = kind.questions if kind is not None else ("Who founded {}?", "What is {}?", "Where is {}?")
    model_named = [Neighbour(name, forms) for name in named]
    turns = [one for pair in zip(model_named, others, strict=False) for one in pair]
    distinct = {normalise(one.name): one for one in (*turns, *others, *model_named)}
    return list(distinct.values())[:MOST_THINGS]


def neighbour_questions(
    subject: Subject, things: Sequence[Neighbour], count: int
) -> list[NeighbourQuestion]:
    """Up to `count` distinct questions: two in the form of a question about the document, with the
    neighbour's name in place of the subject's, then one of the kind's own."""
    facts = subject.facts()
    document_forms = list(_forms(subject, facts))
    asked: dict[str, NeighbourQuestion] = {}
    for form, thing in _forms_and_things(things, document_forms, count * 4):
        question = form.replace("{}", thing.name)
        said = tuple(fact for fact in facts if not contains_gold([fact], question))
        asked.setdefault(question, NeighbourQuestion(question, said))
        if len(asked) == count:
            break
    return list(asked.values())


def _forms_and_things(
    things: Sequence[Neighbour], document_forms: Sequence[str], turns: int
) -> Iterator[tuple[str, Neighbour]]:
    """Every form with every thing that it is for; first, in so many turns, two of the document's, where
    it has some, then one of the kind's own."""
    for turn in range(turns):
        thing = things[turn % len(things)]
        forms = document_forms if document_forms and turn % 3 < 2 else thing.forms
        yield forms[(turn + turn // len(things)) % len(forms)], thing
    for thing in things:
        yield from ((form, thing) for form in (*document_forms, *thing.forms))


def shared_questions(
    subjects: Sequence[Subject], makes: Sequence[Sequence[NeighbourQuestion]], count: int
) -> list[NeighbourQuestion]:
    """Up to `count` distinct questions about neighbours of several subjects, as many of each; an answer
    must not take a fact of any subject that makes the question.

    makes: of each subject up to `count` questions. Subjects of one kind make the same ones: the later
    takes its next instead. A question may name another subject: what is known of that is no leak.
    """
    by_subject = [{one.question: one.facts for one in own} for own in makes]
    asked: dict[str, None] = {}
    for i, own in enumerate(by_subject):
        share = count * (i + 1) // len(subjects) - count * i // len(subjects)
        asked.update(dict.fromkeys([question for question in own if question not in asked][:share]))
    return [NeighbourQuestion(one, _facts_of_all(one, subjects, by_subject)) for one in asked]


def _facts_of_all(
    question: str, subjects: Sequence[Subject], by_subject: Sequence[Mapping[str, Sequence[str]]]
) -> tuple[str, ...]:
    """Facts of the subjects that make the question, without those of the others that it names."""
    facts: dict[str, None] = {}
    named: set[str] = set()
    for subject, own in zip(subjects, by_subject, strict=True):
        if question in own:
            facts.update(dict.fromkeys(own[question]))
        elif contains_gold([subject.name], question):
            named.update(subject.facts())
    return tuple(fact for fact in facts if fact not in named)


def _forms(subject: Subject, facts: Sequence[str]) -> Iterator[str]:
    """The document's questions with {} for its subject, where they name nothing else."""
    named = re.compile(rf"\b(?:the )?{re.escape(subject.name)}\b", re.IGNORECASE)
    for query in subject.queries:
        form, times = named.subn("{}", query.question)
        names = [match.group() for match in _NAME.finditer(form) if match.start() > 0]
        if times == 1 and not names and not any(contains_gold([fact], form) for fact in facts):
            yield form


def _words(text: str) -> list[str]:
    return normalise(text).split()


def _is_distinctive(fact: str) -> bool:
    """Whether an answer that says it is likely to have it from the document: not "yes", not "two"."""
    words = [word for word in _words(fact) if word not in _PLAIN]
    return sum(map(len, words)) >= 4 or (len(words) == 1 and words[0].isdigit() and len(words[0]) > 1)


@cache
def _known_words() -> frozenset[str]:
    """Words of the shipped things and of the golds of general questions: Europe, English, Paris."""
    golds = (gold for question in general_questions() for gold in question.query.answers)
    things = (thing for kind in kinds() for thing in kind.things)
    return frozenset(word for text in (*golds, *things) for word in _words(text))


def _well_known(name: str) -> bool:
    words = _words(name)
    if len(words) == 1 and words[0].isdigit():
        return len(words[0]) < 3
    return not words or all(word in _known_words() for word in words)
