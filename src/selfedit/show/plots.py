"""Plots as inline SVG: transparent, in the page's own text colour, the same bytes every time."""

from __future__ import annotations

import hashlib
import io
import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfedit.show.files import check_figure, write_whole
from selfedit.show.wording import of_total, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Each has a contrast of at least 3:1 against white and against #1c2026 (a test computes it).
COLOURS = ("#2f80c8", "#c8690f", "#2b9458", "#a05fd0", "#d64550", "#17899a", "#9c6d34", "#c64f96")
DASHES = ("solid", "dashed", "dotted", "dashdot")
INK = "#010203"  # drawn by matplotlib, replaced by currentColor
_FILE_INK = "#1a1d21"
LEGEND_LINES = 12
LABEL_CHARACTERS = 28


def loss_curves(curves: Mapping[str, Sequence[float]]) -> str:
    """Training loss (nats per token) over optimizer steps, one line per label; "" if nothing is finite.

    Values that are not finite leave a gap in their line.
    """
    drawn = {
        label: [loss if math.isfinite(loss) else math.nan for loss in losses]
        for label, losses in curves.items()
        if any(math.isfinite(loss) for loss in losses)
    }
    if not drawn:
        return ""
    from matplotlib.ticker import MaxNLocator

    figure, axes = _figure(width=7.2, height=2.6)
    handles = []
    for number, losses in enumerate(drawn.values()):
        (line,) = axes.plot(
            range(1, len(losses) + 1),
            losses,
            color=COLOURS[number % len(COLOURS)],
            linestyle=DASHES[number // len(COLOURS) % len(DASHES)],
            linewidth=1.6,
            marker="o" if len(losses) == 1 else "",
            markersize=4,
        )
        handles.append(line)
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("loss, nats per token")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    if all(loss >= 0 for losses in drawn.values() for loss in losses if math.isfinite(loss)):
        axes.set_ylim(bottom=0)
    axes.grid(axis="y", color=INK, alpha=0.15, linewidth=0.7)
    if len(drawn) > 1:
        _legend(axes, handles, list(drawn))
    ends = [
        f"{label} from {_first(losses):.2f} to {_first(losses[::-1]):.2f}"
        for label, losses in list(drawn.items())[:LEGEND_LINES]
    ]
    return figure_svg(figure, "Training loss: " + "; ".join(ends))


def interval_lines(
    curves: Mapping[str, Mapping[int, tuple[float, float, float]]], x: str, y: str, words: str
) -> str:
    """Shares in [0, 1] as %, each (value, low, high), over whole numbers; "" without any.

    A low or high that is not finite draws no interval. x, y: the axes' names; words: what is shown.
    """
    figure = interval_figure(curves, x, y)
    return "" if figure is None else figure_svg(figure, words)


def interval_figure(
    curves: Mapping[str, Mapping[int, tuple[float, float, float]]], x: str, y: str
) -> Figure | None:
    """The figure of `interval_lines`, for files of any format; None without a point."""
    drawn = {label: points for label, points in curves.items() if points}
    if not drawn:
        return None
    from matplotlib.ticker import MaxNLocator

    figure, axes = _figure(width=6.4, height=3.0)
    handles = []
    everywhere = {place for points in drawn.values() for place in points}
    shift = 0.03 * max(1.0, (max(everywhere) - min(everywhere)) / 4)
    for number, points in enumerate(drawn.values()):
        places = sorted(points)
        values = [100 * points[place][0] for place in places]
        handles.append(
            axes.errorbar(
                # Lines are shifted sideways, so that they do not hide each other's intervals.
                [place + shift * (number - (len(drawn) - 1) / 2) for place in places],
                values,
                yerr=[_reach(points, places, 1), _reach(points, places, 2)],
                color=COLOURS[number % len(COLOURS)],
                linestyle=DASHES[number // len(COLOURS) % len(DASHES)],
                linewidth=1.6,
                marker="o",
                markersize=4,
                capsize=3,
            )
        )
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color=INK, alpha=0.15, linewidth=0.7)
    if len(drawn) > 1:
        _legend(axes, handles, list(drawn))
    return figure


def log_scatter(
    points: Mapping[str, Mapping[tuple[float, float], int]], x: str, y: str, words: str
) -> str:
    """Positive numbers on two logarithmic scales, as (x, y) and how often; the area of a mark goes with
    that. "" without any. x, y: the axes' names; words: what is shown."""
    drawn = {label: own for label, own in points.items() if own}
    if not drawn:
        return ""
    figure, axes = _figure(width=6.4, height=3.2)
    handles = []
    for number, (label, own) in enumerate(points.items()):
        if label not in drawn:
            continue
        places = sorted(own)
        handles.append(
            axes.scatter(
                [place[0] for place in places],
                [place[1] for place in places],
                s=[28 * own[place] for place in places],
                color=COLOURS[number % len(COLOURS)],
                marker="os^Dv"[number % 5],
                alpha=0.6,
                linewidths=0,
            )
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(color=INK, alpha=0.15, linewidth=0.7)
    _legend(axes, handles, list(drawn))
    return figure_svg(figure, words)


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a figure; equal figures give equal files. Raises InputError for a name that ends in none
    of `files.FIGURES`, StoreError if it cannot be written."""
    import matplotlib

    check_figure(path)
    form = path.suffix.lower()
    # Dates would make equal figures differ; formats name them differently.
    dates = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    drawn = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "selfedit", "svg.fonttype": "none"}):
        figure.savefig(drawn, format=form[1:], facecolor="white", dpi=200, metadata=dates.get(form))
    data = drawn.getvalue()
    if form == ".svg":  # there is no page whose colour it could take
        data = data.replace(INK.encode(), _FILE_INK.encode())
    write_whole(path, data)


def _reach(
    points: Mapping[int, tuple[float, float, float]], places: Sequence[int], end: int
) -> list[float]:
    """Distance of the interval's end from the value, in points; 0 if there is no interval."""
    reach = [100 * abs(points[place][end] - points[place][0]) for place in places]
    return [value if math.isfinite(value) else 0.0 for value in reach]


def accuracy_bars(before: float, after: float, n: int) -> str:
    """Accuracy before and after on n questions, with 95% Wilson intervals; "" if not measured."""
    if n < 1 or not (math.isfinite(before) and math.isfinite(after)):
        return ""
    figure, axes = _figure(width=5.4, height=1.35)
    for row, (name, share) in enumerate((("before", before), ("after", after))):
        low, high = wilson_interval(share, n)
        axes.barh(row, share, height=0.5, color=COLOURS[0], alpha=0.45 if name == "before" else 1.0)
        axes.plot([low, high], [row, row], color=INK, linewidth=1.2, marker="|", markersize=8)
    axes.set_yticks([0, 1], [f"before: {of_total(before, n)}", f"after: {of_total(after, n)}"])
    axes.set_ylim(1.5, -0.5)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0%", "25%", "50%", "75%", "100%"])
    label = f"Accuracy: {percent(before)} before, {percent(after)} after, of {n}"
    return figure_svg(figure, label)


def wilson_interval(share: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval (1927) of a share seen in n independent questions, 95% by default."""
    centre = share + z * z / (2 * n)
    spread = z * math.sqrt(max(share * (1 - share), 0.0) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max((centre - spread) / scale, 0.0), min((centre + spread) / scale, 1.0)


def _first(losses: Sequence[float]) -> float:
    return next(loss for loss in losses if math.isfinite(loss))


def _short(label: str) -> str:
    return label if len(label) <= LABEL_CHARACTERS else label[: LABEL_CHARACTERS - 1] + "…"


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure (size in inches) outside of pyplot's state."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    axes.set_facecolor("none")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(INK)
        axes.spines[side].set_alpha(0.4)
    axes.tick_params(color=INK, labelcolor=INK)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    return figure, axes


def _legend(axes: Axes, handles: list[Any], labels: list[str]) -> None:
    shown = [_short(label) for label in labels[:LEGEND_LINES]]
    if len(labels) > LEGEND_LINES:
        shown[-1] += f" and {len(labels) - LEGEND_LINES} more"
    legend = axes.legend(
        handles[:LEGEND_LINES],
        shown,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        borderaxespad=0.0,
        frameon=False,
        labelcolor=INK,
        fontsize=9,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)  # "$" in a label is a dollar sign


def figure_svg(figure: Figure, label: str) -> str:
    """The figure as an <svg> element that can stand several times in one HTML page."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "selfedit", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"\s*<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    svg = svg.replace(INK, "currentColor")
    svg = re.sub(r"(font: [\d.]+px|font-family:) [^;\"]+", r"\1 system-ui, sans-serif", svg)
    svg = _own_ids(svg)
    viewbox = re.search(r'viewBox="[^"]*"', svg)
    assert viewbox is not None, "matplotlib writes a viewBox"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'{viewbox[0]} role="img" aria-label="{escape(label)}" '
        f'stroke-linejoin="round" stroke-linecap="butt">'
    )
    return re.sub(r"^<svg[^>]*>", lambda _: head, svg, count=1)


def _own_ids(svg: str) -> str:
    """Drops ids that nothing refers to and makes the others unlike those of other figures."""
    prefix = "p" + hashlib.sha256(svg.encode()).hexdigest()[:8]
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda m: f' id="{prefix}{m[1]}"' if m[1] in used else "", svg)
    return re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}", svg)
