"""What training an adapter leaves behind, besides its weights."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class TrainingRecord:
    """What happened to one adapter. losses: nats a token, one value a step.

    failure: empty, or why it was stopped (its weights are those before the bad step).
    """

    losses: list[float] = field(default_factory=list)
    failure: str = ""
    tokens: int = 0
