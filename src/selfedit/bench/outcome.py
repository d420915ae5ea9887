"""What `bench inner` measured, as JSON: one row per way, and ratios under stable keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from selfedit.bench.floor import Ceiling, Counts
from selfedit.bench.ways import Bench, Kind, Way

RELEASED = "released way"


@dataclass
class Measured:
    """What was measured of one way.

    part: the edits that it is timed on. seconds: for all of them, one value per timing. answers:
    seconds for one self-edit's questions. pace: seconds per token in the warm-up. peak, planned: bytes
    of tensors. resident: bytes that the process grew by. difference: from the plain loop. left_out: why
    it was not timed.
    """

    part: Bench
    seconds: list[float] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)
    pace: float = 0.0
    peak: int | None = None
    planned: int | None = None
    resident: int | None = None
    difference: float | None = None
    left_out: str = ""

    @property
    def rate(self) -> float | None:
        """Trained tokens per second: the only fair measure between ways that were timed on different
        edits."""
        return over(self.part.tokens, middle(self.seconds))


def ratios(
    found: Mapping[Way, Measured],
    *,
    main: Way,
    released: float | None,
    peft_answers: Sequence[float],
) -> dict[str, float | None]:
    """The keys of `run_inner`. main: the way that answers, at the largest width that was timed.
    released: tokens per second of the released way."""
    widest = main.adapters

    def rate(kind: Kind, width: int | None = None) -> float | None:
        """Rate of this kind at this width, or at the only one that it has."""
        rates = [
            f.rate for w, f in found.items() if w.kind == kind and w.adapters == (width or w.adapters)
        ]
        return next((one for one in rates if one is not None), None)

    plain, trainer = rate("plain"), rate("trainer")
    packed, trunk, threads = (rate(kind, widest) for kind in ("packed", "trunk", "threads"))
    # If all edits have their own slots at the widest K, a narrower one refills its slots.
    full = max((w.adapters for w, f in found.items() if w.kind == "refilled" and f.rate), default=0)
    refilled = rate("refilled", full)
    best = max(filter(None, (packed, trunk, threads, refilled)), default=None)
    ours = found.get(main)
    differences = [f.difference for w, f in found.items() if w.is_bank and f.difference is not None]
    return {
        "ratio_to_plain_loop": over(packed, plain),
        "ratio_to_plain_loop_with_trunk": over(trunk, plain),
        "ratio_to_plain_loop_at_best": over(best, plain),
        "ratio_to_unpadded_trainer": over(best, trainer),
        "ratio_to_released": over(best, released),
        "ratio_to_mixed_batch": over(packed, rate("mixed")),
        "gain_of_unpadding": over(trainer, released),
        "gain_of_a_tight_loop": over(plain, trainer),
        "gain_of_batching": over(packed, rate("packed", 1)),
        "gain_of_packing": over(packed, rate("padded", widest)),
        "gain_of_trunk": over(trunk, packed),
        "gain_of_threads": over(threads, trunk or packed),
        "gain_of_refilling": over(
            refilled, rate("threads", full) or rate("trunk", full) or rate("packed", full)
        ),
        "answers_ratio": over(middle(peft_answers), middle(ours.answers if ours else ())),
        "max_weight_difference": max(differences, default=None),
        "planned_memory": ours.planned if ours else None,
        "peak_memory": ours.peak if ours else None,
    }


def row(
    way: Way, found: Measured, answers: float | None, ceiling: Ceiling, counts: Counts
) -> dict[str, Any]:
    """A way's seconds, tokens per second, memory and distance from its floor, for the edits that it was
    timed on. answers: seconds for one self-edit's questions."""
    part, spent = found.part, middle(found.seconds)
    count, epochs = len(part.data), part.train.epochs
    floor = counts.seconds(
        ceiling,
        tokens=part.tokens // epochs // count,
        steps=part.steps // count,
        epochs=epochs,
        together=way.adapters,
        trunk=way.uses_trunk,
    )
    return {
        "kind": way.kind,
        "adapters": way.adapters,
        "edits": count,
        "seconds_per_edit": over(spent, count),
        "answers_per_edit": answers,
        "tokens_per_second": found.rate,
        "timed": len(found.seconds),
        "peak_memory": found.peak,
        "planned_memory": found.planned,
        "resident_memory": found.resident,
        "max_weight_difference": found.difference,
        "floor_seconds_per_edit": floor,
        "achieved_over_floor": over(spent, count * floor),
        "left_out": found.left_out,
    }


def released_row(bench: Bench, rate: float) -> dict[str, Any]:
    """The row of the released way, for all edits. rate: tokens per second."""
    return {
        "kind": "released",
        "adapters": 1,
        "edits": len(bench.data),
        "seconds_per_edit": bench.tokens / rate / len(bench.data),
        "tokens_per_second": rate,
    }


def middle(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def over(a: float | None, b: float | None) -> float | None:
    return None if a is None or not b else a / b
