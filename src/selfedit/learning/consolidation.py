"""One adapter from everything that is kept, for export: a routed memory goes on from it."""

from __future__ import annotations

import time
from dataclasses import replace

from selfedit.config import ANSWER_SAMPLING
from selfedit.domains.knowledge import Knowledge
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.errors import AdapterError, InputError, SelfEditError
from selfedit.grading import Grader, offline
from selfedit.learning.damage import probed
from selfedit.learning.draft import Draft, Place, commit, final_plan
from selfedit.learning.measuring import graded
from selfedit.learning.outcome import Verdict
from selfedit.learning.standing import Standing, kind_of
from selfedit.loops.sampler import Writer
from selfedit.memory.answers import answers_of
from selfedit.memory.guard import too_damaged
from selfedit.memory.loaded import Loaded
from selfedit.memory.routed import Routed
from selfedit.progress import Progress, by_steps
from selfedit.store import LearnedDocument
from selfedit.types import LearnResult, Score


def consolidate(
    standing: Standing, settings: LearnSettings, progress: Progress, grader: Grader = offline
) -> LearnResult:
    """Train one adapter on everything that the current version holds, and make it current if it forgot
    little and broke little (`max_forgetting`, `max_damage`); it is kept with the reason otherwise.

    Questions that concern nothing still reach the bare model. Raises InputError without anything
    learned, AdapterError for a stack, SelfEditError.
    """
    start = time.perf_counter()
    record = standing.store.current(standing.model.revision)
    if record is None:
        raise InputError("nothing was learned: the bare model is current")
    if kind_of(record).startswith("stack"):
        raise AdapterError(f"version {record.version} is a {kind_of(record)}: it is one model already")
    settings = settings.model_copy(update={"memory": "routed"})
    documents = tuple(map(_unnamed, record.documents))
    progress.start("training one adapter on everything", 100)
    adapters, (trained,) = standing.model.train(
        [final_plan(documents, settings.knowledge)],
        settings.lora,
        settings.train,
        [settings.seed],
        on_step=by_steps(progress, 100),
    )
    if trained.failure:
        raise SelfEditError(
            f"the adapter could not be trained: {trained.failure}. Try a lower --learning-rate."
        )
    answering = Routed(documents, Loaded(standing.model, lambda name: adapters), own="own")
    draft = Draft(documents, record, answering, adapters, tuple(trained.losses))
    result = _measured(standing, draft, settings, progress, grader)
    result = _probed(result, draft, standing, settings, progress)
    verdict = _verdict(result, settings)
    place = Place(standing.store, standing.shelf, None, standing.model, standing.model)
    done = commit(draft, result, verdict, place)
    return replace(done, seconds=time.perf_counter() - start)


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
    progress.start("asking the new adapter", len(prompts))
    # Not `answers_of`: what it keeps goes by an adapter's name, and this one has none yet.
    replies = draft.answering.sample(standing.model, prompts, ANSWER_SAMPLING, on_done=progress.advance)
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
    lost, n = _lost(result), result.num_questions
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
