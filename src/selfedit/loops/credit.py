"""Credit by statement: each completion of an edit earns the gain in the questions that it is about.

An edit of the strategy `sentences` is many completions, and its reward says nothing about which of
them was good. A question's gain (what it is worth after training, less before) goes to the completions
that restate the sentence it asks about; the others are neither praised nor blamed for it. So an
algorithm gets as many lessons from a context as it has sentences with questions, instead of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from selfedit.errors import InputError
from selfedit.loops.groups import trials_of
from selfedit.seams import Domain, Statements
from selfedit.store import Store
from selfedit.types import Candidate, Group, Proposal, Score, SelfEdit, Task, Trial

_Asked = tuple[str, str]  # a question and its gold answer


def check_credit(domain: Domain, task: Task) -> Statements:
    """The domain. Raises InputError if its edits, or those of its strategy, are not made of statements
    that are about something."""
    if not isinstance(domain, Statements):
        raise InputError("edits of this domain are not made of statements (--credit statement).")
    domain.about(task, SelfEdit(task.id, 0, (), ()))
    return domain


def credited(
    store: Store, domain: Domain, proposals: Iterable[Proposal], groups: Iterable[Group]
) -> Iterator[Group]:
    """The groups, each candidate with its credits, as they come. Raises InputError (see
    `check_credit`)."""
    for own, group in zip(proposals, groups, strict=True):
        known, before = check_credit(domain, own.task), worths(own.bare)
        (trials,) = trials_of(store, [group])
        candidates = tuple(
            replace(one, credits=credits_of(known, group, one, seeds, before))
            for one, seeds in zip(group.candidates, trials, strict=True)
        )
        yield replace(group, candidates=candidates)


def credits_of(
    domain: Statements,
    group: Group,
    one: Candidate,
    trials: Sequence[Trial],
    before: Mapping[_Asked, float],
) -> tuple[float | None, ...]:
    """For each completion the mean gain, over seeds, of the questions that it is about; None where
    there is none, or a seed has no score."""
    after = [worths(trial.score) for trial in trials]
    gains: list[float | None] = []
    for query in group.task.queries:
        asked = (query.question, query.gold)
        known = asked in before and bool(after) and all(asked in own for own in after)
        mean = sum(own[asked] for own in after) / len(after) if known else None
        gains.append(None if mean is None else mean - before[asked])
    return tuple(_mean([gains[i] for i in own]) for own in domain.about(group.task, one.edit))


def worths(score: Score | None) -> dict[_Asked, float]:
    """What each question is worth in a score."""
    answers = () if score is None else score.answers
    return {(answer.question, answer.gold): answer.worth for answer in answers}


def by_statement(groups: Sequence[Group]) -> list[Group]:
    """A group for each place of the edits' completions at which any has earned something.

    The candidates are the completions there, each with its gain for a reward and nothing for a
    baseline, so that every algorithm learns from statements as it does from edits. One of an edit that
    was invalid or failed stays what it was.
    """
    return [
        part
        for group in groups
        for place in range(max((len(one.credits) for one in group.candidates), default=0))
        if (part := _at(group, place)) is not None
    ]


def _at(group: Group, place: int) -> Group | None:
    found = []
    for one in group.candidates:
        credit = one.credits[place] if place < len(one.credits) else None
        bad = one.status in ("invalid", "failed")
        if place < len(one.edit.completions) and (bad or credit is not None):
            edit = replace(
                one.edit,
                prompts=one.edit.prompts[place : place + 1],
                completions=one.edit.completions[place : place + 1],
                drawn=one.edit.drawn[place : place + 1],
            )
            found.append(Candidate(edit, (credit,), one.status, one.reason))
    earned = any(one.reward is not None for one in found)
    return Group(group.task, 0.0, tuple(found)) if earned else None


def _mean(gains: Sequence[float | None]) -> float | None:
    known = [gain for gain in gains if gain is not None]
    return sum(known) / len(known) if known else None
