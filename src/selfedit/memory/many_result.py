"""What came of many passages in memory at once: a table for each number of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from selfedit.grading.statistics import accuracy_interval, paired_difference, verdict
from selfedit.memory.continual_result import span


@dataclass(frozen=True, slots=True)
class Row:
    """A way of answering. values: accuracy on each passage that was asked about. tokens, milliseconds:
    of a question. trainings: that it needed, with their tokens and seconds."""

    values: tuple[float, ...]
    tokens: float | None
    milliseconds: float | None
    trainings: int
    trained_tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Library:
    """passages: in memory. asked: those whose questions were asked. found: where the router takes these
    questions, in shares: to the right passage first, among those that are found, to the bare model, and
    to a wrong one first."""

    passages: int
    asked: int
    rows: Mapping[str, Row]
    found: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Many:
    """All libraries, the order of the settings."""

    model: str
    libraries: tuple[Library, ...]
    seed: int = 0

    def summary(self) -> dict[str, Any]:
        """What `selfedit eval many --json` prints, and the store keeps."""
        return {"model": self.model, "libraries": list(map(self._library, self.libraries))}

    def _library(self, own: Library) -> dict[str, Any]:
        return {
            "passages": own.passages,
            "asked": own.asked,
            "router": dict(own.found),
            "ways": {name: self._row(row) for name, row in own.rows.items()},
            "against_routed": [
                self._pair(name, row, own.rows["routed"])
                for name, row in own.rows.items()
                if "routed" in own.rows and name != "routed"
            ],
        }

    def _row(self, row: Row) -> dict[str, Any]:
        found = accuracy_interval(row.values, self.seed)
        return {
            "accuracy": span(found),
            "tokens": row.tokens,
            "milliseconds": row.milliseconds,
            "trainings": row.trainings,
            "trained_tokens": row.trained_tokens,
            "seconds": row.seconds,
        }

    def _pair(self, name: str, row: Row, routed: Row) -> dict[str, Any]:
        found = paired_difference(routed.values, row.values, self.seed)
        return {
            "way": name,
            **span(found),
            "verdict": verdict(found, "routed", name),
        }
