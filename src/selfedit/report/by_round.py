"""Accuracy against the rounds of RL, in the report's style (paper, figure 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from selfedit.domains.rows import Row
from selfedit.errors import InputError
from selfedit.show.plots import interval_figure, interval_lines, save_figure
from selfedit.show.wording import percent

_AXES = ("rounds of RL", "accuracy, %")


def accuracy_by_round(curves: Mapping[str, Sequence[Row | None]]) -> str:
    """Inline SVG: accuracy in % with 95 % intervals over rounds 0, 1, 2, ..., one line per label.

    None for a round that was not measured; "" if nothing was.
    """
    return interval_lines(_points(curves), *_AXES, in_words(curves))


def save_accuracy_by_round(curves: Mapping[str, Sequence[Row | None]], path: Path) -> None:
    """The same as a file, whose name ends in one of `files.FIGURES`.

    Raises InputError for another ending or if nothing was measured, StoreError if it cannot be written.
    """
    figure = interval_figure(_points(curves), *_AXES)
    if figure is None:
        raise InputError("there is nothing to draw: no row was measured with a known number of rounds.")
    save_figure(figure, path)


def in_words(curves: Mapping[str, Sequence[Row | None]]) -> str:
    """What the figure shows, for those who cannot see it."""
    said = []
    for label, points in _points(curves).items():
        if points:
            first, last = min(points), max(points)
            said.append(
                f"{label} from {percent(points[first][0])} to {percent(points[last][0])} after {last} "
                f"round{'s' * (last != 1)}"
            )
    return "Accuracy by round: " + "; ".join(said)


def _points(
    curves: Mapping[str, Sequence[Row | None]],
) -> dict[str, dict[int, tuple[float, float, float]]]:
    return {
        label: {n: (row.accuracy, row.low, row.high) for n, row in enumerate(rows) if row is not None}
        for label, rows in curves.items()
    }
