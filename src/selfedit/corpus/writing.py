"""What a policy writes about some passages, and what of it can be trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from selfedit.domains.knowledge.degenerate import comparable
from selfedit.domains.knowledge.domain import Knowledge
from selfedit.domains.knowledge.sentences import split_sentences
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.errors import InvalidSelfEdit
from selfedit.loops.sampler import EditPrompts
from selfedit.seams import Sampler
from selfedit.types import SelfEdit, Task, TrainingSequence

Kind = Literal["self-edit", "passage"]


class CountingSampler(Sampler, Protocol):
    """A sampler that knows how many tokens a text has."""

    def count_tokens(self, text: str) -> int: ...


@dataclass(frozen=True, slots=True)
class Statement:
    """One text of a self-edit that can be trained on. prompt: what it replies to, "" where it stands by
    itself. edit: number of the self-edit among the passage's, from 0. kind: "passage" where it only
    says what the passage says, word for word."""

    text: str
    prompt: str
    edit: int
    kind: Kind
    tokens: int


@dataclass(frozen=True, slots=True)
class Written:
    """All that was written about a passage. tokens: of the replies, whatever became of them. invalid:
    why a self-edit held nothing to train on, once for each."""

    statements: tuple[Statement, ...]
    tokens: int
    invalid: tuple[str, ...]


def write(
    sampler: CountingSampler, domain: Knowledge, tasks: Sequence[Task], settings: LearnSettings
) -> list[Written]:
    """`settings.candidates` self-edits for each task, with the texts that `train` would sample and
    train on. Raises SelfEditError."""
    if not tasks:
        return []
    asked = EditPrompts.of(domain, tasks, settings)
    replies = sampler.sample(asked.prompts, settings.sampling, asked.seeds)
    return [
        _written(sampler, domain, task, edits)
        for task, edits in zip(tasks, asked.edits(replies), strict=True)
    ]


def _written(
    sampler: CountingSampler, domain: Knowledge, task: Task, edits: Sequence[SelfEdit]
) -> Written:
    source = {comparable(text) for text in (task.context, *split_sentences(task.context))}
    statements: list[Statement] = []
    invalid: list[str] = []
    tokens = 0
    for edit in edits:
        tokens += sum(map(sampler.count_tokens, edit.completions))
        try:
            plan = domain.parse(task, edit)
        except InvalidSelfEdit as error:
            invalid.append(str(error))
            continue
        for sequence in plan.sequences:
            said = sequence.text.removeprefix(f"{task.title}\n")
            kind: Kind = "passage" if comparable(said) in source else "self-edit"
            statements.append(_statement(sampler, sequence, edit.index, kind))
    return Written(tuple(statements), tokens, tuple(invalid))


def _statement(sampler: CountingSampler, own: TrainingSequence, edit: int, kind: Kind) -> Statement:
    prompt = "" if own.prompt is None else own.prompt.text
    tokens = sampler.count_tokens(own.text) + (sampler.count_tokens(prompt) if prompt else 0)
    return Statement(own.text, prompt, edit, kind, tokens)
