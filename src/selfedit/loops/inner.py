"""The inner loop: self-edits are trained, each into its own adapter, and tested closed-book.

A wave is a group of self-edits that train together over one frozen model, with the result of training
each alone. Finished trials go to `sink` wave by wave, so that a killed run loses one wave at most.
`runners.local` says where they are kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from selfedit.config import InnerSettings
from selfedit.errors import OutOfMemory
from selfedit.loops.jobs import asked_trials, plan_jobs
from selfedit.loops.measures import Asked, Measure
from selfedit.loops.waves import Job, Wave, WaveBudget, plan_waves
from selfedit.progress import Progress, Silent, Tracked, by_steps
from selfedit.seams import Adapters, Domain, Model
from selfedit.types import SelfEdit, Task, TrainingRecord, Trial

# Told of finished trials with the bank that they were trained in: the k-th trial has the k-th adapter.
Keep = Callable[[Sequence[Trial], Adapters], None]

# Share of training in a wave's progress; answering is the rest.
_TRAINING_SHARE = 0.9


def run_trials(
    model: Model,
    domain: Domain,
    pairs: Sequence[tuple[Task, SelfEdit]],
    settings: InnerSettings,
    *,
    known: Callable[[Sequence[str]], dict[str, Trial]] = lambda keys: {},
    sink: Callable[[Sequence[Trial]], None] = lambda trials: None,
    keep: Keep = lambda trials, bank: None,
    progress: Progress | None = None,
) -> list[Trial]:
    """Score every (task, edit) with each of `settings.seeds` seeds; trials in that order.

    known(keys): finished trials, which are not run again. sink(trials): called as trials finish; keep
    before it, with their adapters.
    """
    progress = progress or Silent()
    asked = asked_trials(model, domain, pairs, settings)
    found = known([one.key for one in asked])
    jobs, unsound = plan_jobs(model, domain, asked, settings)
    if new := [trial for trial in unsound if trial.key not in found]:
        sink(new)
        found.update((trial.key, trial) for trial in new)
    progress.start("training and testing self-edits", len(jobs))
    for wave in plan_waves(jobs, WaveBudget.of(model, settings)):
        # Waves are planned over all jobs, done or not, so that a resumed run has the same waves.
        missing = [job for job in wave.jobs if job.key not in found]
        if missing:
            trials = run_wave(model, domain, wave.part(missing), settings, progress, keep)
            sink(trials)
            found.update((trial.key, trial) for trial in trials)
        progress.advance(len(wave.jobs) - len(missing))
    # Edits that share a trial each get it as their own.
    return [replace(found[one.key], task_id=one.task.id, edit=one.edit) for one in asked]


def run_wave(
    model: Model,
    domain: Domain,
    wave: Wave,
    settings: InnerSettings,
    progress: Progress,
    keep: Keep = lambda trials, bank: None,
) -> list[Trial]:
    """Train and test a wave; one that does not fit into memory is halved. Raises OutOfMemory if a
    single self-edit does not fit: that is not the edit's fault, so there is no trial of it."""
    start, tracked, measure = time.perf_counter(), Tracked(progress), Measure(settings.measure)
    try:
        bank, records = train(model, wave, settings, tracked)
        asked = ask(model, domain, wave.jobs, bank, records, measure)
    except OutOfMemory as error:
        if len(wave.jobs) == 1:
            raise
        tracked.take_back()
        progress.warn(f"{error}: going on with waves of half as many self-edits")
    else:
        tracked.advance((1 - _TRAINING_SHARE) * len(wave.jobs))
        seconds = time.perf_counter() - start
        trials = score(domain, wave.jobs, records, asked, measure, seconds)
        keep(trials, bank)
        return trials
    return [
        trial
        for part in wave.halves()
        for trial in run_wave(model, domain, part, settings, progress, keep)
    ]


def train(
    model: Model, wave: Wave, settings: InnerSettings, progress: Progress
) -> tuple[Adapters, list[TrainingRecord]]:
    """An adapter for each job, and the record of its training."""
    return model.train(
        [job.plan for job in wave.jobs],
        settings.lora,
        settings.train,
        [job.seed for job in wave.jobs],
        slots=wave.slots,
        on_step=by_steps(progress, _TRAINING_SHARE * len(wave.jobs)),
    )


def ask(
    model: Model,
    domain: Domain,
    jobs: Sequence[Job],
    bank: Adapters,
    records: Sequence[TrainingRecord],
    measure: Measure,
) -> dict[int, Asked]:
    """What each adapter says to the queries of its task, by its number; one whose training failed is
    not asked."""
    sound = [k for k, record in enumerate(records) if not record.failure]
    asked = measure.ask(model, domain, [jobs[k].task for k in sound], bank, sound)
    return dict(zip(sound, asked, strict=True))


def score(
    domain: Domain,
    jobs: Sequence[Job],
    records: Sequence[TrainingRecord],
    asked: Mapping[int, Asked],
    measure: Measure,
    seconds: float,
) -> list[Trial]:
    """The jobs' trials. seconds: the wave's wall time, divided among them by tokens."""
    whole = sum(job.tokens for job in jobs)
    trials = []
    for k, (job, record) in enumerate(zip(jobs, records, strict=True)):
        failure, found = record.failure, None
        if k in asked:
            found = measure.score(domain, job.task, asked[k])
            failure = "" if found is not None else "the adapted model's probabilities are not numbers"
        trial = Trial(
            key=job.key,
            task_id=job.task.id,
            edit=job.edit,
            seed=job.seed,
            status="failed" if failure else "scored",
            reason=failure or job.note,
            score=found,
            losses=tuple(record.losses),
            tokens=record.tokens,
            seconds=seconds * job.tokens / whole,
            plan=job.plan,
        )
        trials.append(trial)
    return trials
