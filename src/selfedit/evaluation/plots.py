"""Accuracy against the rounds of RL, as inline SVG in the report's style (paper, figure 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from selfedit.evaluation.evaluate import Row
from selfedit.report.plots import COLOURS, DASHES, INK, _figure, _legend, _svg
from selfedit.report.wording import percent


def accuracy_by_round(curves: Mapping[str, Sequence[Row]]) -> str:
    """Accuracy in % with 95 % intervals over rounds 0, 1, 2, ..., one line a label; "" without rows."""
    drawn = {label: rows for label, rows in curves.items() if rows}
    if not drawn:
        return ""
    from matplotlib.ticker import MaxNLocator

    figure, axes = _figure(width=6.4, height=3.0)
    handles = []
    for number, rows in enumerate(drawn.values()):
        shares = [100 * row.accuracy for row in rows]
        below = [max(0.0, 100 * (row.accuracy - row.low)) for row in rows]
        above = [max(0.0, 100 * (row.high - row.accuracy)) for row in rows]
        handles.append(
            axes.errorbar(
                range(len(rows)),
                shares,
                yerr=[below, above],
                color=COLOURS[number % len(COLOURS)],
                linestyle=DASHES[number // len(COLOURS) % len(DASHES)],
                linewidth=1.6,
                marker="o",
                markersize=4,
                capsize=3,
            )
        )
    axes.set_xlabel("rounds of RL")
    axes.set_ylabel("accuracy, %")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color=INK, alpha=0.15, linewidth=0.7)
    if len(drawn) > 1:
        _legend(axes, handles, list(drawn))
    said = [
        f"{label} from {percent(rows[0].accuracy)} to {percent(rows[-1].accuracy)} "
        f"after {len(rows) - 1} rounds"
        for label, rows in drawn.items()
    ]
    return _svg(figure, "Accuracy by round: " + "; ".join(said))
