"""A matrix of accuracies as a heat map, as in figure 6 of the paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from selfedit.show.plots import INK, figure_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Matrix = Sequence[Sequence[float | None]]


def heat_maps(matrices: Mapping[str, Matrix], words: str) -> str:
    """The matrices side by side, as an <svg> element; "" without any. words: what is shown."""
    figure = heat_map_figure(matrices)
    return "" if figure is None else figure_svg(figure, words)


def heat_map_figure(matrices: Mapping[str, Matrix]) -> Figure | None:
    """The figure of `heat_maps`, for files of any format.

    Row 0 is the untouched model, row i the one after the i-th document; column j is about the j-th.
    Accuracies in [0, 1], shown in %; None is empty.
    """
    if not matrices:
        return None
    import numpy as np
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    count = len(matrices)
    figure = Figure(figsize=(3.4 * count + 0.6, 3.4), layout="constrained")
    FigureCanvasSVG(figure)
    highest = max(
        (v for own in matrices.values() for row in own for v in row if v is not None), default=1.0
    )
    for axes, (name, own) in zip(
        np.atleast_1d(figure.subplots(1, count, squeeze=True)), matrices.items(), strict=True
    ):
        values = np.array([[np.nan if v is None else 100 * v for v in row] for row in own])
        axes.imshow(values, cmap="Blues", vmin=0, vmax=100 * max(highest, 0.01), aspect="auto")
        axes.set_facecolor("none")
        for i, row in enumerate(values):
            for j, value in enumerate(row):
                if not np.isnan(value):
                    dark = value > 60 * highest
                    colour = "white" if dark else "#1a1d21"
                    axes.text(j, i, f"{value:.0f}", ha="center", va="center", color=colour, fontsize=8)
        axes.set_title(name, color=INK, fontsize=10)
        axes.set_xlabel("questions about document", color=INK)
        axes.set_xticks(range(values.shape[1]), [str(j + 1) for j in range(values.shape[1])])
        labels = ["none", *(str(i) for i in range(1, values.shape[0]))]
        axes.set_yticks(range(values.shape[0]), labels)
        axes.tick_params(color=INK, labelcolor=INK)
        for side in axes.spines.values():
            side.set_visible(False)
    figure.axes[0].set_ylabel("documents learned so far", color=INK)
    return figure
