"""The inner loop: self-edits are trained, each into its own adapter, and tested closed-book.

A wave is a group of self-edits that train together over one frozen model, with the result of training
each alone. What is finished is handed to `sink` wave by wave, so that a killed run loses one wave.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from selfedit.config import ANSWER_SAMPLING, InnerSettings, stable_hash
from selfedit.errors import InvalidSelfEdit, OutOfMemory, OverLimit
from selfedit.loops.waves import Job, Wave, WaveBudget, plan_waves
from selfedit.progress import Progress, Silent, by_steps
from selfedit.seams import Canonical, Domain, Model
from selfedit.types import SelfEdit, Task, TrainingPlan, Trial, TrialStatus


def trial_key(
    model: Model, domain: Domain, task: Task, edit: SelfEdit, seed: int, settings: InnerSettings
) -> str:
    """Hash of everything that determines a trial; a finished trial with this key is never rerun."""
    return stable_hash(
        {
            "model": model.identity,
            "context": [task.title, task.context],
            "questions": [[q.question, q.answers, q.topic] for q in task.queries],
            **_said(domain, task, edit),
            "domain": domain.digest(),
            "lora": settings.lora.digest(),
            "train": settings.train.digest(),
            "seed": seed,
        }
    )


def _said(domain: Domain, task: Task, edit: SelfEdit) -> dict[str, object]:
    """What an edit says, however it is worded, if the domain can tell; else its very words."""
    if isinstance(domain, Canonical):
        try:
            return {"edit": domain.canonical(task, edit)}
        except InvalidSelfEdit:
            pass
    return {
        "prompts": [[p.text, p.kind, p.prefix, p.turns] for p in edit.prompts],
        "edit": edit.completions,
    }


def run_trials(
    model: Model,
    domain: Domain,
    pairs: Sequence[tuple[Task, SelfEdit]],
    settings: InnerSettings,
    *,
    known: Callable[[Sequence[str]], dict[str, Trial]] = lambda keys: {},
    sink: Callable[[Sequence[Trial]], None] = lambda trials: None,
    progress: Progress | None = None,
) -> list[Trial]:
    """Score every (task, edit) with each of `settings.seeds` seeds; trials in that order.

    known(keys): finished trials, which are not run again. sink(trials): called as trials finish.
    """
    progress = progress or Silent()
    seeds = range(settings.seed, settings.seed + settings.seeds)
    order = [(task, edit, seed) for task, edit in pairs for seed in seeds]
    keys = [trial_key(model, domain, task, edit, seed, settings) for task, edit, seed in order]
    found = known(keys)
    jobs: dict[str, Job] = {}
    for key, (task, edit, seed) in zip(keys, order, strict=True):
        if key in jobs:
            continue
        try:
            plan, tokens, note = fitting(model, domain.parse(task, edit), settings.train.max_tokens)
        except InvalidSelfEdit as error:
            if key not in found:
                status: TrialStatus = "failed" if isinstance(error, OverLimit) else "invalid"
                found[key] = Trial(key, task.id, edit, seed, status, str(error))
                sink([found[key]])
            continue
        jobs[key] = Job.of(key, task, edit, seed, plan, tokens, settings.train, note)
    progress.start("training and testing self-edits", len(jobs))
    for wave in plan_waves(list(jobs.values()), WaveBudget.of(model, settings)):
        # Waves are planned over all jobs, done or not, so that a resumed run has the same waves.
        missing = [job for job in wave.jobs if job.key not in found]
        if missing:
            trials = run_wave(model, domain, wave.part(missing), settings, progress)
            sink(trials)
            found.update((trial.key, trial) for trial in trials)
        progress.advance(len(wave.jobs) - len(missing))
    return [
        replace(found[key], task_id=task.id, edit=edit)  # of those that share it, each its own
        for key, (task, edit, _) in zip(keys, order, strict=True)
    ]


def fitting(model: Model, plan: TrainingPlan, max_tokens: int) -> tuple[TrainingPlan, int, str]:
    """The plan without the conversations that are longer than max_tokens, its tokens, and what was left
    out. A text is cut when it is trained on; a conversation would lose the reply that it is for.

    Raises OverLimit if nothing is left.
    """
    lengths = [model.sequence_tokens(sequence) for sequence in plan.sequences]
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


# Share of a wave's progress that its training stands for; answering is the rest.
_TRAINING_SHARE = 0.9


def run_wave(
    model: Model, domain: Domain, wave: Wave, settings: InnerSettings, progress: Progress
) -> list[Trial]:
    """Train the wave's adapters together, ask each its task's questions, score the answers.

    A wave that does not fit into memory is halved, again and again. Raises OutOfMemory where a single
    self-edit does not fit: that is never a trial with a bad score.
    """
    tracked = _Tracked(progress)
    try:
        return _run_together(model, domain, wave, settings, tracked)
    except OutOfMemory as error:
        if len(wave.jobs) == 1:
            raise
        tracked.take_back()
        progress.warn(f"{error}: going on with waves of half as many self-edits")
    return [
        trial for part in wave.halves() for trial in run_wave(model, domain, part, settings, progress)
    ]


class _Tracked:
    """Progress that can be taken back, when work has to be done again."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._shown = 0.0

    def start(self, name: str, total: int) -> None:
        self._progress.start(name, total)

    def advance(self, amount: float = 1) -> None:
        self._shown += amount
        self._progress.advance(amount)

    def note(self, text: str) -> None:
        self._progress.note(text)

    def warn(self, text: str) -> None:
        self._progress.warn(text)

    def take_back(self) -> None:
        self._progress.advance(-self._shown)


def _run_together(
    model: Model, domain: Domain, wave: Wave, settings: InnerSettings, progress: Progress
) -> list[Trial]:
    start = time.perf_counter()
    jobs = wave.jobs
    bank, records = model.train(
        [job.plan for job in jobs],
        settings.lora,
        settings.train,
        [job.seed for job in jobs],
        slots=wave.slots,
        on_step=by_steps(progress, _TRAINING_SHARE * len(jobs)),
    )
    good = [k for k, record in enumerate(records) if not record.failure]
    queries = {k: domain.queries(jobs[k].task) for k in good}
    asked = [(k, prompt) for k in good for prompt in queries[k]]
    replies = iter(
        model.sample(
            [prompt for _, prompt in asked],
            ANSWER_SAMPLING,
            [0] * len(asked),
            adapters=bank,
            owners=[k for k, _ in asked],
        )
    )
    progress.advance((1 - _TRAINING_SHARE) * len(jobs))
    seconds = time.perf_counter() - start
    whole = sum(job.tokens for job in jobs)
    trials = []
    for k, job in enumerate(jobs):
        record = records[k]
        score = None
        if not record.failure:
            score = domain.score(job.task, [next(replies).text for _ in queries[k]])
        trials.append(
            Trial(
                key=job.key,
                task_id=job.task.id,
                edit=job.edit,
                seed=job.seed,
                status="failed" if record.failure else "scored",
                reason=record.failure or job.note,
                score=score,
                losses=tuple(record.losses),
                tokens=record.tokens,
                seconds=seconds * job.tokens / whole,
                plan=job.plan,
            )
        )
    return trials
