"""Questions that the model writes itself, for documents that come without a quiz."""

from __future__ import annotations

from collections.abc import Sequence

from selfedit.config import SamplingSettings
from selfedit.domains.knowledge import (
    Knowledge,
    open_book,
    parse_question,
    question_prompts,
    worth_asking,
)
from selfedit.errors import InputError
from selfedit.loops.sampler import Writer
from selfedit.types import Query, Task

WRITING = SamplingSettings(temperature=0.0, top_p=1.0, max_new_tokens=64)


def write_quiz(
    writer: Writer, tasks: Sequence[Task], domain: Knowledge, seed: int
) -> tuple[tuple[Query, ...], str]:
    """Questions that the model answers right with the passage and wrong without, and a note.

    Raises InputError, naming --quiz, when none is left.
    """
    asked = [(task, *pair) for task in tasks for pair in question_prompts(task)]
    prompts = [prompt for _, _, prompt in asked]
    texts = writer.write(prompts, WRITING, [seed] * len(prompts), "writing questions")
    pairs = [
        (task, query)
        for (task, sentence, _), text in zip(asked, texts, strict=True)
        if (query := parse_question(sentence, text)) is not None
    ]
    unique = {query.question: (task, query) for task, query in pairs}
    queries = [query for _, query in unique.values()]
    opened = writer.answer(
        [open_book(*pair) for pair in unique.values()], "checking them with the passage"
    )
    closed = writer.answer([domain.question(query) for query in queries], "checking them without it")
    kept = worth_asking(queries, opened, closed, domain.grader)
    count = f"{len(kept)} of the {len(prompts)} questions that {writer.model.name} wrote itself"
    if not kept:
        raise InputError(
            f"{count} are usable (answered right with the passage and wrong without it), so nothing "
            "can be measured. Write questions and answers about the document and name them with "
            '--quiz FILE (JSON lines of {"question": "...", "answer": "..."}).'
        )
    note = (
        f"There was no quiz: {count} were usable (answered right with the passage, wrong without); "
        f"{len(prompts) - len(kept)} were dropped. A quiz of your own (--quiz) measures better."
    )
    return kept, note
