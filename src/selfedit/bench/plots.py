"""Seconds per self-edit against K, and against the size of the model, from `bench inner --json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from selfedit.errors import InputError
from selfedit.show.plots import COLOURS, save_figure
from selfedit.show.wording import plural

# Ways whose time does not depend on K are drawn as levels.
_LEVELS = {"plain": "plain PEFT loop", "trainer": "Trainer, unpadded", "released": "the released way"}
_CURVES = {
    "padded": "bank, padded",
    "packed": "bank",
    "trunk": "bank, frozen trunk",
    "threads": "bank, trunk, threads",
    "refilled": "bank, slots refilled",
    "checkpointed": "bank, checkpointed",
    "mixed": "PEFT mixed batch",
}
_COLOUR = dict(zip((*_CURVES, *_LEVELS), (*COLOURS, "#777777", "#333333"), strict=True))


def save_by_width(results: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Training seconds per self-edit against K, both axes logarithmic, one panel per result.

    Raises InputError if no bank was timed or the file's ending is unknown, StoreError if it cannot be
    written.
    """
    if not any(_points(result, kind) for result in results for kind in _CURVES):
        raise InputError("there is nothing to draw: no bank was timed.")
    figure, panels = _panels(len(results))
    for axes, result in zip(panels, results, strict=True):
        for kind, label in _CURVES.items():
            points = _points(result, kind)
            if points:
                axes.plot(*zip(*points, strict=True), "o-", color=_COLOUR[kind], label=label, ms=4)
        for kind, label in _LEVELS.items():
            for _, seconds in _points(result, kind):
                axes.axhline(seconds, color=_COLOUR[kind], linestyle="--", label=label, linewidth=1.2)
        widths = sorted({k for kind in _CURVES for k, _ in _points(result, kind)})
        axes.set_xscale("log", base=2)
        axes.set_xticks(widths, [str(width) for width in widths])
        axes.minorticks_off()
        axes.set_title(_title(result), fontsize=9)
        axes.set_xlabel("K, adapters that share a step")
        _finish(axes)
    _save(figure, path)


def save_by_size(results: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Training seconds per self-edit against the model's weights, each way at its largest K.

    Raises as `save_by_width`.
    """
    figure, (axes,) = _panels(1)
    drawn = False
    for kind, label in (_CURVES | _LEVELS).items():
        points = []
        for result in results:
            own = _points(result, kind)
            if own:
                points.append((_size(result), own[-1][1]))
        if points:
            drawn = True
            axes.plot(*zip(*sorted(points), strict=True), "o-", color=_COLOUR[kind], label=label, ms=4)
    if not drawn:
        raise InputError("there is nothing to draw: no way was timed.")
    axes.set_xscale("log")
    sizes = sorted({(_size(result), str(result["model"])) for result in results})
    axes.set_xticks(
        [size for size, _ in sizes],
        [f"{size / 1e9:.2g} B\n{name.removeprefix('shape:')}" for size, name in sizes],
        fontsize=8,
    )
    axes.minorticks_off()
    axes.set_xlabel("weights in matrix products")
    devices = sorted({f"{result['device']}, {result['dtype']}" for result in results})
    axes.set_title("; ".join(devices), fontsize=9)
    _finish(axes)
    _save(figure, path)


def _points(result: Mapping[str, Any], kind: str) -> list[tuple[int, float]]:
    """(K, seconds per self-edit) of one kind of way, by K.

    For an edit with as many tokens as all have on average: otherwise a way that was timed on some of
    the edits would be shown by their length.
    """
    tokens = result["tokens"] / result["edits"]
    return sorted(
        (way["adapters"], tokens / way["tokens_per_second"])
        for way in result["ways"].values()
        if way["kind"] == kind and way["tokens_per_second"] is not None
    )


def _size(result: Mapping[str, Any]) -> int:
    weights = result["weights"]
    return int(weights["lower"] + weights["upper"] + weights["head"])


def _title(result: Mapping[str, Any]) -> str:
    what = f"{plural(result['edits'], 'self-edit')}, {plural(result['epochs'], 'epoch')}"
    lora = result["lora"]
    modules = "all linear" if len(lora["target_modules"]) > 4 else ", ".join(lora["target_modules"])
    return (
        f"{result['model']}, {result['device']}, {result['dtype']}\n"
        f"{what}, r{lora['rank']}, {modules}, layers {lora['layers']}"
    )


def _panels(count: int) -> tuple[Any, list[Any]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.0 * count + 1.8, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(1, count, squeeze=False)[0])


def _finish(axes: Any) -> None:
    from matplotlib.ticker import NullFormatter

    axes.set_ylabel("seconds per self-edit, training")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    low, high = axes.get_ylim()
    # An axis of about one decade needs the numbers between its ends to be readable.
    axes.yaxis.set_minor_formatter("{x:g}" if high < 12 * low else NullFormatter())
    axes.tick_params(axis="y", which="minor", labelsize=7)
    axes.grid(which="both", axis="y", alpha=0.2)
    axes.spines[["top", "right"]].set_visible(False)


def _save(figure: Any, path: Path) -> None:
    lines = [axes.get_legend_handles_labels() for axes in figure.axes]
    handle_of = {label: handle for own in lines for handle, label in zip(*own, strict=True)}
    figure.legend(
        handle_of.values(), handle_of.keys(), loc="outside right upper", fontsize=8, frameon=False
    )
    save_figure(figure, path)
