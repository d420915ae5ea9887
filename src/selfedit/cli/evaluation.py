"""What the commands of `selfedit eval` share: conditions by name, the plan, rows, tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from selfedit.console.common import out, parts, print_json, status
from selfedit.console.plan import announce
from selfedit.console.progress import RichProgress
from selfedit.errors import InputError

if TYPE_CHECKING:
    from selfedit.domains.rows import Row
    from selfedit.experiments import Evaluated
    from selfedit.loops.estimate import Estimate
    from selfedit.store import Store


def named_conditions(text: str) -> tuple[str, ...]:
    """What --conditions names. Raises InputError where it names nothing."""
    names = parts(text)
    if not names:
        raise InputError("--conditions names nothing to evaluate.")
    return names


def agreed(plan: Estimate, noun: str, yes: bool, progress: RichProgress) -> bool:
    """Show what will be trained; without --yes, ask before long work."""
    from selfedit.show.wording import duration, plural

    said = (
        f"Plan: {plural(plan.passages, noun)}, {plan.trainings:,} trainings, about {plan.tokens:,} "
        f"tokens: roughly {duration(plan.seconds)} of training on this machine, writing and answering "
        "apart."
    )
    announce(said, plan.seconds, yes, progress)
    return True


def say_row(row: Row) -> None:
    from selfedit.show.wording import percent

    status(f"{row.condition}: {percent(row.accuracy)}")


def print_evaluation(store: Store, found: Evaluated, markdown: Path | None, as_json: bool) -> None:
    """The evaluation's report, in the terminal or as one JSON object, and as Markdown where asked."""
    from selfedit.report.run_report import run_report
    from selfedit.show.files import write_whole
    from selfedit.show.markdown import page_markdown
    from selfedit.show.page_terminal import print_page

    page = run_report(store, store.run(found.run)).page
    if markdown is not None:
        status(f"wrote {write_whole(markdown, page_markdown(page))}")
    if as_json:
        print_json(found.evaluation.summary())
    else:
        print_page(page, out)
