"""Fill-in-the-blank items made from a document, without the help of any model.

An item is a sentence of the document with one span blanked (`spans.py` says which), and any model can
be asked it: it is given the sentence up to the blank and continues it. It is right if it continues with
exactly the blanked words, decoding greedily, before learning and after. So there is no threshold to
choose; a bare model's share is what can be guessed or was known before; base models and chat models are
asked alike. The probability of those words is measured, too (`Model.answer_scores`): it moves where no
answer changes yet.

What an item measures is recall of the text. The sentence itself and restatements of it are what an
adapter is trained on, so that no item, held out or not, tells whether a fact can be used in other
words; questions do. Held out means here: chose nothing. All items of a sentence are on one side
(`quiz.split_quiz`), since a self-edit that was chosen for restating a sentence well would be good at
all blanks of it. docs/cloze.md says how well the gain in items follows the gain in questions that a
person wrote.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from selfedit.domains.knowledge.sentences import split_sentences
from selfedit.domains.knowledge.spans import Span, count_words, find_spans, is_unspaced, words_of
from selfedit.grading import Grader, grade_all, normalise
from selfedit.types import GradedAnswer, Prompt, Query, Task

BLANK = "____"
MAX_NEW_TOKENS = 24  # of a reply: a span has five words at most
PER_PASSAGE = 8  # items of a passage of many
ENOUGH = 12  # items of a short document: as many as the shipped quizzes have

_FEWEST_WORDS = 4  # of a sentence
_PER_SENTENCE = 6
_NO_PROSE = re.compile(r"[{}<>|\\=]|://|__|;\s*$|\(\)")  # code, formulas, addresses
_NO_STATEMENT = ("?", "\uff1f", "\u061f", ":", "\uff1a")


@dataclass(frozen=True, slots=True)
class ClozeItem:
    """A sentence with one span blanked. title: of its passage, said when the item is asked."""

    sentence: str
    span: Span
    title: str

    @property
    def gold(self) -> str:
        return self.sentence[self.span.start : self.span.end]

    @property
    def query(self) -> Query:
        """As a question of a quiz: the sentence, with a line for the blank."""
        blanked = f"{self.sentence[: self.span.start]}{BLANK}{self.sentence[self.span.end :]}"
        return Query(blanked, (self.gold,), self.title, form="cloze")


# (passage, sentence, character) of an item, and the item.
_Placed = tuple[tuple[int, int, int], ClozeItem]


def cloze_items(tasks: Sequence[Task]) -> tuple[ClozeItem, ...]:
    """Items of the passages, in the order of the text: one per sentence, the best ones of each passage;
    if that makes fewer than ENOUGH, second and third ones. A sentence that recurs is taken once."""
    sentences = [[s for s in split_sentences(task.context) if _is_prose(s)] for task in tasks]
    counts = Counter(word for own in sentences for s in dict.fromkeys(own) for word in words_of(s))
    most = max(PER_PASSAGE, -(-ENOUGH // max(1, len(tasks))))
    seen: set[str] = set()
    first: list[_Placed] = []
    more: list[tuple[int, _Placed]] = []
    for i, (task, own) in enumerate(zip(tasks, sentences, strict=True)):
        best: list[_Placed] = []
        for j, sentence in enumerate(own):
            if sentence in seen:
                continue
            seen.add(sentence)
            spans = _apart(find_spans(sentence, task.title, counts))
            placed = [((i, j, s.start), ClozeItem(sentence, s, task.title)) for s in spans]
            best += placed[:1]
            more += enumerate(placed[1:])
        first += sorted(best, key=_worth)[:most]
    more.sort(key=lambda ranked: (ranked[0], _worth(ranked[1])))
    chosen = first + [placed for _, placed in more[: max(0, ENOUGH - len(first))]]
    items = (item for _, item in sorted(chosen, key=lambda placed: placed[0]))
    return tuple({item.query: item for item in items}.values())


def _worth(placed: _Placed) -> tuple[float, tuple[int, int, int]]:
    return -placed[1].span.worth, placed[0]


def _is_prose(sentence: str) -> bool:
    """A statement that says something: no question, no announcement, no code."""
    return (
        count_words(sentence) >= _FEWEST_WORDS
        and not sentence.rstrip("\"'\u2019\u201d)").endswith(_NO_STATEMENT)
        and not _NO_PROSE.search(sentence)
    )


def _apart(spans: Sequence[Span]) -> list[Span]:
    """The best spans that do not overlap."""
    kept: list[Span] = []
    for span in spans:
        if all(span.end <= other.start or other.end <= span.start for other in kept):
            kept.append(span)
        if len(kept) == _PER_SENTENCE:
            break
    return kept


def cloze_prompt(query: Query) -> Prompt:
    """How an item is asked: the model continues at the blank. A base model sees a text that breaks off
    there, a chat model a reply that it has begun."""
    about = f" about {query.topic}" if query.topic else ""
    return Prompt(
        f"Complete this sentence{about}: {query.question}",
        kind="question",
        prefix=_before(query).rstrip(),
        max_new_tokens=MAX_NEW_TOKENS,
    )


def gold_reply(query: Query) -> str:
    """The blanked words as they continue the prompt (`Model.answer_scores`)."""
    return f" {query.gold}" if _before(query)[-1:].isspace() else query.gold


def _before(query: Query) -> str:
    return query.question.partition(BLANK)[0]


def goes_on_with(golds: Sequence[str], reply: str) -> bool:
    """Whether a reply begins with a gold: as whole words; in scripts without spaces, its characters."""
    words = f"{normalise(reply)} "
    return any(
        (bool(wanted := normalise(gold)) and words.startswith(f"{wanted} "))
        or (is_unspaced(gold) and _folded(reply).startswith(_folded(gold)))
        for gold in golds
    )


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().strip()


def grade_with_blanks(
    queries: Sequence[Query], answers: Sequence[str], grader: Grader
) -> tuple[GradedAnswer, ...]:
    """The answers with their grades, in order: blanks by `goes_on_with`, questions by the grader."""
    pairs = list(zip(queries, answers, strict=True))
    blanks = iter(_graded([pair for pair in pairs if pair[0].form == "cloze"], _fills))
    others = iter(_graded([pair for pair in pairs if pair[0].form != "cloze"], grader))
    return tuple(next(blanks if query.form == "cloze" else others) for query in queries)


def _fills(question: str, golds: Sequence[str], answer: str) -> bool:
    return goes_on_with(golds, answer)


def _graded(pairs: Sequence[tuple[Query, str]], grader: Grader) -> tuple[GradedAnswer, ...]:
    return grade_all([query for query, _ in pairs], [answer for _, answer in pairs], grader)
