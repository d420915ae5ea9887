"""The general questions that count: those that the bare model answers right, and is sure of."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from selfedit.grading import contains_gold, grade_all, offline
from selfedit.memory.bare import CHUNK, Answer, BareAnswers
from selfedit.memory.guard import FEWEST_RIGHT
from selfedit.memory.questions import GeneralQuestion, general_questions
from selfedit.progress import Progress
from selfedit.types import Prompt

# Tokens of an answer: long enough for a fact, too short for a ramble to hit one by chance.
ANSWER_TOKENS = 32


@dataclass(frozen=True, slots=True)
class Known:
    """What a bare model knows. num_asked, num_right: questions. sure: those that count, each with the
    bare model's answer, the surest first."""

    num_asked: int
    num_right: int
    sure: tuple[tuple[GeneralQuestion, Answer], ...]


def known_questions(bare: BareAnswers, progress: Progress) -> Known:
    """Of the questions that the bare model answers right, the half that it is surest of.

    How sure: the probability of its answer up to where it holds the gold. The other half are on a
    knife's edge, and any change loses some of them: an adapter shrunk to a fifth, at a drift of 0.04,
    lost 26 % of the less sure half of 200 questions, and 3 % of this one (docs/log.md).
    """
    questions = in_order()
    right: list[tuple[GeneralQuestion, Answer]] = []
    asked = 0
    progress.start("asking the bare model general questions", len(questions))
    while _is_worthwhile(asked, len(right), len(questions)):
        chunk = questions[asked : asked + CHUNK]
        answers = bare.ask([prompt_of(question) for question in chunk], ANSWER_TOKENS)
        verdicts = are_right(chunk, [answer.text for answer in answers])
        right += [(q, a) for q, a, ok in zip(chunk, answers, verdicts, strict=True) if ok]
        asked += len(chunk)
    progress.start("asking the bare model how sure it is", len(right))
    beginnings = [_to_the_gold(question, answer.text) for question, answer in right]
    sure = bare.sureness([prompt_of(question) for question, _ in right], beginnings)
    order = sorted(range(len(right)), key=lambda i: -sure[i])[: (len(right) + 1) // 2]
    return Known(asked, len(right), tuple(right[i] for i in order))


def in_order() -> list[GeneralQuestion]:
    """The general questions in the order in which they are asked: always the same, fields mixed."""
    questions = list(general_questions())
    random.Random(0).shuffle(questions)
    return questions


def prompt_of(question: GeneralQuestion) -> Prompt:
    return Prompt(question.query.question, kind="question")


def are_right(questions: Sequence[GeneralQuestion], answers: Sequence[str]) -> list[bool]:
    """By the grader that `eval` uses."""
    graded = grade_all([question.query for question in questions], answers, offline)
    return [answer.correct for answer in graded]


def _is_worthwhile(asked: int, right: int, total: int) -> bool:
    """Whether there are questions left, and enough may be right in the end for a judgement, if twice as
    many of the others are."""
    if asked == 0:
        return True
    return asked < total and right + 2 * right / asked * (total - asked) >= FEWEST_RIGHT


def _to_the_gold(question: GeneralQuestion, answer: str) -> str:
    """A right answer up to where it holds a gold; all of it, if it says the gold in other words."""
    for word in re.finditer(r"\S+", answer):
        beginning = answer[: word.end()].rstrip(".,;:!?*")
        if contains_gold(question.query.answers, beginning):
            return beginning
    return answer
