"""One context of a `train` run: the choice of it, and its self-edits over the rounds side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from selfedit.domains.evaluable import Evaluable
from selfedit.errors import InputError
from selfedit.show.page import Column, Entry, Look, Notes, Section, SideBySide, Table
from selfedit.show.wording import percent, points
from selfedit.store import Store
from selfedit.types import Candidate, Group, Trial

MOST_CONTEXTS = 300  # in the list of contexts


@dataclass
class Seen:
    """A context and the rounds in which it was sampled, with its accuracies there."""

    id: str
    title: str
    rounds: list[int] = field(default_factory=list)
    baselines: list[float | None] = field(default_factory=list)
    best: list[float | None] = field(default_factory=list)


def choose_context(seen: Sequence[Seen], wanted: str | None) -> Seen | None:
    """The requested one; else the first that was sampled in most rounds."""
    if wanted is None:
        return max(seen, key=lambda own: len(own.rounds), default=None)
    found = [own for own in seen if own.id == wanted]
    found = found or [own for own in seen if own.title.casefold() == wanted.casefold()]
    found = found or [own for own in seen if len(wanted) > 3 and own.id.startswith(wanted)]
    found = found or [own for own in seen if wanted.casefold() in own.title.casefold()]
    if not found:
        raise InputError(f"--context {wanted}: no context of this run has that id or title.")
    if len(found) > 1:
        ids = ", ".join(f"{own.id} ({own.title})" for own in found[:8])
        raise InputError(f"--context {wanted}: {len(found)} contexts fit; name one by its id: {ids}.")
    return found[0]


def context_section(
    store: Store,
    chosen: Seen,
    shown: Sequence[tuple[int, Group]],
    domain: Evaluable,
) -> Section:
    _, first = shown[0]
    noun = domain.noun
    blocks = domain.picture(first.task)
    columns = tuple(_column(store, number, own, domain) for number, own in shown)
    heading = "The self-edits of each round side by side"
    blocks.append(SideBySide(heading, columns))
    if len(shown) == 1:
        again = f"this {noun} was sampled in one round only"
        blocks.append(Notes((again,)))
    return Section(f"One {noun}: {chosen.title or chosen.id} ({chosen.id[:8]})", tuple(blocks))


def _column(store: Store, number: int, group: Group, domain: Evaluable) -> Column:
    trials = store.trials(key for one in group.candidates for key in one.trials)
    entries = tuple(
        _entry(group, place, [trials[key] for key in one.trials if key in trials], domain)
        for place, one in enumerate(group.candidates)
    )
    return Column(f"Round {number}", f"Without an edit: {percent(group.baseline)}", entries)


def _entry(group: Group, place: int, trials: Sequence[Trial], domain: Evaluable) -> Entry:
    one, selected = group.candidates[place], place in group.kept
    tag = "selected" if selected else _unselected(one)
    look: Look = "good" if selected else _look(one)
    line = percent(one.reward) if one.reward is not None else "no reward"
    if one.reward is not None and group.baseline is not None:
        line += f" ({points(one.reward - group.baseline)})"
    known = [reward for reward in one.rewards if reward is not None]
    if len(one.rewards) > 1 and known:
        line += f"; by seed: {', '.join(map(percent, known))}"
    if any(earned is not None for earned in one.credits):
        said = [points(earned) for earned in one.credits if earned is not None]
        line += f"; credit of its statements: {', '.join(said)}"
    if right := _right(trials, domain):
        line += f"; right: {right}"
    return Entry(f"Edit {place + 1}", tag, look, line, one.edit.text, one.reason)


def _unselected(one: Candidate) -> str:
    return {"scored": "not selected", "unscored": "not trained"}.get(one.status, one.status)


def _look(one: Candidate) -> Look:
    looks: dict[str, Look] = {"invalid": "warn", "failed": "bad"}
    return looks.get(one.status, "")


def _right(trials: Sequence[Trial], domain: Evaluable) -> str:
    """Which questions were answered right, and by how many seeds: "1, 3 (2 of 3 seeds)"."""
    scores = [trial.score.answers for trial in trials if trial.score is not None]
    if not scores or len({len(answers) for answers in scores}) > 1:
        return ""
    said = []
    for place in range(len(scores[0])):
        graded = [answers[place] for answers in scores]
        right = sum(map(domain.is_right, graded))
        if right:
            seeds = f" ({right} of {len(scores)} seeds)" if right < len(scores) else ""
            said.append(f"{place + 1}{seeds}")
    noun = f"{domain.query_noun}{'s' * (len(said) > 1)}"
    return f"{noun} {', '.join(said)}" if said else "none"


def contexts_section(seen: Sequence[Seen], noun: str) -> Section:
    rows = [
        (
            own.id[:8],
            own.title,
            ", ".join(map(str, own.rounds)),
            ", ".join(map(percent, own.baselines)),
            ", ".join(map(percent, own.best)),
        )
        for own in seen[:MOST_CONTEXTS]
    ]
    caption = "Choose one with --context ID."
    if len(seen) > MOST_CONTEXTS:
        caption += f" The first {MOST_CONTEXTS} of {len(seen):,}."
    headings = ("id", "title", "rounds", "without edits", "best edit")
    return Section(f"{noun.capitalize()}s", (Table(headings, tuple(rows), caption),), folded=True)
