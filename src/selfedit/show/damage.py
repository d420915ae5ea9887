"""What learning broke, in words and in the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from selfedit.show.terminal import LONGEST_ANSWER, LONGEST_QUESTION, WRONG, literal
from selfedit.show.wording import known, percent
from selfedit.types import Bounds, ProbeExample, ProbeResult

EXAMPLES = 3  # of each kind, in the terminal; JSON has all


def damage_rows(result: ProbeResult) -> list[tuple[str, str, str]]:
    """(what was measured, the value, its 95 % interval): those that were measured, in order."""
    rows = []
    if result.general_kept is not None:
        counts = f"{result.general_after} of {result.general_before}"
        value = f"{percent(result.general_kept, 0)} ({counts})"
        rows.append(("General questions kept", value, _share(result.general_kept_bounds)))
    if known(result.drift):
        rows.append(("Drift, nats a token", _nats(result.drift), _range(result.drift_bounds)))
    if result.leakage is not None:
        counts = f"{len(result.leaks)} of {result.num_neighbours}"
        value = f"{percent(result.leakage, 0)} ({counts})"
        rows.append(("Neighbours that take a fact", value, _share(result.leakage_bounds)))
    if known(result.neighbour_drift):
        bounds = _range(result.neighbour_drift_bounds)
        rows.append(("Drift on neighbours, nats a token", _nats(result.neighbour_drift), bounds))
    if result.ended is not None:
        before = f" (before: {percent(result.ended_before, 0)})"
        rows.append(("Answers that end by themselves", percent(result.ended, 0) + before, ""))
    return rows


def damage_line(result: ProbeResult) -> str:
    """The same in a sentence, for where a table is too much."""
    parts = [f"{name[0].lower()}{name[1:]}: {value}" for name, value, _ in damage_rows(result)]
    return "; ".join(parts) or "nothing was measured"


def print_probe(result: ProbeResult, console: Console, examples: int = EXAMPLES) -> None:
    """A table with intervals, and a few questions that were lost or took a fact."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("Measured", "Value", "95% interval"):
        table.add_column(name)
    for row in damage_rows(result):
        table.add_row(*(literal(text, console) for text in row))
    console.print(table)
    groups = (("Lost general questions", result.lost), ("Facts given to others", result.leaks))
    for title, found in groups:
        if found and examples:
            console.print()
            console.print(_examples(title, found[:examples], console))
            if len(found) > examples:
                more = f"… and {len(found) - examples} more (--json has all)"
                console.print(literal(more, console, "dim"))
    for note in result.notes:
        console.print(literal(f"Note: {note}", console), soft_wrap=True)


def _examples(title: str, found: tuple[ProbeExample, ...], console: Console) -> Table:
    table = Table(
        title=literal(title, console, "bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        expand=console.width <= 100,
        pad_edge=False,
        show_edge=False,
    )
    for name, ratio in (("Question", 4), ("Fact", 2), ("Before", 4), ("After", 4)):
        table.add_column(name, ratio=ratio, overflow="fold")
    for example in found:
        table.add_row(
            literal(example.question, console, limit=LONGEST_QUESTION),
            literal(example.fact, console, limit=LONGEST_ANSWER),
            literal(example.before or "(no answer)", console, limit=LONGEST_ANSWER),
            literal(example.after or "(no answer)", console, WRONG, LONGEST_ANSWER),
        )
    return table


def _nats(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _share(bounds: Bounds | None) -> str:
    return "" if bounds is None else " to ".join(percent(bound, 0) for bound in bounds)


def _range(bounds: Bounds | None) -> str:
    return "" if bounds is None else " to ".join(f"{bound:.3f}" for bound in bounds)
