"""A quiz that the model writes itself: a question for each sentence, answered by words of it.

A small model writes many bad questions, so what it writes is checked here without a model, and
then by it: only questions that it answers with the passage, and not without, are worth asking.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from selfedit.domains.knowledge.strategies import (
    count_said,
    fill,
    leaves_subject_open,
    restatable_sentences,
)
from selfedit.grading import Grader, contains, grade, normalise
from selfedit.types import Prompt, Query, Task
from selfedit.words import is_unspaced, words

MAX_ANSWER_WORDS = 6

QUESTION = (
    "Write a question that this sentence answers, and its short answer in words of the sentence."
    "\n\nSentence: {context}"
)
QUESTION_WITH_SUBJECT = (
    "Write a question that this sentence about {title} answers, and its short answer in words of "
    "the sentence.\n\nSentence: {context}"
)

# Nothing in these backtracks (++, *+, ?+): a small model may write a thousand stars or spaces.
_LABEL = re.compile(r"[*_]*+(?:Question[ \t]*+\d*+[*_]*+:[*_]*+)?+\s*+", re.IGNORECASE)
_ANSWER = re.compile(r"\b(?:Short )?Answer[*_]*+[:\uff1a][*_]*+[ \t]*+\n?", re.IGNORECASE)
_OF_TEXT = re.compile(r"\b(?:sentence|passage|text|paragraph|document)\b", re.IGNORECASE)
_EMPTY_ANSWERS = frozenset(
    "it he she they them him her his its their this that these those is are was were be been yes "
    "no not and or of in on at to by for with one who which what".split()
)


def question_prompts(task: Task) -> list[tuple[str, Prompt]]:
    """(sentence, prompt) for each sentence that is long enough to be asked about."""
    prompts = []
    for sentence in restatable_sentences(task):
        open_subject = leaves_subject_open(sentence, task.title)
        template = QUESTION_WITH_SUBJECT if open_subject else QUESTION
        prompts.append((sentence, Prompt(fill(template, task.title, sentence), prefix="Question:")))
    return prompts


def parse_question(sentence: str, completion: str, topic: str = "") -> Query | None:
    """The question and answer of a completion ("... Answer: ..."), or None if they are no use."""
    parts = _parts(completion)
    if parts is None:
        return None
    question = " ".join(parts[0].split()).strip('*_" ')
    answer = parts[1].strip().strip('*_"\u201c\u201d ').rstrip(".").strip()
    if not is_fair_question(sentence, question, answer):
        return None
    return Query(question, (answer,), topic)


def _parts(completion: str) -> tuple[str, str] | None:
    """The line before "Answer:", without "Question:", and the line behind it. In linear time."""
    text = completion.lstrip()
    label = _LABEL.match(text)
    start = label.end() if label else 0
    mark = _ANSWER.search(text, start)
    if mark is None:
        return None
    question = text[start : mark.start()].rstrip().rstrip("*_").rstrip()
    if not question or "\n" in question:
        return None
    return question, text[mark.end() :].partition("\n")[0]


def is_fair_question(sentence: str, question: str, answer: str) -> bool:
    """Whether the answer stands in the sentence (as whole words), is at most six words of it but
    not all of it, says something, and is not given away by the question."""
    if not question.endswith(("?", "\uff1f", "\u061f")) or _is_too_short(question):
        return False
    if _OF_TEXT.search(question) and not _OF_TEXT.search(sentence):
        return False  # "What does the sentence say?" means nothing without it
    wanted, said, asked = normalise(answer), normalise(sentence), normalise(question)
    answered = wanted.split()
    if not answered or count_said(wanted) > MAX_ANSWER_WORDS or _EMPTY_ANSWERS.issuperset(answered):
        return False
    return _holds(said, wanted) and wanted != said and not _holds(asked, wanted)


def _is_too_short(question: str) -> bool:
    """Fewer than three words; of scripts without spaces, fewer than five characters."""
    return len(words(question)) < 5 if is_unspaced(question) else len(question.split()) < 3


def _holds(text: str, wanted: str) -> bool:
    """Whether the words of `wanted` stand side by side in a text; both are normalised."""
    if is_unspaced(wanted):
        return f" {' '.join(words(wanted))} " in f" {' '.join(words(text))} "
    return f" {wanted} " in f" {text} "


def open_book(task: Task, query: Query) -> Prompt:
    """The question with its passage at hand."""
    return Prompt(f"{task.title}\n{task.context}\n\n{query.question}", kind="question")


def worth_asking(
    queries: Sequence[Query],
    with_passage: Sequence[str],
    without: Sequence[str],
    grader: Grader = contains,
) -> tuple[Query, ...]:
    """The questions that were answered right with the passage and wrong without it."""
    return tuple(
        query
        for query, opened, closed in zip(queries, with_passage, without, strict=True)
        if grade(query, opened, grader).correct and not grade(query, closed, grader).correct
    )


Said = Callable[[Sequence[Prompt], str], list[str]]  # replies to prompts; the text names the progress


def usable_questions(
    asked: Sequence[tuple[Task, str, Prompt]],
    write: Said,
    answer: Said,
    question: Callable[[Query], Prompt],
    grader: Grader = contains,
) -> list[tuple[Task, str, Query]]:
    """(passage, sentence, question) of those that the model writes and that are worth asking.

    asked: of `question_prompts`. write: the model's texts, by which it asks; answer: its answers.
    question: as it will be asked, without the passage.
    """
    texts = write([prompt for *_, prompt in asked], "writing questions")
    parsed = {
        query.question: (task, sentence, query)
        for (task, sentence, _), text in zip(asked, texts, strict=True)
        if (query := parse_question(sentence, text)) is not None
    }
    queries = [query for *_, query in parsed.values()]
    opened = answer(
        [open_book(task, query) for task, _, query in parsed.values()],
        "checking them with the passage",
    )
    closed = answer([question(query) for query in queries], "checking them without it")
    kept = worth_asking(queries, opened, closed, grader)
    return [parsed[query.question] for query in kept]
