"""The report of a `train` run: its rounds, and the edits of one context over them side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from selfedit.domains.stored import domain_of
from selfedit.evaluation.lineage import rounds_of
from selfedit.grading.reliability import Rewards
from selfedit.grading.statistics import Interval, accuracy_interval, paired_difference, verdict
from selfedit.loops.rounds import RoundRecord, context_values, stored_groups
from selfedit.loops.trust import rewards_of
from selfedit.report.one_context import Seen, choose_context, context_section, contexts_section
from selfedit.report.rewards import measured_as, rewards_section
from selfedit.report.round_metrics import writing_section
from selfedit.report.runs import (
    Report,
    facts,
    failure,
    run_values,
    settings_section,
    trials_section,
    valid_edits,
)
from selfedit.show.page import (
    Block,
    Look,
    Notes,
    Page,
    Plot,
    Section,
    Table,
)
from selfedit.show.plots import interval_lines, loss_curves
from selfedit.show.wording import duration, percent, plural, points
from selfedit.store import RunRecord, Store
from selfedit.types import Group

_HEADINGS = (
    "round", "{}s", "without edits", "mean edit", "best edit", "mean edit − without",  # noqa: RUF001
    "valid edits", "selected", "loss", "time",
)  # fmt: skip


@dataclass
class Measured:
    """A round's contexts that have questions and rewards: without edits, mean edit, best edit.

    rewards: of all its contexts, [context][edit][seed]. contexts: how many it has. edits, rewarded: how
    many edits they have, and how many of those have a reward.
    """

    baseline: list[float] = field(default_factory=list)
    mean: list[float] = field(default_factory=list)
    best: list[float] = field(default_factory=list)
    rewards: list[Rewards] = field(default_factory=list)
    contexts: int = 0
    edits: int = 0
    rewarded: int = 0

    def values(self, record: RoundRecord) -> dict[str, tuple[float | None, list[float]]]:
        """What is said of the round, with what each context has of it: where there is nothing, the
        record's number (ratings, for instance)."""
        said = (
            ("without edits", record.baseline, self.baseline),
            ("mean edit", None if record.of_reader else record.mean_reward, self.mean),
            ("best edit", None if record.of_reader else record.best_reward, self.best),
        )
        return {name: (math.fsum(own) / len(own) if own else of_all, own) for name, of_all, own in said}


def train_report(store: Store, run: RunRecord, context: str | None) -> Report:
    """context: id, the beginning of an id, or title. Raises InputError if there is no such one."""
    records = rounds_of(store, run)
    key = str(run.inputs.get("key"))
    seen: dict[str, Seen] = {}
    rated = run.settings.get("reward") == "proxy"
    domain = domain_of(run)
    noun = domain.noun
    measured = {r.number: _read(_groups(store, key, r, rated), r.number, seen) for r in records}
    chosen = choose_context(list(seen.values()), context)
    shown = [] if chosen is None else _of_context(store, key, records, chosen, rated)
    reward = measured_as(run.settings, domain)
    sections = [Section("Rounds", _rounds(records, measured, rated, noun, reward))] if records else []
    trusted: dict[str, Any] = {}
    if seen and not rated:
        section, trusted = rewards_section({n: own.rewards for n, own in measured.items()})
        sections += section
    if any(record.metrics for record in records):
        sections.append(writing_section(records))
    if shown and chosen is not None:
        sections.append(context_section(store, chosen, shown, domain))
    elif records and not seen:
        note = "the edits of these rounds were not kept: an earlier version of selfedit ran them"
        sections.append(Section("Self-edits", (Notes((note,)),)))
    if seen:
        sections.append(contexts_section(list(seen.values()), noun))
    if records and (curves := loss_curves({f"round {r.number}": r.losses for r in records})):
        words = "training loss of the policy updates"
        sections.append(Section("Policy updates", (Plot(curves, words),)))
    if notes := tuple(run.inputs.get("notes") or ()):
        sections.append(Section("Notes", (Notes(notes),)))
    if run.status != "finished":
        sections.append(trials_section(store, run))
    more = (("Policy", records[-1].policy),) if records else ()
    said, look = _verdict(run, records, measured, noun)
    page = Page(
        "selfedit train",
        "What the policy learned",
        facts(run, (f"{noun.capitalize()}s", str(run.inputs.get("tasks", "—"))), *more),
        said,
        look,
        (*sections, settings_section(run)),
    )
    values = run_values(store, run) | {
        "rounds": [asdict(r) for r in records],
        "rewards": {"measure": reward, "reliability": trusted},
        "contexts": [asdict(own) for own in seen.values()],
        "context": None if chosen is None else {"id": chosen.id, "title": chosen.title},
        "context_rounds": [{"round": number, **context_values(own)} for number, own in shown],
    }
    return Report(page, values)


def _read(groups: Iterable[Group], number: int, seen: dict[str, Seen]) -> Measured:
    """Note each context in `seen`, and collect what the round measured."""
    measured = Measured()
    for group in groups:
        measured.rewards += rewards_of([group])
        own = seen.setdefault(group.task.id, Seen(group.task.id, group.task.title))
        rewards = [one.reward for one in group.candidates if one.reward is not None]
        best = max(rewards, default=None)
        measured.contexts += 1
        measured.edits += len(group.candidates)
        measured.rewarded += len(rewards)
        if number not in own.rounds:
            own.rounds.append(number)
            own.baselines.append(group.baseline)
            own.best.append(best)
        if group.baseline is not None and best is not None:
            measured.baseline.append(group.baseline)
            measured.mean.append(math.fsum(rewards) / len(rewards))
            measured.best.append(best)
    return measured


def _groups(store: Store, key: str, record: RoundRecord, rated: bool) -> Iterator[Group]:
    """A round's groups. rated: their rewards are a judge's ratings, which do not compare with
    accuracies."""
    for group in stored_groups(store, key, record):
        yield replace(group, baseline=None) if rated else group


def _of_context(
    store: Store, key: str, records: Sequence[RoundRecord], chosen: Seen, rated: bool
) -> list[tuple[int, Group]]:
    """The chosen context as each round saw it."""
    return [
        (record.number, own)
        for record in records
        if record.number in chosen.rounds
        for own in [next(g for g in _groups(store, key, record, rated) if g.task.id == chosen.id)]
    ]


# -- rounds ----------------------------------------------------------------------------------------


def _rounds(
    records: Sequence[RoundRecord],
    measured: dict[int, Measured],
    rated: bool,
    noun: str,
    reward: str,
) -> tuple[Block, ...]:
    """reward: what is measured, in words."""
    headings = tuple(heading.format(noun) for heading in _HEADINGS)
    table = Table(headings, tuple(_round_row(record, measured[record.number]) for record in records))
    if rated:
        note = (
            "edits were rated by a judge, not trained: their numbers are its ratings, with 1 as 0% and "
            "5 as 100%, and do not compare with the accuracy without edits"
        )
        return (table, Notes((note, *_round_notes(records, measured, noun))))
    notes = [
        f"{reward}; intervals: 95 %, bootstrap over the round's {noun}s",
        f"the best edit of each {noun} is the best of several tries: by chance alone it is above the "
        "mean, so only the mean edit can be compared with the policy without edits",
        f"rounds may have sampled different {noun}s, so their difference does not show what RL did: "
        f"selfedit eval compares policies on the same {noun}s",
        *_round_notes(records, measured, noun),
    ]
    plot = interval_lines(_curves(records, measured), "round", "reward, %", "Reward over rounds")
    said = "; ".join(
        f"round {r.number}: "
        + ", ".join(
            f"{name} {percent(value)}" for name, (value, _) in measured[r.number].values(r).items()
        )
        for r in records
    )
    return (table, Plot(plot, said), Notes(tuple(notes)))


def _round_notes(records: Sequence[RoundRecord], measured: dict[int, Measured], noun: str) -> list[str]:
    """What a reader of the numbers must know of each round."""
    found = []
    for record in records:
        own = measured[record.number]
        if 0 < own.rewarded < own.edits:
            found.append(
                f"round {record.number}: the mean edit is that of the {own.rewarded} of {own.edits} "
                "edits that have a reward"
            )
        if 0 < len(own.mean) < own.contexts:
            found.append(
                f"round {record.number}: the numbers are those of the {len(own.mean)} of "
                f"{plural(own.contexts, noun)} with an edit that has a reward"
            )
        if record.note:
            found.append(f"round {record.number}: {record.note}")
    return found


def _round_row(record: RoundRecord, own: Measured) -> tuple[str, ...]:
    losses = f"{record.losses[0]:.2f} → {record.losses[-1]:.2f}" if record.losses else "—"
    difference = "—"
    if own.mean:
        found = paired_difference(own.mean, own.baseline)
        difference = points(found.value) + _span(found, points)
    return (
        str(record.number),
        str(record.num_tasks),
        *(_cell(value, contexts) for value, contexts in own.values(record).values()),
        difference,
        valid_edits(record),
        str(len(record.selected)),
        losses,
        duration(record.seconds),
    )


def _cell(value: float | None, contexts: Sequence[float]) -> str:
    if value is None:
        return "—"
    return percent(value) + (_span(accuracy_interval(contexts), percent) if contexts else "")


def _span(interval: Interval, say: object) -> str:
    if not math.isfinite(interval.low + interval.high):
        return ""
    assert callable(say)
    return f" [{say(interval.low)} to {say(interval.high)}]".replace(" points to", " to")


def _curves(
    records: Sequence[RoundRecord], measured: dict[int, Measured]
) -> dict[str, dict[int, tuple[float, float, float]]]:
    curves: dict[str, dict[int, tuple[float, float, float]]] = {}
    for record in records:
        for label, (value, contexts) in measured[record.number].values(record).items():
            found = accuracy_interval(contexts)
            if value is not None:
                curves.setdefault(label, {})[record.number] = (value, found.low, found.high)
    return curves


def _verdict(
    run: RunRecord, records: Sequence[RoundRecord], measured: dict[int, Measured], noun: str
) -> tuple[str, Look]:
    """What may be said about the last round, and how the run ended if it did not finish."""
    rounds = run.settings.get("rounds")
    if run.status != "finished":
        return f"{failure(run)} {len(records)} of {rounds} rounds are finished.".strip(), "warn"
    if not records:
        return "No round is stored.", "warn"
    last = records[-1]
    own = measured[last.number]
    if not own.mean:
        return f"{plural(len(records), 'round')} finished.", ""
    found = paired_difference(own.mean, own.baseline)
    said = verdict(found, "the mean self-edit", "no self-edit", f"{noun}s")
    look: Look = "good" if found.low > 0 and "better" in said else ""
    return f"Round {last.number}: {said}.", look
