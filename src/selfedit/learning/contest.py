"""How the candidates of each passage compete: all are trained a little, the best in full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from selfedit.config import InnerSettings
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.loops.groups import best_of, choose
from selfedit.progress import Progress, Renamed
from selfedit.types import Candidate, Group, Proposal


class Run(Protocol):
    """Trains and tests proposals; full: with the settings that the final adapter is trained with."""

    def __call__(
        self, proposals: Sequence[Proposal], settings: InnerSettings, progress: Progress, *, full: bool
    ) -> list[Group]: ...


def compete(
    proposals: Sequence[Proposal], settings: LearnSettings, run: Run, progress: Progress
) -> list[Group]:
    """Each passage's candidates with their results, and the one that is kept, if any.

    Without `heat_epochs` all are trained in full. With it, all are trained for that few epochs first (a
    rung of successive halving, Jamieson & Talwalkar, arXiv 1502.07943), and the best `finalists` then
    in full, from the start: an ordinary trial, as if there had been no heat. A single finalist is kept
    without that, unless the heat reduced what the model knew: the final adapter will show. A routed
    memory has no final adapter, and trains it in full.
    """
    if settings.heat_epochs is None:
        groups = run(proposals, settings, _named(proposals, settings, progress), full=True)
        return [choose(group) for group in groups]
    train = settings.train.model_copy(update={"epochs": settings.heat_epochs, "min_steps": 0})
    short = settings.model_copy(update={"train": train})
    heat = run(proposals, short, _named(proposals, short, progress), full=False)
    if not _num_finals(settings):
        return [_only_finalist(group) for group in heat]
    best = [_leaders(group, settings.finalists) for group in heat]
    left = [
        replace(own, edits=tuple(own.edits[i] for i in places))
        for own, places in zip(proposals, best, strict=True)
        if places
    ]
    finals = iter(run(left, settings, _named(left, settings, progress), full=True) if left else ())
    return [
        _after_final(group, places, next(finals), short) if places else group
        for group, places in zip(heat, best, strict=True)
    ]


def num_trainings(settings: LearnSettings) -> float:
    """Of a passage, in trainings of full length."""
    if settings.heat_epochs is None:
        return settings.seeds * settings.candidates
    heat = settings.candidates * settings.heat_epochs / settings.train.epochs
    return settings.seeds * (heat + _num_finals(settings))


def _num_finals(settings: LearnSettings) -> int:
    """Candidates of a passage that are trained in full after a heat."""
    if settings.finalists == 1 and settings.memory != "routed":
        return 0
    return min(settings.finalists, settings.candidates)


def _named(proposals: Sequence[Proposal], settings: InnerSettings, progress: Progress) -> Progress:
    count, epochs = sum(len(own.edits) for own in proposals), settings.train.epochs
    what = f"training {count} candidate{'s' * (count != 1)}"
    least = "at least " * (settings.train.min_steps > 0)
    return Renamed(progress, f"{what} for {least}{epochs} epoch{'s' * (epochs != 1)}")


def _leaders(group: Group, count: int) -> list[int]:
    """Indices of the best candidates, in their order; the first ones in a tie, and if no question
    distinguishes them."""
    sound = [i for i, one in enumerate(group.candidates) if one.status == "scored"]
    ranked = sorted(sound, key=lambda i: -(group.candidates[i].reward or 0.0))
    return sorted(ranked[:count])


def _only_finalist(group: Group) -> Group:
    """Keep the best one, if it is no worse than the model was."""
    if group.baseline is None:
        return choose(group)
    place = best_of([one.reward for one in group.candidates])
    reward = None if place is None else group.candidates[place].reward
    sound = place is not None and reward is not None and reward >= group.baseline
    return replace(group, kept=(place,) if place is not None and sound else ())


def _after_final(heat: Group, places: Sequence[int], final: Group, short: InnerSettings) -> Group:
    """The finalists as they were in the end, the others as they were left behind."""
    chosen = choose(final)
    candidates = [_left_behind(one, short) for one in heat.candidates]
    for place, one in zip(places, chosen.candidates, strict=True):
        candidates[place] = one
    kept = tuple(places[own] for own in chosen.kept)
    return replace(heat, candidates=tuple(candidates), kept=kept)


def _left_behind(one: Candidate, short: InnerSettings) -> Candidate:
    if one.status != "scored":
        return one
    epochs = short.train.epochs
    return replace(one, reason=f"not among the best after {epochs} epoch{'s' * (epochs != 1)}")
