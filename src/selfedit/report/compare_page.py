"""Several stored evaluations in one table, as a page."""

from __future__ import annotations

from selfedit.report.by_round import accuracy_by_round, in_words
from selfedit.report.compare import Comparison
from selfedit.report.evaluation_blocks import PAIR_HEADINGS, cell, pair_cells
from selfedit.show.page import Block, Notes, Page, Plot, Section, Table

_TITLES = {
    "table2": "Conditions and regimes",
    "prompts": "Prompts over the rounds of RL",
    "figure4": "Accuracy over the rounds of RL",
}


def compare_page(comparison: Comparison) -> Page:
    """The table, a figure where columns are rounds, every pair, and the notes."""
    first = "condition" if comparison.form == "table2" else "prompt"
    rows = tuple(
        (
            name,
            *(
                cell(found.row) if (found := comparison.cells.get((name, column))) else "—"
                for column in comparison.columns
            ),
        )
        for name in comparison.rows
    )
    table = Table((first, *comparison.columns), rows)
    blocks: tuple[Block, ...] = (table,)
    if comparison.form != "table2":
        svg = accuracy_by_round(comparison.curves)
        plot = Plot(svg, in_words(comparison.curves))
        blocks = (plot, table) if comparison.form == "figure4" else (table, plot)
    sections = [Section("Accuracy", blocks)]
    if comparison.pairs:
        tables = tuple(
            Table(PAIR_HEADINGS, tuple(tuple(pair_cells(pair)) for pair in own), name)
            for name, own in comparison.pairs
        )
        sections.append(Section("Pair by pair", tables))
    sections.append(Section("Notes", (Notes(comparison.notes),)))
    runs = sorted({found.source.run for found in comparison.cells.values()})
    facts = (("Runs", ", ".join(map(str, runs))),)
    return Page("selfedit compare", _TITLES[comparison.form], facts, "", "", tuple(sections))
