"""Edits to answers: an adapter for each passage (`single`), or one model for all (`cpt`, `cpt-full`).

A model whose edit holds nothing to train on, or whose training failed, stays as it was: there its own
closed-book answers count, and the row says how often.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from selfedit.config import ANSWER_SAMPLING, TrainSettings, stable_hash
from selfedit.domains.conditions import Bench, Expected, Outcome, adapted, closed_book
from selfedit.domains.knowledge.domain import Knowledge
from selfedit.domains.knowledge.evaluation import KnowledgeEvaluation
from selfedit.domains.knowledge.expected import expected_sequences
from selfedit.domains.knowledge.sequences import as_sequence, headed
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.errors import InputError, InvalidSelfEdit
from selfedit.progress import by_steps
from selfedit.seams import FullFinetuning, Model
from selfedit.types import Completion, SelfEdit, Task, TrainingPlan, TrainingSequence


class PassageOnly(Knowledge):
    """The passage alone is trained: the paper's "train on passage only". Its edits are empty."""

    def parse(self, task: Task, edit: SelfEdit) -> TrainingPlan:
        return TrainingPlan((passage_sequence(self, task),))


def passage_settings(inner: LearnSettings) -> LearnSettings:
    """Only these knowledge settings matter to a passage alone, so other strategies share its trials."""
    kept = {name: getattr(inner.knowledge, name) for name in ("title_line", "topic", "ends", "form")}
    plain = type(inner.knowledge)(strategy="none", **kept)
    return inner.model_copy(update={"knowledge": plain, "candidates": 1})


def one_by_one(bench: Bench, condition: str) -> None:
    """Raises InputError for a condition that needs a training of each edit by itself."""
    if settings_of(bench).regime != "single":
        raise InputError(f"the condition `{condition}` is for --regime single, edit by edit.")


def passage_sequence(domain: Knowledge, task: Task) -> TrainingSequence:
    """The passage as a training sequence, the last of every edit's."""
    (text,) = headed([task.context], task.title, domain.settings)
    return as_sequence(text, task.title, domain.settings, task.context)


def settings_of(bench: Bench) -> KnowledgeEvaluation:
    """The bench's settings, which are of this domain."""
    assert isinstance(bench.settings, KnowledgeEvaluation)
    return bench.settings


def learn_and_answer(
    bench: Bench,
    learner: Model,
    domain: Knowledge,
    edits: Sequence[Sequence[SelfEdit]],
    inner: LearnSettings,
) -> Outcome:
    """Train on the edits in the regime of the settings, and answer without the passages."""
    if settings_of(bench).regime == "single":
        return adapted(bench, learner, domain, [own[:1] for own in edits], inner)
    return _together(bench, learner, domain, edits, inner)


def _together(
    bench: Bench,
    learner: Model,
    domain: Knowledge,
    edits: Sequence[Sequence[SelfEdit]],
    inner: LearnSettings,
) -> Outcome:
    """One training of all passages for each seed; one that is stored is not run again."""
    plan, invalid = corpus(domain, bench.tasks, edits)
    done = [
        _training(bench, learner, domain, plan, inner, seed)
        for seed in range(inner.seed, inner.seed + inner.seeds)
    ]
    failed = sum(bool(one["failure"]) for one in done)
    bare = closed_book(bench, learner, domain, bench.tasks) if failed else []
    scores, start = [], 0
    for i, task in enumerate(bench.tasks):
        part = slice(start, start + len(task.queries))
        start = part.stop
        scores.append(
            tuple(
                bare[i] if one["failure"] else domain.score(task, one["answers"][part]) for one in done
            )
        )
    return Outcome(
        tuple(scores),
        regime=settings_of(bench).regime,
        tokens=sum(one["tokens"] for one in done),
        seconds=sum(one["seconds"] for one in done),
        trainings=len(done),
        invalid=invalid,
        failed=failed,
        learner=learner.name,
        note=f"{len(plan.sequences):,} sequences in one training",
    )


def corpus(
    domain: Knowledge, tasks: Sequence[Task], edits: Sequence[Sequence[SelfEdit]]
) -> tuple[TrainingPlan, int]:
    """All tasks' sequences, and how many edits were invalid.

    Of each task: the statements of its edits, each once, then the passage, once; of the neighbours that
    the settings allow, its share. An invalid edit adds nothing.
    """
    sequences: list[TrainingSequence] = []
    neighbours: dict[TrainingSequence, None] = {}
    share = -(-domain.settings.neighbours // max(1, len(tasks)))
    invalid = 0
    for task, own in zip(tasks, edits, strict=True):
        passage = passage_sequence(domain, task)
        statements: dict[TrainingSequence, None] = {}
        near: dict[TrainingSequence, None] = {}
        for edit in own:
            try:
                plan = domain.parse(task, edit)
            except InvalidSelfEdit:
                invalid += 1
                continue
            statements.update(dict.fromkeys(plan.sequences))
            near.update(dict.fromkeys(plan.neighbours))
        statements.pop(passage, None)
        sequences += [*statements, passage]
        neighbours.update(dict.fromkeys(list(near)[:share]))
    return TrainingPlan(tuple(sequences), neighbours=tuple(neighbours)), invalid


def _training(
    bench: Bench,
    learner: Model,
    domain: Knowledge,
    plan: TrainingPlan,
    inner: LearnSettings,
    seed: int,
) -> dict[str, Any]:
    """One training with its answers, out of the store where it is there already."""
    regime = settings_of(bench).regime
    full = regime == "cpt-full"
    train = inner.train.untaught() if full else inner.train  # what holds an adapter holds no weights
    asked = [prompt for task in bench.tasks for prompt in domain.queries(task)]
    held = [_trained(sequence, train) for sequence in plan.neighbours]
    key = stable_hash(
        {
            "regime": regime,
            "model": learner.identity,
            "sequences": [_trained(sequence, train) for sequence in plan.sequences],
            "lora": None if full else inner.lora.digest(),
            "train": train.digest(),
            "seed": seed,
            "asked": [[prompt.text, prompt.kind, prompt.prefix] for prompt in asked],
            # Only where they are held to: other trainings keep the keys that they had without them.
            **({"neighbours": held} if held and train.anchor.weight > 0 else {}),
        }
    )

    def learn() -> dict[str, Any]:
        start = time.perf_counter()
        bench.progress.start("training on all passages", 100)
        on_step = by_steps(bench.progress, 100)
        model, bank, owners = learner, None, None
        if full:
            model, record = finetunable(learner).finetune(plan, train, seed, on_step)
        else:
            bank, (record,) = learner.train([plan], inner.lora, train, [seed], on_step=on_step)
            owners = [0] * len(asked)
        replies: list[Completion] = []
        if not record.failure:
            replies = model.sample(
                asked, ANSWER_SAMPLING, [0] * len(asked), adapters=bank, owners=owners
            )
        return {
            "answers": [reply.text for reply in replies],
            "failure": record.failure,
            "tokens": record.tokens,
            "seconds": time.perf_counter() - start,
        }

    return bench.once(key, learn)


def _trained(sequence: TrainingSequence, train: TrainSettings) -> Any:
    """All of a sequence that its training depends on; of a plain text, which it mostly is, the text."""
    if sequence.prompt is None and not sequence.ends and train.distill.weight == 0:
        return sequence.text
    asked = sequence.prompt.text if sequence.prompt is not None else None
    source = sequence.source if train.distill.weight > 0 else ""
    return [sequence.text, asked, sequence.ends, source]


def expected(bench: Bench, condition: str) -> Expected:
    """What a condition will train: one plan a passage in `single`, else one of all passages."""
    settings = settings_of(bench)
    inner, seeds = settings.inner, settings.inner.seeds
    inner = passage_settings(inner) if condition == "passage" else inner
    plans = [
        TrainingPlan(expected_sequences(task, inner.knowledge, inner.candidates))
        for task in bench.tasks
    ]
    if settings.regime == "single":
        # `best`: those that are compared, and the chosen one.
        times = seeds * (settings.best_of + 1) if condition == "best" else seeds
        return Expected(tuple(plans), times)
    plan = TrainingPlan(tuple(one for own in plans for one in own.sequences))
    rate = _full_rate(bench) if settings.regime == "cpt-full" else None
    return Expected((plan,), seeds, side_by_side=False, rate=rate)


def _full_rate(bench: Bench) -> float:
    """Tokens a second of full finetuning, by two steps."""
    train = bench.settings.inner.train
    short = train.untaught().model_copy(update={"epochs": 2})
    sample = TrainingPlan((TrainingSequence(bench.tasks[0].context),) * train.batch_size)
    start = time.perf_counter()
    _, record = finetunable(bench.model).finetune(sample, short, 0)
    return record.tokens / (time.perf_counter() - start)


def finetunable(model: Model) -> FullFinetuning:
    """The model, if its weights can be finetuned. Raises InputError."""
    if not isinstance(model, FullFinetuning):
        raise InputError(f"--regime cpt-full trains weights, and {model.name} has none: use cpt.")
    return model
