"""A quiz for documents that come without one: blanks in their own sentences and, where the model can
write any that pass, questions of its own in place of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfedit.config import SamplingSettings
from selfedit.domains.knowledge import (
    Knowledge,
    cloze_items,
    question_prompts,
    usable_questions,
)
from selfedit.errors import InputError
from selfedit.loops.sampler import Writer
from selfedit.types import Prompt, Query, QuizKind, Task

WRITING = SamplingSettings(temperature=0.0, top_p=1.0, max_new_tokens=64)

# A model writes no more if none of its first questions is usable: of smollm2-135m's, hardly any ever is
# (docs/log.md, 2026-11-26).
TRIED_FIRST = 8


@dataclass(frozen=True, slots=True)
class Quiz:
    """sources: the sentence that each question is made from. note: for the user."""

    queries: tuple[Query, ...]
    sources: tuple[str, ...]
    kind: QuizKind
    note: str = ""


def make_quiz(writer: Writer, tasks: Sequence[Task], domain: Knowledge, seed: int) -> Quiz:
    """For each sentence a question that the model wrote, if it is usable, else blanks.

    Raises InputError, before the model is asked anything, if nothing can be blanked.
    """
    items = cloze_items(tasks)
    if not items:
        raise InputError(
            "the text holds no statement that could be asked about (names, numbers or rare words in "
            "sentences of four words or more), so nothing could be measured. Write questions and "
            'answers about it and name them with --quiz FILE (JSON lines of {"question": "...", '
            '"answer": "..."}).'
        )
    own, tried = _own_questions(writer, tasks, domain, seed)
    blanks = [(item.sentence, item.query) for item in items if item.sentence not in own]
    asked = [*own.items(), *blanks]
    kind: QuizKind = "cloze" if not own else "mixed" if blanks else "own"
    return Quiz(
        tuple(query for _, query in asked),
        tuple(sentence for sentence, _ in asked),
        kind,
        _note(len(own), tried, len(blanks), writer.model.name),
    )


def _note(own: int, tried: int, blanks: int, model: str) -> str:
    made = []
    if own:
        made.append(f"{own} question{'s' * (own != 1)} that {model} wrote itself")
    if blanks:
        made.append(f"{blanks} blank{'s' * (blanks != 1)} in sentences of the document")
    dropped = tried - own
    note = f"There was no quiz; it was made of {' and '.join(made)}."
    if dropped:
        note += (
            f" {dropped} of {tried} questions that {model} wrote were not usable (answered right with "
            "the passage, wrong without it)."
        )
    return f"{note} A quiz of your own (--quiz) measures better."


def _own_questions(
    writer: Writer, tasks: Sequence[Task], domain: Knowledge, seed: int
) -> tuple[dict[str, Query], int]:
    """The usable questions by the sentence that they are about, and how many were written."""
    asked = [(task, *pair) for task in tasks for pair in question_prompts(task)]
    step = max(1, len(asked) // TRIED_FIRST)  # spread over the document
    first = set(range(0, step * TRIED_FIRST, step))
    parts = [[one for i, one in enumerate(asked) if (i in first) == early] for early in (True, False)]
    usable: dict[str, Query] = {}
    tried = 0
    for part in parts:
        usable |= _usable(writer, part, domain, seed)
        tried += len(part)
        if not usable:
            break
    order = {sentence: place for place, (_, sentence, _) in enumerate(asked)}
    return dict(sorted(usable.items(), key=lambda pair: order[pair[0]])), tried


def _usable(
    writer: Writer, asked: Sequence[tuple[Task, str, Prompt]], domain: Knowledge, seed: int
) -> dict[str, Query]:
    """Questions that the model answers right with the passage and wrong without, by sentence."""

    def write(prompts: Sequence[Prompt], stage: str) -> list[str]:
        return writer.write(prompts, WRITING, [seed] * len(prompts), stage)

    found = usable_questions(asked, write, writer.answer, domain.question, domain.grader)
    return {sentence: query for _, sentence, query in found}
