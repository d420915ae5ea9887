"""The rounds of a policy's training: their plan, their progress, and what came of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.table import Table

from selfedit.console.common import err, out, status
from selfedit.console.plan import announce
from selfedit.console.progress import RichProgress

if TYPE_CHECKING:
    from selfedit.loops.outer import OuterRun
    from selfedit.loops.plan import OuterPlan
    from selfedit.loops.rounds import RoundRecord
    from selfedit.loops.tracking import Trackers
    from selfedit.progress import Progress
    from selfedit.types import Task

# An outer run, made when there is a progress bar and somebody to tell of each finished round.
Start = Callable[["Progress", Callable[["RoundRecord"], None]], "OuterRun"]


def run_rounds(
    start: Start,
    plan: Callable[[list[Task]], OuterPlan],
    say: Callable[[RoundRecord], str],
    trackers: Trackers,
    yes: bool,
) -> tuple[OuterRun, list[RoundRecord]]:
    """All rounds that are left, after their plan was shown (and agreed to, where it is long).

    plan: of the run's tasks. say: a finished round in a line, which the trackers get in numbers.
    """

    def on_round(record: RoundRecord) -> None:
        status(say(record))
        numbers = {k: v for k, v in asdict(record).items() if isinstance(v, int | float)}
        trackers.log(numbers, step=record.number)

    with RichProgress(err) as progress:
        run = start(progress, on_round)
        done = run.finished()
        if len(done) < run.settings.rounds:
            ahead = plan(run.tasks)
            announce(plan_text(ahead, len(done)), ahead.seconds, yes, progress)
        records = run.run()
    trackers.close()
    return run, records


def plan_text(plan: OuterPlan, done: int) -> str:
    """done: rounds that are finished already."""
    from selfedit.show.wording import duration

    finished = f" ({done} of them finished before)" if done else ""
    return (
        f"Plan: {plan.rounds} rounds{finished} x {plan.contexts} contexts x {plan.edits} edits x "
        f"{plan.seeds} seeds = {plan.inner_loops:,} inner loops, about {plan.tokens:,} tokens of "
        f"training; {plan.disk / 1e9:.1f} GB of policies; roughly {duration(plan.seconds)} on this "
        f"machine ({duration(plan.training)} of training, {duration(plan.writing)} of writing "
        f"self-edits, {duration(plan.answering)} of answering), the policy's own updates apart."
    )


def round_line(record: RoundRecord, rated: bool = False, noun: str = "context") -> str:
    """rated: the rewards are a judge's ratings, from 0 % (1 of 5) to 100 % (5 of 5), no accuracies.
    noun: what a round samples."""
    from selfedit.report.runs import valid_edits

    mean, best = (f"{100 * value:.1f} %" for value in (record.mean_reward, record.best_reward))
    if rated:
        said = f"mean rating of an edit {mean}, of the best of each {noun} {best}"
    else:
        said = (
            f"without edits {100 * record.baseline:.1f} %, mean edit {mean}, best edit of each "
            f"{noun} {best}"
        )
    return (
        f"round {record.number}: {said}; {len(record.selected)} selected; valid: "
        f"{valid_edits(record)}" + (f"; {record.note}" if record.note else "")
    )


def print_rounds(records: list[RoundRecord], use: str = "learn FILE --model") -> None:
    """use: the command that takes the last round's policy."""
    from selfedit.report.runs import valid_edits

    table = Table()
    for heading in ("round", "without", "mean edit", "best edit", "valid edits", "selected"):
        table.add_column(heading, overflow="fold")
    for r in records:
        table.add_row(
            str(r.number),
            *(f"{100 * value:.1f} %" for value in (r.baseline, r.mean_reward, r.best_reward)),
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
