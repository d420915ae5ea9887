"""Self-edits as jobs: what identifies a trial, and what an edit gives to train on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from selfedit.config import InnerSettings, MeasureSettings, stable_hash
from selfedit.errors import InvalidSelfEdit, OverLimit
from selfedit.loops.waves import Job
from selfedit.seams import Canonical, Domain, Model
from selfedit.types import Query, SelfEdit, Task, TrainingPlan, Trial, TrialStatus


@dataclass(frozen=True, slots=True)
class Wanted:
    """A trial that is wanted. Two may share a key: edits that say the same."""

    key: str
    task: Task
    edit: SelfEdit
    seed: int


def asked_trials(
    model: Model, domain: Domain, pairs: Sequence[tuple[Task, SelfEdit]], settings: InnerSettings
) -> list[Wanted]:
    """Each (task, edit) with each of `settings.seeds` seeds, in that order."""
    seeds = range(settings.seed, settings.seed + settings.seeds)
    return [
        Wanted(trial_key(model, domain, task, edit, seed, settings), task, edit, seed)
        for task, edit in pairs
        for seed in seeds
    ]


def trial_key(
    model: Model, domain: Domain, task: Task, edit: SelfEdit, seed: int, settings: InnerSettings
) -> str:
    """Hash of everything that determines a trial; a finished trial with this key is never rerun."""
    return stable_hash(
        {
            "model": model.identity,
            "context": [task.title, task.context],
            "questions": [queried(query) for query in task.queries],
            **_said(domain, task, edit),
            "domain": domain.digest(),
            "lora": settings.lora.digest(),
            "train": settings.train.digest(),
            "seed": seed,
            **_measured(settings.measure),
        }
    )


def _measured(measure: MeasureSettings) -> dict[str, object]:
    """Accuracy is what was always measured."""
    return {} if measure.kind == "accuracy" else {"measure": measure.identity()}


def queried(query: Query) -> list[object]:
    """What determines a question and its grading, as a JSON value."""
    form = [query.form] if query.form != "question" else []
    return [query.question, query.answers, query.topic, *form]


def _said(domain: Domain, task: Task, edit: SelfEdit) -> dict[str, object]:
    """What an edit says, however it is worded, if the domain can tell; else its exact words."""
    if isinstance(domain, Canonical):
        try:
            return {"edit": domain.canonical(task, edit)}
        except InvalidSelfEdit:
            pass
    return {
        "prompts": [[p.text, p.kind, p.prefix, p.turns] for p in edit.prompts],
        "edit": edit.completions,
    }


def plan_jobs(
    model: Model, domain: Domain, asked: Sequence[Wanted], settings: InnerSettings
) -> tuple[list[Job], list[Trial]]:
    """The jobs to be trained, each key once; and the trials of edits with nothing to train on
    ("invalid") or that ask for more than is allowed ("failed")."""
    jobs: dict[str, Job] = {}
    unsound: dict[str, Trial] = {}
    of: tuple[Task, SelfEdit] | None = None
    for one in asked:
        if one.key in jobs or one.key in unsound:
            continue
        if of is None or of[0] is not one.task or of[1] is not one.edit:  # else it has another seed
            of, found = (one.task, one.edit), _parsed(model, domain, one, settings.train.max_tokens)
        if isinstance(found, InvalidSelfEdit):
            status: TrialStatus = "failed" if isinstance(found, OverLimit) else "invalid"
            unsound[one.key] = Trial(one.key, one.task.id, one.edit, one.seed, status, str(found))
            continue
        plan, tokens, note = found
        jobs[one.key] = Job.of(
            one.key, one.task, one.edit, one.seed, plan, tokens, settings.train, note
        )
    return list(jobs.values()), list(unsound.values())


def _parsed(
    model: Model, domain: Domain, one: Wanted, max_tokens: int
) -> tuple[TrainingPlan, int, str] | InvalidSelfEdit:
    """See `fitting`; the error of an edit that gives nothing to train on."""
    try:
        return fitting(model, domain.parse(one.task, one.edit), max_tokens)
    except InvalidSelfEdit as error:
        return error


def fitting(model: Model, plan: TrainingPlan, max_tokens: int) -> tuple[TrainingPlan, int, str]:
    """The plan without the conversations that are longer than max_tokens, its tokens, and what was left
    out. A text is cut when it is trained on; a conversation would lose the reply that it is for.

    Raises OverLimit if nothing is left, and InvalidSelfEdit if nothing can be predicted (of a text, its
    first token is given), or if the plan's own epochs or learning rate train nothing.
    """
    if plan.epochs is not None and plan.epochs < 1:
        raise InvalidSelfEdit(f"nothing to train: it asks for {plan.epochs} epochs")
    if plan.learning_rate is not None and not 0 < plan.learning_rate < math.inf:
        raise InvalidSelfEdit(f"it asks for a learning rate of {plan.learning_rate:g}, not above 0")
    lengths = [model.sequence_tokens(sequence) for sequence in plan.sequences]
    if max(lengths, default=0) < 2 and not any(sequence.prompt for sequence in plan.sequences):
        raise InvalidSelfEdit("nothing to train on: no text is longer than a token")
    kept = [
        (sequence, length)
        for sequence, length in zip(plan.sequences, lengths, strict=True)
        if sequence.prompt is None or length <= max_tokens
    ]
    if len(kept) == len(lengths):
        return plan, sum(lengths), ""
    note = (
        f"{len(lengths) - len(kept)} of {len(lengths)} training sequences are longer than "
        f"{max_tokens:,} tokens (the longest: {max(lengths):,})"
    )
    if not kept:
        raise OverLimit(f"all {note}")
    fits = replace(plan, sequences=tuple(sequence for sequence, _ in kept))
    return fits, sum(length for _, length in kept), f"not trained on: {note}"
