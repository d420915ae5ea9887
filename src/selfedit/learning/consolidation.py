"""One adapter from everything that is kept, for export: a routed memory goes on from it."""

from __future__ import annotations

import time
from dataclasses import asdict, replace

from selfedit.config import stable_hash
from selfedit.domains.knowledge import Knowledge
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.errors import AdapterError, InputError, SelfEditError
from selfedit.grading import Grader, identity, offline
from selfedit.learning.damage import probed
from selfedit.learning.draft import Draft, Place, commit, final_plan
from selfedit.learning.measuring import graded
from selfedit.learning.outcome import Verdict
from selfedit.learning.shelf import Shelf
from selfedit.learning.standing import Standing, adapter_names, has_none, kind_of, settled
from selfedit.learning.workbench import Workbench
from selfedit.loops.pulse import Watched
from selfedit.loops.runs import recorded_run
from selfedit.loops.sampler import Writer
from selfedit.memory.answers import answers_of
from selfedit.memory.guard import too_damaged
from selfedit.memory.loaded import Loaded
from selfedit.memory.routed import Routed
from selfedit.progress import Progress, by_steps
from selfedit.seams import Adapters
from selfedit.store import AdapterRecord, LearnedDocument
from selfedit.types import LearnResult, ProbeResult, Score, TrainingPlan


def consolidate(
    standing: Standing, settings: LearnSettings, progress: Progress, grader: Grader = offline
) -> LearnResult:
    """Train one adapter on everything that the current version holds, and make it current if it forgot
    little and broke little (`max_forgetting`, `max_damage`); it is kept with the reason otherwise.

    Questions that concern nothing still reach the bare model. A run of the store; killed and called
    again, it goes on with the adapter if that was trained. Where there is one adapter already, nothing
    is trained and the result is of the version that has it: one that was killed just after it made it
    current can be called again. Raises InputError without anything learned, AdapterError for a stack,
    SelfEditError.
    """
    start = time.perf_counter()
    record = _consolidable(standing)
    settings = settled(settings.model_copy(update={"memory": "routed"}), record)
    inputs = {"version": record.version, "grader": identity(grader)}
    progress = watched = Watched(progress)
    with recorded_run(standing.store, "consolidate", standing.model, settings, inputs, watched) as run:
        documents = tuple(map(_unnamed, record.documents))
        bench = Workbench(standing.shelf.library, standing.model)
        plan = final_plan(documents, settings.knowledge)
        key = _key(standing, plan, settings)
        if adapter_names(record) == {Shelf.own(record.version)} and kind_of(record) == "routed":
            bench.remove(key)  # of one that was killed before it did
            done = _as_it_stands(record, standing)
            run.result = done.summary()
            return done
        adapters, losses = _trained(key, plan, standing, bench, settings, progress)
        answering = Routed(
            documents,
            Loaded(standing.model, lambda name: adapters),
            own=key,
            router=standing.router(settings.router),
        )
        draft = Draft(documents, (), record, answering, adapters, losses)
        result = _measured(standing, draft, settings, progress, grader)
        result = _probed(result, draft, standing, settings, progress)
        verdict = _verdict(result, settings)
        place = Place(standing.store, standing.shelf, run.id, standing.model, standing.model)
        done = commit(draft, result, verdict, place)
        bench.remove(key)
        done = replace(done, seconds=time.perf_counter() - start)
        run.result = done.summary()
    return done


def _consolidable(standing: Standing) -> AdapterRecord:
    """The current version, if one adapter can be made of it, or was."""
    record = standing.store.current(standing.model.revision)
    if record is None:
        raise InputError("nothing was learned: the bare model is current")
    if kind_of(record).startswith("stack"):
        raise AdapterError(f"version {record.version} is a {kind_of(record)}: it is one model already")
    if not adapter_names(record):
        raise has_none(record)
    return record


def _as_it_stands(record: AdapterRecord, standing: Standing) -> LearnResult:
    """Of a version that is one adapter of everything: what was measured when it was made."""
    measured = {k: v for k, v in record.scores.items() if k in LearnResult.__dataclass_fields__}
    probe = ProbeResult.from_json(record.scores)
    return LearnResult(
        **measured,
        version=record.version,
        committed=True,
        reason="it has one adapter already, which holds everything; nothing was trained",
        num_trials=0,
        num_invalid=0,
        seconds_per_edit=0.0,
        seconds=0.0,
        adapter_path=str(standing.shelf.place(record.version)),
        report_path=None,
        model=record.model,
        documents=tuple(document.title for document in record.documents),
        settings=record.settings,
        probe=probe if probe.num_general else None,
    )


def _key(standing: Standing, plan: TrainingPlan, settings: LearnSettings) -> str:
    """All that the adapter depends on."""
    return stable_hash(
        {
            "consolidate": 1,
            "model": standing.model.identity,
            "plan": asdict(plan),
            "lora": settings.lora.digest(),
            "train": settings.train.digest(),
            "seed": settings.seed,
        }
    )


def _trained(
    key: str,
    plan: TrainingPlan,
    standing: Standing,
    bench: Workbench,
    settings: LearnSettings,
    progress: Progress,
) -> tuple[Adapters, tuple[float, ...]]:
    """The adapter and its losses; that of a killed run, if it came so far."""
    losses = standing.store.cached([key]).get(key)
    if losses is not None and (kept := bench.find(key)) is not None:
        return kept, tuple(losses)
    progress.start("training one adapter on everything", 100)
    adapters, (trained,) = standing.model.train(
        [plan], settings.lora, settings.train, [settings.seed], on_step=by_steps(progress, 100)
    )
    if trained.failure:
        raise SelfEditError(
            f"the adapter could not be trained: {trained.failure}. Try a lower --learning-rate."
        )
    bench.save(key, adapters)
    standing.store.put_cached("consolidation", {key: list(trained.losses)})
    return adapters, tuple(trained.losses)


def _unnamed(document: LearnedDocument) -> LearnedDocument:
    passages = tuple(replace(passage, adapter="") for passage in document.passages)
    return replace(document, passages=passages)


def _measured(
    standing: Standing,
    draft: Draft,
    settings: LearnSettings,
    progress: Progress,
    grader: Grader,
) -> LearnResult:
    """The questions that are reported of the documents, asked of the version before and the draft."""
    domain = Knowledge(settings.knowledge, grader)
    queries = tuple(query for document in draft.documents for query in document.reported)
    prompts = [domain.question(query) for query in queries]
    writer = Writer(standing.model, standing.store, progress)
    replies = answers_of(standing.of(draft.parent), prompts, writer, "version before")
    before = graded(domain, queries, [reply.text for reply in replies])
    replies = answers_of(draft.answering, prompts, writer, "new adapter")
    after = graded(domain, queries, [reply.text for reply in replies])
    old, new = Score(before).value, Score(after).value
    return LearnResult(
        accuracy_before=old,
        accuracy_after=new,
        num_questions=len(queries),
        held_out=any(document.held_out for document in draft.documents),
        version=None,
        committed=False,
        reason="",
        num_trials=0,
        num_invalid=0,
        seconds_per_edit=0.0,
        seconds=0.0,
        adapter_path=None,
        report_path=None,
        model=standing.model.name,
        documents=tuple(document.title for document in draft.documents),
        settings=settings.model_dump(mode="json"),
        final_losses=draft.losses,
        num_older=len(queries),
        older_before=old,
        older_after=new,
    )


def _probed(
    result: LearnResult,
    draft: Draft,
    standing: Standing,
    settings: LearnSettings,
    progress: Progress,
) -> LearnResult:
    lost = _lost(result)
    if lost > settings.max_forgetting + 1e-9:
        return result
    return probed(result, draft, standing.model, settings, progress, certain=True)


def _lost(result: LearnResult) -> float:
    return result.accuracy_before - result.accuracy_after


def _verdict(result: LearnResult, settings: LearnSettings) -> Verdict:
    n, told = result.num_questions, "no question was asked"
    if n > 0:
        lost = _lost(result)
        told = f"{round(result.accuracy_before * n)} of {n} right before, "
        told += f"{round(result.accuracy_after * n)} of {n} after"
        if lost > settings.max_forgetting + 1e-9:
            return Verdict(
                False,
                f"one adapter knows {100 * lost:.0f} points less than many, more than the "
                f"{100 * settings.max_forgetting:.0f} allowed (--max-forgetting): {told}",
            )
    if result.probe is not None and (damage := too_damaged(result.probe, settings.max_damage)):
        return Verdict(False, damage)
    return Verdict(True, told)
