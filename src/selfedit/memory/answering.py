"""What answers in a model's place once something was learned: an adapter, another model, or many
adapters of which each question meets those that it concerns (`memory.routed`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from selfedit.config import SamplingSettings
from selfedit.seams import Adapters, Model
from selfedit.types import AnswerScore, Completion, Prompt, TrainingSequence

OnDone = Callable[[int], None] | None


class Answering(Protocol):
    """Greedy answers of what was learned over a bare model, which every method is given."""

    def differs(self, prompt: Prompt) -> bool:
        """Whether its answer can be another one than the bare model's."""
        ...

    def sample(
        self,
        bare: Model,
        prompts: Sequence[Prompt],
        sampling: SamplingSettings,
        *,
        on_done: OnDone = None,
    ) -> list[Completion]:
        """One completion for each prompt, in their order. on_done(n): n more are finished."""
        ...

    def answer_scores(
        self, bare: Model, prompts: Sequence[Prompt], replies: Sequence[str]
    ) -> list[AnswerScore]:
        """How likely each prompt's reply is (`seams.Model.answer_scores`)."""
        ...

    def divergence(
        self, bare: Model, sequences: Sequence[TrainingSequence], *, on_done: OnDone = None
    ) -> list[float]:
        """KL(bare || this) of each sequence, in nats a token (`seams.Model.divergence`)."""
        ...


@dataclass(frozen=True, slots=True)
class Adapted:
    """Adapter k of a bank over the bare model, or another model (a merged policy), or an adapter over
    that. Without either, the bare model itself."""

    adapters: Adapters | None = None
    k: int = 0
    other: Model | None = None

    def differs(self, prompt: Prompt) -> bool:
        return self.adapters is not None or self.other is not None

    def sample(
        self,
        bare: Model,
        prompts: Sequence[Prompt],
        sampling: SamplingSettings,
        *,
        on_done: OnDone = None,
    ) -> list[Completion]:
        return (self.other or bare).sample(
            prompts,
            sampling,
            [0] * len(prompts),
            adapters=self.adapters,
            owners=self._owners(len(prompts)),
            on_done=on_done,
        )

    def answer_scores(
        self, bare: Model, prompts: Sequence[Prompt], replies: Sequence[str]
    ) -> list[AnswerScore]:
        owners = self._owners(len(prompts))
        model = self.other or bare
        return model.answer_scores(prompts, replies, adapters=self.adapters, owners=owners)

    def divergence(
        self, bare: Model, sequences: Sequence[TrainingSequence], *, on_done: OnDone = None
    ) -> list[float]:
        return bare.divergence(sequences, self.adapters, self.k, other=self.other, on_done=on_done)

    def _owners(self, count: int) -> list[int] | None:
        return None if self.adapters is None else [self.k] * count
