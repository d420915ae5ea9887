"""The rounds of a policy's training: their plan, progress and results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.table import Table

from selfedit.console.common import out, status
from selfedit.console.plan import announce
from selfedit.console.progress import RichProgress

if TYPE_CHECKING:
    from selfedit.domains.base import BaseDomain
    from selfedit.loops.plan import OuterPlan
    from selfedit.loops.rounds import RoundRecord
    from selfedit.loops.tracking import Trackers


class Watch:
    """Tells the terminal and the trackers how a policy's training goes.

    rated: the rewards are a judge's ratings.
    """

    def __init__(
        self,
        domain: BaseDomain,
        rated: bool,
        trackers: Trackers,
        yes: bool,
        progress: RichProgress,
    ) -> None:
        self.noun, self.rated, self.trackers = domain.noun, rated, trackers
        self.yes, self.progress = yes, progress

    def agreed(self, plan: OuterPlan) -> bool:
        """Show the plan; without --yes, ask before long work."""
        announce(plan_text(plan, self.noun), plan.seconds, self.yes, self.progress)
        return True

    def tell(self, record: RoundRecord) -> None:
        """Report a finished round: a line, and numbers for the trackers."""
        status(round_line(record, self.rated, self.noun))
        numbers = {k: v for k, v in asdict(record).items() if isinstance(v, int | float)}
        self.trackers.log({**numbers, **record.metrics}, step=record.number)


def plan_text(plan: OuterPlan, noun: str) -> str:
    from selfedit.loops.trust import said
    from selfedit.show.wording import duration

    trust = "" if plan.trust is None else f"\n{said(plan.trust, plan.seeds)}"
    whole = plan.finished + plan.rounds
    rounds = f"{plan.rounds} rounds"
    if plan.finished:
        rounds = f"the {plan.rounds} of {whole} rounds that are left ({plan.finished} finished before)"
    own = f"the policy's own updates{plan.update and f' ({plan.update})'}"
    if plan.tried < plan.edits:
        own = f"a judge's ratings and {own}"
    return (
        f"Plan: {rounds} x {plan.contexts} {noun}s x {_edits(plan)}; "
        f"{plan.disk / 1e9:.1f} GB of policies; roughly {duration(plan.seconds)} on this "
        f"machine ({duration(plan.training)} of training, {duration(plan.writing)} of writing "
        f"self-edits, {duration(plan.answering)} of answering), not counting {own}.{trust}"
    )


def _edits(plan: OuterPlan) -> str:
    """What is done with the edits of a context."""
    if not plan.tried:
        return f"{plan.edits} edits, which a judge rates and nothing is trained on"
    best = f", of which the best {plan.tried} by a judge's ratings" if plan.tried < plan.edits else ""
    return (
        f"{plan.edits} edits{best} x {plan.seeds} seeds = {plan.inner_loops:,} inner loops, about "
        f"{plan.tokens:,} tokens of training"
    )


def round_line(record: RoundRecord, rated: bool = False, noun: str = "context") -> str:
    """rated: the rewards are a judge's ratings, from 0% (1 of 5) to 100% (5 of 5), not accuracies.
    noun: what a round samples."""
    from selfedit.report.runs import valid_edits
    from selfedit.show.wording import percent

    mean, best = percent(record.mean_reward), percent(record.best_reward)
    if rated:
        said = f"mean rating of an edit {mean}, of the best of each {noun} {best}"
    else:
        bare = percent(record.baseline)
        said = f"without edits {bare}, mean edit {mean}, best edit of each {noun} {best}"
    if (trusted := record.metrics.get("reliability")) is not None:
        said += f", reliability of the rewards {trusted:.2f}"
    if 0 < record.num_rewarded < record.num_tasks:
        said += f" (of the {record.num_rewarded} of {record.num_tasks} with a rewarded edit)"
    return (
        f"round {record.number}: {said}; {len(record.selected)} selected; valid: "
        f"{valid_edits(record)}" + (f"; {record.note}" if record.note else "")
    )


def print_rounds(records: Sequence[RoundRecord], use: str) -> None:
    """use: the command that takes the last round's policy."""
    from selfedit.report.runs import valid_edits
    from selfedit.show.wording import percent

    table = Table()
    for heading in ("round", "without", "mean edit", "best edit", "valid edits", "selected"):
        table.add_column(heading, overflow="fold")
    for r in records:
        table.add_row(
            str(r.number),
            *map(percent, (r.baseline, r.mean_reward, r.best_reward)),
            valid_edits(r),
            str(len(r.selected)),
        )
    out.print(table)
    for r in records:  # below the table: a folder's name is longer than a column
        out.print(
            f"policy of round {r.number}: {r.policy}", soft_wrap=True, markup=False, highlight=False
        )
    if records[-1].note:
        out.print(records[-1].note, markup=False)
    out.print(f"Use it: selfedit {use} {records[-1].policy}", soft_wrap=True, markup=False)
