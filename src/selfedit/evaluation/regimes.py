"""Edits to answers: an adapter for each passage (`single`), or one model for all (`cpt`, `cpt-full`).

A model whose edit holds nothing to train on, or whose training failed, stays as it was: there its own
closed-book answers count, and the row says how often.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from selfedit.config import ANSWER_SAMPLING, TrainSettings, stable_hash
from selfedit.domains.knowledge import Knowledge
from selfedit.domains.knowledge.sequences import as_sequence, headed
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.errors import InputError, InvalidSelfEdit
from selfedit.evaluation.settings import EvaluationSettings
from selfedit.loops.groups import trials_of
from selfedit.loops.policies import Policies, ref_of
from selfedit.loops.sampler import Writer
from selfedit.progress import Progress, Silent
from selfedit.runners.local import LocalRunner
from selfedit.seams import FullFinetuning, Model
from selfedit.store import Store
from selfedit.types import Completion, Proposal, SelfEdit, Task, TrainingPlan, TrainingSequence, Trial


@dataclass(frozen=True, slots=True)
class Answers:
    """What a condition answered. by_context[c][s][q]: context, training seed, question.

    tokens: of all trainings and epochs. seconds: of training and answering, as measured when they ran
    (writing edits apart); None where nothing was trained. trainings: how many; invalid, failed: how
    many edits or trainings among them changed nothing.
    """

    by_context: tuple[tuple[tuple[str, ...], ...], ...]
    tokens: int = 0
    seconds: float | None = None
    trainings: int = 0
    invalid: int = 0
    failed: int = 0
    writer: str = ""
    learner: str = ""
    note: str = ""


@dataclass
class Place:
    """Where an evaluation works: its contexts, its settings, and where finished work is kept."""

    tasks: Sequence[Task]
    settings: EvaluationSettings
    store: Store
    run_id: int
    progress: Progress = field(default_factory=Silent)


class PassageOnly(Knowledge):
    """The passage alone is trained: the paper's "train on passage only". Its edits are empty."""

    def parse(self, task: Task, edit: SelfEdit) -> TrainingPlan:
        return TrainingPlan((passage_sequence(self, task),))


def passage_sequence(domain: Knowledge, task: Task) -> TrainingSequence:
    """The passage as a training sequence, the last of every edit's."""
    text = headed(task.context, task.title, domain.settings)
    return as_sequence(text, task.title, domain.settings, task.context)


def closed_book(
    place: Place, model: Model, domain: Knowledge, tasks: Sequence[Task]
) -> list[tuple[str, ...]]:
    """The bare model's answers to each task's questions."""
    asked = [prompt for task in tasks for prompt in domain.queries(task)]
    writer = Writer(model, place.store, place.progress)
    replies = iter(writer.answer(asked, "asking the model without the passage"))
    return [tuple(next(replies) for _ in task.queries) for task in tasks]


def learn_and_answer(
    place: Place,
    learner: Model,
    domain: Knowledge,
    edits: Sequence[Sequence[SelfEdit]],
    inner: LearnSettings,
) -> Answers:
    """Train on the edits in the regime of the settings, and answer without the passages."""
    if place.settings.regime == "single":
        return _single(place, learner, domain, edits, inner)
    return _together(place, learner, domain, edits, inner)


def _single(
    place: Place,
    learner: Model,
    domain: Knowledge,
    edits: Sequence[Sequence[SelfEdit]],
    inner: LearnSettings,
) -> Answers:
    """One adapter a passage and seed, in waves; trials that are stored are not run again."""
    proposals = [Proposal(task, None, (own[0],)) for task, own in zip(place.tasks, edits, strict=True)]
    runner = LocalRunner(Policies(learner), place.store, place.run_id)
    found = runner.run(ref_of(learner), domain, proposals, inner, place.progress)
    groups = [own for (own,) in trials_of(place.store, found)]
    trials = [trial for own in groups for trial in own]
    unchanged = [i for i, group in enumerate(groups) if any(t.score is None for t in group)]
    bare = dict(
        zip(
            unchanged,
            closed_book(place, learner, domain, [place.tasks[i] for i in unchanged])
            if unchanged
            else [],
            strict=True,
        )
    )
    return Answers(
        tuple(tuple(_said(trial, bare.get(i, ())) for trial in own) for i, own in enumerate(groups)),
        tokens=sum(trial.tokens for trial in trials),
        seconds=sum(trial.seconds for trial in trials),
        trainings=len(trials),
        invalid=sum(trial.status == "invalid" for trial in trials),
        failed=sum(trial.status == "failed" for trial in trials),
    )


def _said(trial: Trial, bare: tuple[str, ...]) -> tuple[str, ...]:
    return bare if trial.score is None else tuple(a.answer for a in trial.score.answers)


def _together(
    place: Place,
    learner: Model,
    domain: Knowledge,
    edits: Sequence[Sequence[SelfEdit]],
    inner: LearnSettings,
) -> Answers:
    """One training of all passages for each seed; one that is stored is not run again."""
    plan, invalid = corpus(domain, place.tasks, edits)
    done = [
        _training(place, learner, domain, plan, inner, seed)
        for seed in range(inner.seed, inner.seed + inner.seeds)
    ]
    failed = sum(bool(one["failure"]) for one in done)
    bare = closed_book(place, learner, domain, place.tasks) if failed else []
    answers = []
    for i, task in enumerate(place.tasks):
        start = sum(len(other.queries) for other in place.tasks[:i])
        part = slice(start, start + len(task.queries))
        answers.append(
            tuple(bare[i] if one["failure"] else tuple(one["answers"][part]) for one in done)
        )
    return Answers(
        tuple(answers),
        tokens=sum(one["tokens"] for one in done),
        seconds=sum(one["seconds"] for one in done),
        trainings=len(done),
        invalid=invalid,
        failed=failed,
        note=f"{len(plan.sequences):,} sequences in one training",
    )


def corpus(
    domain: Knowledge, tasks: Sequence[Task], edits: Sequence[Sequence[SelfEdit]]
) -> tuple[TrainingPlan, int]:
    """All tasks' sequences, and how many edits were invalid.

    Of each task: the statements of its edits, each once, then the passage, once. An invalid edit adds
    nothing.
    """
    sequences: list[TrainingSequence] = []
    invalid = 0
    for task, own in zip(tasks, edits, strict=True):
        passage = passage_sequence(domain, task)
        statements: dict[TrainingSequence, None] = {}
        for edit in own:
            try:
                statements.update(dict.fromkeys(domain.parse(task, edit).sequences))
            except InvalidSelfEdit:
                invalid += 1
        statements.pop(passage, None)
        sequences += [*statements, passage]
    return TrainingPlan(tuple(sequences)), invalid


def _training(
    place: Place,
    learner: Model,
    domain: Knowledge,
    plan: TrainingPlan,
    inner: LearnSettings,
    seed: int,
) -> dict[str, Any]:
    """One training with its answers, out of the store where it is there already."""
    full = place.settings.regime == "cpt-full"
    train = inner.train.untaught() if full else inner.train  # what holds an adapter holds no weights
    asked = [prompt for task in place.tasks for prompt in domain.queries(task)]
    key = stable_hash(
        {
            "regime": place.settings.regime,
            "model": learner.identity,
            "sequences": [_trained(sequence, train) for sequence in plan.sequences],
            "lora": None if full else inner.lora.digest(),
            "train": train.digest(),
            "seed": seed,
            "asked": [[prompt.text, prompt.kind, prompt.prefix] for prompt in asked],
        }
    )
    found = place.store.cached([key])
    if key in found:
        return dict(found[key])
    start, shown = time.perf_counter(), 0.0
    place.progress.start("training on all passages", 100)

    def on_step(step: int, total: int) -> None:
        nonlocal shown
        place.progress.advance(100 * step / total - shown)
        shown = 100 * step / total

    model, bank, owners = learner, None, None
    if full:
        model, record = finetunable(learner).finetune(plan, train, seed, on_step)
    else:
        bank, (record,) = learner.train([plan], inner.lora, train, [seed], on_step=on_step)
        owners = [0] * len(asked)
    replies: list[Completion] = []
    if not record.failure:
        replies = model.sample(asked, ANSWER_SAMPLING, [0] * len(asked), adapters=bank, owners=owners)
    result = {
        "answers": [reply.text for reply in replies],
        "failure": record.failure,
        "tokens": record.tokens,
        "seconds": time.perf_counter() - start,
    }
    place.store.put_cached("evaluation", {key: result}, place.run_id)
    return result


def _trained(sequence: TrainingSequence, train: TrainSettings) -> Any:
    """All of a sequence that its training depends on; of a plain text, which it mostly is, the text."""
    if sequence.prompt is None and not sequence.ends and train.distill.weight == 0:
        return sequence.text
    asked = sequence.prompt.text if sequence.prompt is not None else None
    source = sequence.source if train.distill.weight > 0 else ""
    return [sequence.text, asked, sequence.ends, source]


def finetunable(model: Model) -> FullFinetuning:
    """The model, if its weights can be finetuned. Raises InputError."""
    if not isinstance(model, FullFinetuning):
        raise InputError(f"--regime cpt-full trains weights, and {model.name} has none: use cpt.")
    return model
