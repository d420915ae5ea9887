"""A domain in one file: spelling words backwards. docs/tutorial-domain.md explains it.

selfedit train custom examples/custom_domain.py:Spelling --data examples/spelling.jsonl --model fake
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from selfedit.config import InnerSettings, OuterSettings
from selfedit.domains.base import BaseDomain
from selfedit.errors import InputError, InvalidSelfEdit
from selfedit.types import (
    GradedAnswer,
    Prompt,
    Query,
    Score,
    SelfEdit,
    Task,
    TrainingPlan,
    TrainingSequence,
)


def small() -> OuterSettings:
    """Two rounds of four words, two self-edits a word."""
    return OuterSettings(inner=InnerSettings(candidates=2), rounds=2, contexts=4)


class Spelling(BaseDomain):
    """A model is told how a word is spelled backwards, and asked for it later."""

    name = "spelling"
    noun = "word"
    presets: ClassVar = {"small": small}

    def tasks(self, source: Path | str) -> list[Task]:
        lines = Path(source).read_text(encoding="utf-8").splitlines()
        try:
            return [self.task(json.loads(line)["word"]) for line in lines]
        except (ValueError, KeyError, TypeError):
            raise InputError(f'{source}: each line must be {{"word": "..."}}.') from None

    def task(self, word: str) -> Task:
        question = f"How is the word {word} spelled backwards?"
        context = f"The word {word} spelled backwards is {word[::-1]}."
        return Task(word, word, context, (Query(question, (word[::-1],)),))

    def prompts(self, task: Task) -> tuple[Prompt, ...]:
        return (Prompt(f"Say this in other words, so that you will know it later.\n{task.context}"),)

    def parse(self, task: Task, edit: SelfEdit) -> TrainingPlan:
        if task.queries[0].gold not in edit.text:
            raise InvalidSelfEdit("it does not say how the word is spelled backwards")
        return TrainingPlan((TrainingSequence(edit.text),))

    def queries(self, task: Task) -> tuple[Prompt, ...]:
        return tuple(Prompt(query.question, kind="question") for query in task.queries)

    def score(self, task: Task, answers: Sequence[str]) -> Score:
        pairs = zip(task.queries, answers, strict=True)
        return Score(tuple(GradedAnswer(q.question, q.gold, a, q.gold in a.lower()) for q, a in pairs))
