"""The condition `best`: several edits of the bare model, of which its own questions choose one.

What RL gains has to be held against what choosing alone gains: N edits of each context are trained, and
the one is taken that answers most of the questions which the model wrote about the context itself
(`own_questions`; blanks where it wrote none that are usable). The evaluation's questions take no part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from selfedit.domains.conditions import Bench, Outcome, with_note
from selfedit.domains.knowledge.domain import Knowledge
from selfedit.domains.knowledge.regimes import learn_and_answer, one_by_one, settings_of
from selfedit.errors import InputError, InvalidSelfEdit
from selfedit.show.wording import duration
from selfedit.types import SelfEdit, Task, Trial, mean_of


def check(bench: Bench) -> None:
    """Raises InputError where there is nothing to choose from."""
    one_by_one(bench, "best")
    if settings_of(bench).inner.knowledge.strategy == "none":
        raise InputError("the condition `best` chooses among self-edits: use another --strategy.")


def best(bench: Bench) -> Outcome:
    """The chosen edits' answers to the evaluation's questions; tokens and seconds are those of all
    trainings, of the choice, too.

    A chosen edit is trained with the seeds by which it was chosen, so it is the very adapter that was
    chosen which is measured.
    """
    settings, domain = settings_of(bench), bench.domain
    assert isinstance(domain, Knowledge)
    inner, model = settings.inner, bench.model
    wide = inner.model_copy(update={"candidates": settings.best_of})
    edits = bench.propose(model, domain, wide)
    unseen = [replace(task, queries=()) for task in bench.tasks]
    asked, said = domain.own_questions(unseen, "own", partial(bench.answer, model))
    # Where nothing can be asked, nothing is trained to be compared.
    tried = [own if task.queries else [] for task, own in zip(asked, edits, strict=True)]
    trials = bench.trials(model, domain, tried, wide, asked)
    chosen = [
        [own[_chosen(domain, task, own, done, inner.seeds)]]
        for task, own, done in zip(asked, edits, trials, strict=True)
    ]
    outcome = learn_and_answer(bench, model, domain, chosen, inner)
    every = {trial.key: trial for own in trials for trial in own}
    ran = [trial for trial in every.values() if trial.score is not None or trial.tokens]
    tokens, seconds = sum(trial.tokens for trial in ran), sum(trial.seconds for trial in ran)
    unsound = len(every) - sum(trial.score is not None for trial in every.values())
    note = (
        f"chosen among {settings.best_of} edits, at the cost of {len(ran):,} trainings, {tokens:,} "
        f"tokens and {duration(seconds)} ({unsound:,} trials invalid or failed), which are counted here"
    )
    outcome = replace(
        outcome,
        writer=model.name,
        tokens=outcome.tokens + tokens,
        seconds=None if outcome.seconds is None and not ran else (outcome.seconds or 0.0) + seconds,
        trainings=outcome.trainings + len(ran),
    )
    return with_note(outcome, "; ".join((note, *said)))


def _chosen(
    domain: Knowledge, task: Task, edits: Sequence[SelfEdit], trials: Sequence[Trial], seeds: int
) -> int:
    """The place of the edit with the best mean over its seeds, the first of equals. trials: one for
    each edit and seed; none if there is nothing to ask about, and then the first sound edit counts."""
    if trials:
        parts = [trials[at : at + seeds] for at in range(0, len(trials), seeds)]
        rewards = [mean_of([trial.reward for trial in own]) for own in parts]
        means = [-1.0 if reward is None else reward for reward in rewards]
        return means.index(max(means))
    return next((i for i, edit in enumerate(edits) if _is_sound(domain, task, edit)), 0)


def _is_sound(domain: Knowledge, task: Task, edit: SelfEdit) -> bool:
    try:
        domain.parse(task, edit)
    except InvalidSelfEdit:
        return False
    return True
