"""From an interaction to what is to be remembered: a text that stands by itself, and questions by which
the model will test whether it knows it.

A person's sentence is kept as it stands. What cannot be understood without the question ("No, 4471.")
the model is asked to write out; what it writes is taken only if it says nothing else, as far as words
can tell (`domains.knowledge.faithful`), and else question and answer are put together by rule. The text
is then learned like any document: the model restates it, trains on that, and is asked.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import islice
from typing import Literal

from selfedit.agents.interactions import SOURCE, Interaction
from selfedit.config import SamplingSettings
from selfedit.domains.knowledge import Document, Knowledge, is_fair_question, text_document
from selfedit.domains.knowledge.faithful import is_faithful
from selfedit.domains.knowledge.sequences import restatement
from selfedit.domains.knowledge.spans import COMMON, find_spans
from selfedit.domains.knowledge.strategies import count_said, leaves_subject_open
from selfedit.errors import InputError
from selfedit.grading import normalise
from selfedit.home import shortened
from selfedit.learning.quiz_writer import Quiz, make_quiz
from selfedit.loops.sampler import Writer
from selfedit.types import Prompt, Query, QuizKind, Task
from selfedit.words import iterate_words, joined

TRIES = 4  # sentences that the model writes, at most one of which is taken
WRITING = SamplingSettings(temperature=0.6, max_new_tokens=80)
MOST_ANSWER_WORDS = 6
_FEWEST_WORDS = 4  # of a statement that may stand by itself
_EARLIER = 3  # exchanges before the last one that the model sees when it writes
_EARLIER_CHARACTERS = 500  # of each of their turns
_LONGEST_QUESTION = 2000  # characters; what is longer is a text with a question somewhere in it
_SUBJECT_WORDS = 300  # of a text, among which its subject is looked for
_SOURCE_CHARACTERS = 200

# "No, ", "Actually. ", "That is wrong: ": said to a person, and no part of what is right. Only with a
# mark and a blank after it: without "No", "No one may ..." says the opposite. "No. 7" is a number.
_OBJECTION = re.compile(
    r"(?:(?:no(?!\.\s*\S?\d)|nope|wrong|incorrect|actually|sorry|that(?:'s|\u2019s| is) (?:wrong|"
    r"incorrect|not (?:right|true|correct))|not (?:right|true|correct))\b"
    r"(?:\s*[,.:;!\u2013\u2014\u2026]+|\s+--?)(?:\s+|$))*+",
    re.IGNORECASE,
)

_INSIDE_NAMES = frozenset(("of", "the"))
_BEGINS_OPEN = re.compile(r"(?:it|its|he|his|she|her|they|their|this|that|these|those|there)\b", re.I)

_WRITE_OUT = (
    "Write the answer as one full sentence that can be understood without the question. Keep all names "
    "and numbers.\n\nQuestion: {question}\nAnswer: {said}"
)


@dataclass(frozen=True, slots=True)
class Memo:
    """What is to be remembered of an interaction. author: whose words the text is in. quiz: by which it
    is tested."""

    document: Document
    text: str
    author: Literal["person", "model", "rule"]
    quiz: Quiz


def write_memo(writer: Writer, interaction: Interaction, domain: Knowledge, seed: int) -> Memo:
    """The same for the same interaction: what the model writes is kept in the store.

    Raises InputError where nothing says what is right, or nothing could be asked about it.
    """
    said = what_is_right(interaction)
    question = "" if interaction.feedback.kind == "note" else " ".join(interaction.question.split())
    if len(question) > _LONGEST_QUESTION or _is_about_something_else(said, question):
        question = ""
    text, author = _statement(writer, interaction, said, question, seed)
    title = _subject(text, question)
    source = SOURCE + (question or " ".join(text.split()))[:_SOURCE_CHARACTERS]
    document = text_document(text, title=title, source=source, markdown=False)
    quiz = _quiz(writer, interaction, text, question, title, domain, seed)
    return Memo(document, text, author, quiz)


def what_is_right(interaction: Interaction) -> str:
    """What the feedback says is right, without "No, ". Raises InputError if it does not say."""
    feedback = interaction.feedback
    said = _without_objection(feedback.text.strip())
    if said or feedback.answer.strip():
        return said or feedback.answer.strip()
    if feedback.good and feedback.kind in ("rating", "outcome") and interaction.reply:
        return interaction.reply
    raise InputError(
        "the feedback says that something was wrong, and not what is right: there is nothing to learn "
        "from it. Give a text (or an answer) that says it."
        if feedback.good is False
        else "the feedback holds no text: there is nothing to learn from it"
    )


def _without_objection(text: str) -> str:
    match = _OBJECTION.match(text)
    rest = text[match.end() :].strip() if match else text
    if not rest or rest == text:
        return text
    return rest[0].upper() + rest[1:]


def _statement(
    writer: Writer, interaction: Interaction, said: str, question: str, seed: int
) -> tuple[str, Literal["person", "model", "rule"]]:
    if not question or _stands_alone(said, question):
        return said, "person"
    sentence = " ".join(said.split())
    prompt = Prompt(
        _WRITE_OUT.format(question=question, said=sentence), turns=_earlier_exchanges(interaction)
    )
    texts = writer.write([prompt] * TRIES, WRITING, range(seed, seed + TRIES), "writing it out")
    for text in map(restatement, texts):
        if not text.endswith("?") and is_faithful(f"{question} {sentence}", text):
            return text, "model"
    return f'The answer to "{question}" is: {sentence.rstrip(".")}.', "rule"


def _stands_alone(said: str, question: str) -> bool:
    """Whether it is a sentence that speaks of what was asked, and not of "it"."""
    if count_said(said) < _FEWEST_WORDS or _BEGINS_OPEN.match(said):
        return False
    return not leaves_subject_open(said, question) and bool(_content(said) & _content(question))


def _is_about_something_else(said: str, question: str) -> bool:
    """Whether it is a whole sentence that shares nothing with what was asked."""
    whole = count_said(said) >= _FEWEST_WORDS and said.rstrip().endswith((".", "!", "\u3002"))
    if not whole or _BEGINS_OPEN.match(said):
        return False
    return not leaves_subject_open(said, question) and not _content(said) & _content(question)


def _content(text: str) -> set[str]:
    return {word for word in map(str.casefold, iterate_words(text)) if word not in COMMON}


def _earlier_exchanges(interaction: Interaction) -> tuple[tuple[str, str], ...]:
    """(user, assistant) before the last question, the latest ones."""
    found: list[tuple[str, str]] = []
    asked = ""
    for turn in interaction.turns:
        if turn.role == "user":
            asked = turn.text
        elif turn.role == "assistant" and asked:
            found.append((asked, turn.text))
            asked = ""
    if found and found[-1][0].strip() == interaction.question:
        found.pop()
    most = _EARLIER_CHARACTERS
    return tuple((user[:most], reply[:most]) for user, reply in found[-_EARLIER:])


def _subject(text: str, question: str) -> str:
    """What it is about: of the words that text and question share side by side, the longest run that
    may be a name; "" if there is none."""
    said, asked = (list(islice(iterate_words(own), _SUBJECT_WORDS)) for own in (text, question))
    folded = [[word.casefold() for word in own] for own in (said, asked)]
    same = SequenceMatcher(None, folded[0], folded[1], autojunk=False)
    runs = [run for own in same.get_matching_blocks() for run in _names(said[own.a : own.a + own.size])]
    return joined(max(runs, key=len, default=[]))


def _names(words: Sequence[str]) -> Iterator[list[str]]:
    """Runs without common words, unless these may stand inside of a name ("Bank of the West")."""
    run: list[str] = []
    for word in (*words, "is"):
        if word.casefold() not in COMMON or (run and word.casefold() in _INSIDE_NAMES):
            run.append(word)
            continue
        while run and run[-1].casefold() in COMMON:
            run.pop()
        if run:
            yield run
        run = []


def _quiz(
    writer: Writer,
    interaction: Interaction,
    text: str,
    question: str,
    title: str,
    domain: Knowledge,
    seed: int,
) -> Quiz:
    """The question that was asked, with its right answer, and those that the model writes. Blanks,
    which measure recall of the words alone, only where there is none of these."""
    task = Task("", title, text)
    asked: list[tuple[Query, str]] = []
    if question and not leaves_subject_open(question, text):
        answer = _short_answer(writer, interaction, text, question)
        asked = [(Query(question, (answer,), title), text)] if answer else []
    try:
        made = make_quiz(writer, [task], domain, seed)
    except InputError:
        if not asked:
            raise InputError(
                f'"{shortened(text)}" holds nothing that could be asked about (names, numbers or rare '
                "words in a sentence of four words or more), so nothing could be measured: say it in a "
                "whole sentence that names what it is about"
            ) from None
        return _told(asked, own=0)
    own = [
        (query, source)
        for query, source in zip(made.queries, made.sources, strict=True)
        if query.form != "cloze" and normalise(query.question) != normalise(question)
    ]
    if not asked and not own:
        return made
    return _told([*asked, *own], own=len(own))


def _told(asked: list[tuple[Query, str]], own: int) -> Quiz:
    first = "the question that was asked" if len(asked) > own else ""
    written = f"{own} question{'s' * (own != 1)} that the model wrote" if own else ""
    said = " and ".join(part for part in (first, written) if part)
    queries, sources = zip(*asked, strict=True)
    kind: QuizKind = "given" if first else "own"
    return Quiz(queries, sources, kind, f"It was tested by {said}.")


def _short_answer(writer: Writer, interaction: Interaction, text: str, question: str) -> str:
    """The right answer in a few words; "" if none can be told."""
    feedback = interaction.feedback
    if feedback.answer.strip():
        return feedback.answer.strip()
    said = " ".join(what_is_right(interaction).split()).rstrip(".!")
    if 0 < count_said(said) <= MOST_ANSWER_WORDS and not _stands_alone(said, question):
        return said
    (opened,) = writer.answer([Prompt(f"{text}\n\n{question}", kind="question")], "looking it up")
    picked = opened.strip().rstrip(".!")
    if is_fair_question(text, f"{question.rstrip('?')}?", picked) and not _is_old(picked, interaction):
        return picked
    spans = find_spans(text, question, Counter())
    fresh = (text[span.start : span.end].strip("\"'\u201c\u201d") for span in spans)
    return next((span for span in fresh if not _is_old(span, interaction)), "")


def _is_old(answer: str, interaction: Interaction) -> bool:
    """Whether a corrected reply said just that."""
    corrected = interaction.feedback.kind == "correction" or interaction.feedback.good is False
    return corrected and f" {normalise(answer)} " in f" {normalise(interaction.reply)} "
