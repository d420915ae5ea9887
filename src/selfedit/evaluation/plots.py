"""Accuracy against the rounds of RL, in the report's style (paper, figure 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from selfedit.errors import InputError, StoreError
from selfedit.evaluation.evaluate import Row
from selfedit.show.plots import INK, interval_figure, interval_lines
from selfedit.show.wording import percent

FORMATS = (".svg", ".png", ".pdf")
_AXES = ("rounds of RL", "accuracy, %")


def accuracy_by_round(curves: Mapping[str, Sequence[Row | None]]) -> str:
    """Inline SVG: accuracy in % with 95 % intervals over rounds 0, 1, 2, ..., one line a label.

    None where a round was not measured; "" where nothing was.
    """
    return interval_lines(_points(curves), *_AXES, in_words(curves))


def save_accuracy_by_round(curves: Mapping[str, Sequence[Row | None]], path: Path) -> None:
    """The same as a file, whose name ends in one of FORMATS.

    Raises InputError for another ending or where nothing was measured, StoreError if it cannot be
    written.
    """
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"{path}: a figure's file ends in {', '.join(FORMATS)}.")
    figure = interval_figure(_points(curves), *_AXES)
    if figure is None:
        raise InputError("there is nothing to draw: no row was measured with a known number of rounds.")
    import matplotlib

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with matplotlib.rc_context({"svg.hashsalt": "selfedit", "svg.fonttype": "none"}):
            # Dates would make equal figures differ; formats name them differently.
            dates = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
            figure.savefig(path, facecolor="white", dpi=200, metadata=dates.get(path.suffix.lower()))
    except OSError as error:
        raise StoreError(
            f"the figure {path} cannot be written: {error.strerror or error}. Choose another place for "
            "it, or free some space."
        ) from error
    if path.suffix.lower() == ".svg":
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(INK, "#1a1d21"), encoding="utf-8")


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
