"""The report of many passages in memory at once: what each way answers, and what a question costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from selfedit.domains.evaluable import OwnRun
from selfedit.show.page import Notes, Plot, Section, Table
from selfedit.show.plots import interval_lines
from selfedit.show.wording import CLOCKED, percent, points

# The axes of accuracy over passages in memory.
AXES = ("passages in memory", "accuracy, %")


def _headline(result: Mapping[str, Any]) -> str:
    own = result["libraries"][-1]
    ways = (f"{name} {percent(row['accuracy']['value'])}" for name, row in own["ways"].items())
    return f"{own['passages']} passages: {', '.join(ways)}"


def _sections(result: Mapping[str, Any]) -> tuple[Section, ...]:
    tables = tuple(map(_section, result["libraries"]))
    if len(tables) == 1:
        return tables
    found = curves(result)
    ends = (
        f"{way} from {percent(own[min(own)][0])} with {min(own)} passages to "
        f"{percent(own[max(own)][0])} with {max(own)}"
        for way, own in found.items()
    )
    words = f"Accuracy by passages in memory: {'; '.join(ends)}"
    plot = Plot(interval_lines(found, *AXES, words), words)
    return (Section("Accuracy by passages in memory", (plot,)), *tables)


def curves(result: Mapping[str, Any]) -> dict[str, dict[int, tuple[float, float, float]]]:
    """Of each way, by the number of passages: accuracy and its interval, NaN where there is none."""
    found: dict[str, dict[int, tuple[float, float, float]]] = {}
    for own in result["libraries"]:
        for way, row in own["ways"].items():
            value, low, high = (row["accuracy"][name] for name in ("value", "low", "high"))
            ends = (math.nan if end is None else end for end in (low, high))
            found.setdefault(way, {})[own["passages"]] = (value, *ends)
    return found


def _section(own: Mapping[str, Any]) -> Section:
    against = {pair["way"]: pair for pair in own["against_routed"]}
    rows = [
        (
            name,
            _said(row["accuracy"], percent),
            _said(against[name], points) if name in against else "",
            "" if row["tokens"] is None else f"{row['tokens']:.0f}",
            "" if row["milliseconds"] is None else f"{row['milliseconds']:.0f}",
            str(row["trainings"]),
            f"{row['seconds']:.0f}",
        )
        for name, row in own["ways"].items()
    ]
    heads = ("", "accuracy", "routed - this", "tokens", "ms", "trainings", "seconds")
    found = own["router"]
    notes = (
        f"questions about {own['asked']} of the passages; 95 % intervals are a bootstrap over "
        "passages, paired",
        f"the router takes {percent(found['right'])} of the questions to their passage first, "
        f"{percent(found['bare'])} to the bare model and {percent(found['wrong'])} to another passage",
        "tokens and milliseconds: of a question; seconds: of the trainings that a way needed; "
        f"both times {CLOCKED}",
    )
    table = Table(heads, tuple(rows), "")
    return Section(f"{own['passages']} passages in memory", (table, Notes(notes)))


def _said(span: Mapping[str, Any], say: Any) -> str:
    value = str(say(span["value"]))
    low, high = span["low"], span["high"]
    return value if low is None or high is None else f"{value} [{say(low)} to {say(high)}]"


MANY = OwnRun("selfedit eval many", "Many passages in memory at once", _headline, _sections)
