"""What learning broke, in the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from selfedit.show.terminal import LONGEST_ANSWER, LONGEST_QUESTION, WRONG, literal
from selfedit.show.wording import damage_rows
from selfedit.types import ProbeExample, ProbeResult

EXAMPLES = 3  # of each kind, in the terminal; JSON has all


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
