"""The rewards of a `train` run in its report: what they measure, and how far they can be trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from selfedit.domains.evaluable import Evaluable
from selfedit.grading.reliability import ENOUGH, Reliability, Rewards, choice, reliability
from selfedit.show.page import Notes, Section, Table
from selfedit.show.wording import UNKNOWN, percent

_HEADINGS = (
    "round", "reliability", "of one training", "edits differ by", "seeds differ by", "best edit",
    "on an unused seed", "mean edit",
)  # fmt: skip

_MEASURED = {
    "f1": "words that an answer and the gold answer have in common (F1)",
    "samples": "share of answers, drawn at a temperature, that are right",
    "likelihood": "probability of the gold answers, teacher-forced; no answer is written",
    "mixed": "mean of accuracy and of the gold answers' probability",
}


def measured_as(settings: Mapping[str, Any], domain: Evaluable) -> str:
    """What a reward of the run is, in words."""
    kind = settings.get("inner", {}).get("measure", {}).get("kind", "accuracy")
    return _MEASURED.get(kind, domain.measure)


def rewards_section(
    rounds: Mapping[int, Sequence[Rewards]],
) -> tuple[list[Section], dict[str, Any]]:
    """Round by round, and for the JSON report; no section where nothing is known, as with one training
    an edit (the plan of `train` says so). rounds: [context][edit][seed]."""
    found = {number: reliability(own) for number, own in rounds.items()}
    rows = tuple(_row(number, found[number], own) for number, own in rounds.items())
    notes = [
        "reliability: the correlation, within contexts, of the edits' rewards with those that other "
        "seeds would give; 95 % interval by a bootstrap over contexts",
        "the best edit of each context, as it looks, and as it is when the seeds that chose it are not "
        "the one that judges it; edits and seeds differ by a standard deviation, in points",
    ]
    known = [own for own in found.values() if own.is_known]
    if known and known[-1].mean < ENOUGH:
        needed = known[-1].seeds_for()
        seeds = "no number of seeds would help" if needed is None else f"{needed} seeds would give it"
        notes.append(
            f"under {ENOUGH:g} most of what edits differ by is chance, and little can be learned from "
            f"it: {seeds}"
        )
    blocks = (Table(_HEADINGS, rows), Notes(tuple(notes)))
    values = {str(number): _finite(asdict(own)) for number, own in found.items()}
    return [Section("Rewards", blocks)] if known else [], values


def _row(number: int, found: Reliability, rewards: Sequence[Rewards]) -> tuple[str, ...]:
    chosen = choice(rewards)
    between = f" [{found.low:.2f}, {found.high:.2f}]" if math.isfinite(found.low) else ""
    return (
        str(number),
        f"{found.mean:.2f}{between} ({found.seeds:g} seeds)" if found.is_known else UNKNOWN,
        f"{found.single:.2f}" if found.is_known else UNKNOWN,
        *(
            f"{100 * own:.1f}" if math.isfinite(own) else UNKNOWN
            for own in (found.between, found.within)
        ),
        *(percent(own, 1) for own in (chosen.best, chosen.fresh, chosen.mean)),
    )


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }
