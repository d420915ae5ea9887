"""Models: what the loops need of one (`Model`), and where they come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from selfedit.config import LoraSettings, SamplingSettings, TrainSettings
from selfedit.lora.records import TrainingRecord
from selfedit.types import Prompt, TrainingPlan, TrainingSequence

# A bank of adapters; what it is made of is the model's own affair.
Adapters = Any


class Model(Protocol):
    """What the two loops ask of a model: `LanguageModel`, and `testing.FakeModel`.

    name: what the user called it. revision: identity of the weights. identity: everything of the
    model that determines its outputs. device: "cpu", "cuda" or "mps".
    """

    name: str
    revision: str

    @property
    def identity(self) -> list[str]: ...

    @property
    def device(self) -> str: ...

    @property
    def num_workers(self) -> int:
        """Threads that train and write side by side."""
        ...

    @property
    def num_bytes(self) -> int:
        """Size of the weights, as a model folder will take them."""
        ...

    def count_tokens(self, text: str) -> int: ...

    def sequence_tokens(self, sequence: TrainingSequence) -> int:
        """Tokens of a whole training sequence, its prompt included."""
        ...

    def generate(
        self,
        prompts: Sequence[Prompt],
        sampling: SamplingSettings,
        seeds: Sequence[int],
        *,
        adapters: Adapters | None = None,
        owners: Sequence[int] | None = None,
        on_done: Callable[[int], None] | None = None,
    ) -> list[str]:
        """Replies in the order of the prompts; prompt i by adapter owners[i], if given."""
        ...

    def train(
        self,
        plans: Sequence[TrainingPlan],
        lora: LoraSettings,
        settings: TrainSettings,
        seeds: Sequence[int],
        *,
        slots: int | None = None,
        on_step: Callable[[int, int], None] | None = None,
    ) -> tuple[Adapters, list[TrainingRecord]]:
        """One adapter a plan, trained together with the result of training each alone.

        slots: how many at a time (None: all); a finished one's slot is filled with the next.
        """
        ...

    def planned_memory(
        self, lora: LoraSettings, settings: TrainSettings
    ) -> Callable[[Sequence[TrainingPlan], Sequence[int], int | None], int]:
        """A function of plans, seeds and slots: peak bytes of training them, beside the model."""
        ...

    @property
    def memory_budget(self) -> int:
        """Bytes that such a training may take; the same in every run on one machine."""
        ...

    def save_adapter(self, adapters: Adapters, k: int, folder: Path) -> None: ...

    def load_adapter(self, folder: Path) -> Adapters:
        """A bank of one. Raises AdapterError if it is damaged or of other weights."""
        ...

    def save_merged(self, folder: Path, adapter: Path) -> None: ...
