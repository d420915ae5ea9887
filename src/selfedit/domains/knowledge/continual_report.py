"""The report of the continual experiment: matrices, what was kept, what it broke and what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from selfedit.domains.evaluable import OwnRun
from selfedit.show.heat_map import heat_maps
from selfedit.show.page import Block, Notes, Plot, Section, Table
from selfedit.show.wording import CLOCKED, percent, points

_ENDS = (
    ("right_after", "right after its own edit", percent),
    ("at_the_end", "at the end", percent),
    ("end_minus_untouched", "end - untouched", points),
    ("right_after_minus_end", "right after - end", points),
)


def matrices(result: Mapping[str, Any]) -> dict[str, Sequence[Sequence[float | None]]]:
    """Of every kind; of a recorded run beside it, too."""
    own = {name: kind["matrix"] for name, kind in result["kinds"].items()}
    beside = (result.get("recorded") or {}).get("kinds", {})
    return own | {name: kind["matrix"] for name, kind in beside.items()}


def _headline(result: Mapping[str, Any]) -> str:
    untouched = percent(result["untouched"]["value"])
    ends = (f"{name} {percent(kind['at_the_end']['value'])}" for name, kind in result["kinds"].items())
    return f"untouched {untouched}, at the end: {', '.join(ends)}"


def _sections(result: Mapping[str, Any]) -> tuple[Section, ...]:
    found = matrices(result)
    words = "; ".join(
        f"{name}: {percent(_mean(own[0]))} untouched, {percent(_mean(own[-1]))} at the end"
        for name, own in found.items()
    )
    plot = Plot(heat_maps(found, f"Accuracy by document: {words}"), words)
    notes = Notes(
        (
            f"{result['sequences']} sequences of {result['contexts']} documents; mean over documents, "
            "then over sequences; 95 % intervals are a bootstrap over sequences, paired",
            "every kind learns the same self-edits, written by the bare model",
        )
    )
    sections = [Section("Accuracy after each document", (plot, _ends(result), notes))]
    if result["pairs"]:
        sections.append(Section("Kinds compared, at the end", (_pairs(result),)))
    blocks: list[Block] = [_seconds(result)] if _own(result, "seconds") else []
    if any(v is not None for kind in _own(result, "general_kept").values() for v in kind):
        blocks.append(_broken(result))
    if result["costs"]:
        blocks.append(_costs(result))
    if blocks:
        sections.append(Section("What it costs and what it breaks", tuple(blocks)))
    return tuple(sections)


def _ends(result: Mapping[str, Any]) -> Table:
    kinds = {**result["kinds"], **(result.get("recorded") or {}).get("kinds", {})}
    rows = [(name, *(_said(kind[key], say) for key, _, say in _ENDS)) for name, kind in kinds.items()]
    caption = f"Untouched: {_said(result['untouched'], percent)}."
    return Table(("", *(heading for _, heading, _ in _ENDS)), tuple(rows), caption)


def _pairs(result: Mapping[str, Any]) -> Table:
    rows = [(f"{p['a']} - {p['b']}", _said(p, points), p["verdict"]) for p in result["pairs"]]
    return Table(("", "difference", "what it allows to say"), tuple(rows))


def _own(result: Mapping[str, Any], key: str) -> dict[str, Sequence[Any]]:
    return {name: kind[key] for name, kind in result["kinds"].items() if key in kind}


def _seconds(result: Mapping[str, Any]) -> Table:
    rows = [(name, *(f"{v:.1f}" for v in own)) for name, own in _own(result, "seconds").items()]
    places = tuple(str(i + 1) for i in range(result["contexts"]))
    caption = f"Seconds of training for the n-th document, {CLOCKED}."
    return Table(("", *places), tuple(rows), caption)


def _broken(result: Mapping[str, Any]) -> Table:
    drift = _own(result, "drift")
    rows = [
        (
            name,
            *(percent(v) if v is not None else "—" for v in own),
            "—" if drift[name][-1] is None else f"{drift[name][-1]:.3f}",
        )
        for name, own in _own(result, "general_kept").items()
    ]
    places = tuple(str(i + 1) for i in range(result["contexts"]))
    caption = "General questions kept after n documents, and drift after the last (nats a token)."
    return Table(("", *places, "drift"), tuple(rows), caption)


def _costs(result: Mapping[str, Any]) -> Table:
    rows = [
        (name, f"{own['tokens']:.0f}", f"{own['milliseconds']:.0f}")
        for name, own in result["costs"].items()
    ]
    caption = f"A question after the first sequence, asked in one batch; milliseconds {CLOCKED}."
    return Table(("", "tokens of the prompt", "milliseconds"), tuple(rows), caption)


def _said(span: Mapping[str, Any], say: Any) -> str:
    value = say(span["value"])
    if span["low"] is None or span["high"] is None:
        return str(value)
    return f"{value} [{say(span['low'])} to {say(span['high'])}]"


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else 0.0


CONTINUAL = OwnRun(
    "selfedit eval continual", "Documents learned one after the other", _headline, _sections
)
