"""The plan of some work: shown before it begins, with a question if it is long."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol

import typer

from selfedit.console.common import err, status
from selfedit.errors import InputError

if TYPE_CHECKING:
    from selfedit.console.progress import RichProgress

# Work expected to take longer than this is asked about first, in seconds.
ASK_FROM = 15 * 60


def go_on(plan: str, seconds: float, progress: RichProgress, hint: str = "") -> bool:
    """Show the plan; for long work, ask. Without a terminal raises InputError, naming --yes."""
    progress.pause()
    try:
        err.print(plan, highlight=False, markup=False)
        if seconds < ASK_FROM:
            return True
        if not sys.stdin.isatty():
            raise InputError(f"that takes long; add --yes to do it anyway{hint}")
        return typer.confirm("Go on?", err=True)
    finally:
        progress.resume()


def announce(plan: str, seconds: float, yes: bool, progress: RichProgress) -> None:
    """Show the plan; without --yes, ask before long work. Raises InputError if the answer is no."""
    if yes:
        status(plan)
    elif not go_on(plan, seconds, progress):
        raise InputError("stopped before anything was trained")


class Work(Protocol):
    """What is ahead. seconds: at this machine's speed."""

    @property
    def passages(self) -> int: ...

    @property
    def trainings(self) -> int: ...

    @property
    def tokens(self) -> int: ...

    @property
    def seconds(self) -> float: ...


def announce_work(work: Work, noun: str, yes: bool, progress: RichProgress) -> bool:
    """Show what will be trained; without --yes, ask before long work. Raises InputError if the
    answer is no."""
    from selfedit.show.wording import duration, plural

    said = (
        f"Plan: {plural(work.passages, noun)}, {work.trainings:,} trainings, about {work.tokens:,} "
        f"tokens: roughly {duration(work.seconds)} of training on this machine, writing and answering "
        "apart."
    )
    announce(said, work.seconds, yes, progress)
    return True


def agreed(estimate: Work, progress: RichProgress) -> bool:
    """Show what passages will take; for long work, ask."""
    from selfedit.show.wording import duration

    plan = (
        f"{estimate.passages:,} passages, {estimate.trainings:,} trainings, about "
        f"{estimate.tokens:,} tokens: roughly {duration(estimate.seconds)} on this machine."
    )
    return go_on(plan, estimate.seconds, progress, ", or name fewer documents")
