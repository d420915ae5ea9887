"""Rows of several stored evaluations in one table: the paper's table 2, its prompt table, its figure 4.

Every cell keeps its interval and its n. Cells that share a row or a column are compared pair by pair
if they were measured on the same contexts and questions and graded alike; others are refused.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from selfedit.domains.rows import Pair, Row
from selfedit.errors import InputError
from selfedit.evaluation.lineage import policy_name, policy_rounds
from selfedit.grading.statistics import paired_difference, verdict
from selfedit.report.sources import Source, read_sources
from selfedit.show.wording import plural
from selfedit.store import Store

Form = Literal["table2", "prompts", "figure4"]
FORMS: tuple[Form, ...] = ("table2", "prompts", "figure4")


@dataclass(frozen=True, slots=True)
class Cell:
    """A row of a stored evaluation, in its place in the table."""

    row: Row
    source: Source


@dataclass(frozen=True, slots=True)
class Comparison:
    """cells[row name, column name]; in `prompts` and `figure4` the columns are rounds 0, 1, 2, ...

    pairs: by column, of its rows; and by row, of its columns. notes: what a reader must know.
    """

    form: Form
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: Mapping[tuple[str, str], Cell]
    pairs: tuple[tuple[str, tuple[Pair, ...]], ...]
    notes: tuple[str, ...]

    @property
    def curves(self) -> dict[str, list[Row | None]]:
        """Rows by column, for the figure."""
        return {
            name: [
                None if (cell := self.cells.get((name, column))) is None else cell.row
                for column in self.columns
            ]
            for name in self.rows
        }


def compare(store: Store, names: Sequence[str], form: Form) -> Comparison:
    """The named runs as a table. Raises InputError for runs that it cannot tell apart."""
    sources = read_sources(store, names)
    rounds = policy_rounds(store)
    placed = list(_table2(sources, rounds) if form == "table2" else _by_round(sources, rounds))
    if not placed:
        raise InputError(
            "none of these runs has a row of a model that learned its own edits, such as `own` or "
            "`seal`: this table is made of them."
        )
    cells: dict[tuple[str, str], Cell] = {}
    for place, cell in placed:
        known = cells.setdefault(place, cell)
        if known is not cell and not _same(known, cell):
            raise InputError(
                f"runs {known.source.run} and {cell.source.run} both measured {' in '.join(place)}, "
                f"with different results: give one of them a name of its own, such as "
                f"second={cell.source.run}."
            )
    rows = tuple(dict.fromkeys(row for row, _ in cells))
    columns = tuple(dict.fromkeys(column for _, column in cells))
    if form != "table2":
        columns = tuple(map(_rounds_name, range(max(map(_number, columns)) + 1)))
    refused: dict[str, list[str]] = {}
    lines = [(c, [(r, cells[r, c]) for r in rows if (r, c) in cells]) for c in columns]
    # A row that trained nothing is the same in every column of contexts: no pair with itself.
    lines += [(r, [(c, k) for c in columns if (k := _trained(cells, r, c))]) for r in rows]
    pairs = [(name, tuple(_pairs(name, line, refused))) for name, line in lines]
    pairs = [(name, found) for name, found in pairs if found]
    return Comparison(form, rows, columns, cells, tuple(pairs), tuple(_notes(sources, refused)))


def summary(comparison: Comparison) -> dict[str, Any]:
    """A JSON value."""
    from dataclasses import asdict

    cells = [
        {"in_row": row, "in_column": column, "run": cell.source.run, **asdict(cell.row)}
        for (row, column), cell in comparison.cells.items()
    ]
    pairs = [{"within": name, **asdict(pair)} for name, own in comparison.pairs for pair in own]
    return {
        "as": comparison.form,
        "rows": comparison.rows,
        "columns": comparison.columns,
        "cells": cells,
        "pairs": pairs,
        "notes": comparison.notes,
    }


# -- places in the table ---------------------------------------------------------------------------

Placed = Iterator[tuple[tuple[str, str], Cell]]


def _table2(sources: Sequence[Source], rounds: Mapping[str, int]) -> Placed:
    """Conditions x regimes. A row that trained nothing is in the column of its evaluation."""
    several = _distinguishing(sources)
    columns: dict[tuple[str, str], str] = {}
    for source in sources:
        contexts = source.evaluation.rows[0].contexts
        name = f"{source.evaluation.regime}, {plural(contexts, source.domain.noun)}"
        key = (source.evaluation.regime, source.tasks)
        if key not in columns:
            columns[key] = f"{name} (run {source.run})" if name in columns.values() else name
        for row in source.evaluation.rows:
            trained = row.condition in (*source.domain.by_itself, "file")
            words = [row.condition, *several(source, strategy=trained)]
            number = _rounds_of(source, row, rounds)
            if row.condition in source.domain.by_itself and number:
                words.append(_rounds_name(number))
            name = ", ".join(words[1:])
            yield (f"{words[0]} ({name})" if name else words[0], columns[key]), Cell(row, source)


def _by_round(sources: Sequence[Source], rounds: Mapping[str, int]) -> Placed:
    """Strategies (or labels) x rounds of RL."""
    several = _distinguishing(sources)
    for source in sources:
        for row in source.evaluation.rows:
            if row.condition not in source.domain.by_itself:
                continue
            number = _rounds_of(source, row, rounds)
            if number is None:
                raise InputError(
                    f"run {source.run}: the policy {row.learner} is of no `train` run of this library; "
                    f"say how many rounds it had: {source.label or source.strategy}@2={source.run}."
                )
            words = several(source, regime=True)
            name = source.label or ", ".join([source.strategy, *words])
            if row.condition == "seal" and not number:  # a reader is not the bare model
                name += f", {policy_name(row.learner)}"
            yield (name, _rounds_name(number)), Cell(row, source)


def _rounds_of(source: Source, row: Row, rounds: Mapping[str, int]) -> int | None:
    """Rounds of RL of the model that wrote and learned; None: an unknown policy."""
    known = rounds.get(policy_name(row.learner))
    if row.condition == "seal":
        return source.rounds if source.rounds is not None else known
    if known is not None:
        return known
    alone = not any(other.condition == "seal" for other in source.evaluation.rows)
    return source.rounds if alone and source.rounds is not None else 0


def _distinguishing(sources: Sequence[Source]) -> Callable[..., list[str]]:
    """Names that distinguish sources: the label, or whatever differs between them."""
    regimes = {source.evaluation.regime for source in sources}
    models = {source.evaluation.model for source in sources}
    strategies = {source.strategy for source in sources}

    def words(source: Source, *, strategy: bool = False, regime: bool = False) -> list[str]:
        if source.label:
            return [source.label]
        found = [source.strategy] if strategy and len(strategies) > 1 else []
        found += [source.evaluation.regime] if regime and len(regimes) > 1 else []
        return [*found, source.evaluation.model] if len(models) > 1 else found

    return words


def _rounds_name(number: int) -> str:
    return "1 round" if number == 1 else f"{number} rounds"


def _number(name: str) -> int:
    return int(name.split(maxsplit=1)[0])


def _same(one: Cell, other: Cell) -> bool:
    """Whether two evaluations have the same result, as a repeated row does."""
    return (
        one.row.accuracy == other.row.accuracy
        and one.row.by_context == other.row.by_context
        and one.source.tasks == other.source.tasks
    )


# -- pairs -----------------------------------------------------------------------------------------


def _trained(cells: Mapping[tuple[str, str], Cell], row: str, column: str) -> Cell | None:
    cell = cells.get((row, column))
    return cell if cell is not None and cell.row.trained else None


def _pairs(
    name: str, line: Sequence[tuple[str, Cell]], refused: dict[str, list[str]]
) -> Iterator[Pair]:
    """Each two cells of a column, or of a row; what cannot be compared is added to `refused`."""
    for (b, before), (a, after) in itertools.combinations(line, 2):
        if reason := _why_not(after, before):
            refused.setdefault(reason, []).append(f"{a} and {b} ({name})")
            continue
        source = before.source
        found = paired_difference(
            after.row.by_context, before.row.by_context, source.evaluation.seed, source.resamples
        )
        said = verdict(found, a, b, f"{source.domain.noun}s")
        yield Pair(a, b, found.value, found.low, found.high, said)


def _why_not(a: Cell, b: Cell) -> str:
    if not a.row.by_context or not b.row.by_context:
        return (
            "an earlier version of selfedit kept no results by context; evaluate again (what was "
            "trained is not trained again)"
        )
    if a.source.tasks != b.source.tasks:
        return "they were measured on different contexts or questions"
    if a.source.evaluation.grader != b.source.evaluation.grader:
        return "they were graded differently"
    return ""


def _notes(sources: Sequence[Source], refused: Mapping[str, Sequence[str]]) -> Iterator[str]:
    yield (
        "each cell: accuracy (mean over contexts), its 95 % interval (bootstrap over contexts), and "
        "n = questions/contexts"
    )
    yield "each interval stands for itself: among many pairs, some differ by chance"
    for source in sources:
        own = source.evaluation
        seeds = "1 seed" if own.seeds == 1 else f"{own.seeds} seeds"
        yield (
            f"run {source.run}: {own.model}, {own.regime}, {source.strategy}, {seeds} from {own.seed}, "
            f"graded by {own.grader}"
        )
        yield from (f"run {source.run}: {note}" for note in own.notes)
    for reason, pairs in refused.items():
        some = "; ".join(pairs[:4]) + (f"; and {len(pairs) - 4} more" if len(pairs) > 4 else "")
        yield f"not compared, because {reason}: {some}"
