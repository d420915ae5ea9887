"""A reader: one adapter that learns to answer from many documents' adapters, which are frozen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from selfedit.config import LoraSettings, TrainSettings
from selfedit.lora.bank import AdapterBank
from selfedit.lora.combine import combined
from selfedit.lora.load import Steps
from selfedit.lora.memory import Footprint
from selfedit.lora.sequences import Anchors, TokenSequence
from selfedit.lora.train import BankTrainer
from selfedit.model.training import keeping_less
from selfedit.types import TrainingRecord, TrainingSequence

if TYPE_CHECKING:
    from selfedit.model.language_model import LanguageModel


def train_reader(
    model: LanguageModel,
    documents: Sequence[AdapterBank],
    owners: Sequence[int],
    sequences: Sequence[TrainingSequence],
    lora: LoraSettings,
    settings: TrainSettings,
    seed: int,
    on_step: Callable[[int, int], None] | None = None,
) -> tuple[AdapterBank, TrainingRecord]:
    """See `seams.TrainsReaders`. With activation checkpointing where it does not fit else."""
    frozen = frozen_bank(documents, model.num_layers)
    data = [
        replace(model.encode(_spoken(model, sequence), settings.max_tokens), beneath=owner)
        for sequence, owner in zip(sequences, owners, strict=True)
    ]
    held = model.training.anchors(settings)
    none = len(documents)  # where nothing was learned, the reader is held to the bare model
    anchors = Anchors(*(_beneath(own, none) for own in (held.general, held.neighbours)))

    def run(checkpointing: bool) -> tuple[AdapterBank, TrainingRecord]:
        bank = AdapterBank(model.hf, lora, [seed], num_layers=model.num_layers)
        trainer = BankTrainer(
            model.decoder,
            bank,
            [data],
            [settings],
            anchors=[anchors],
            beneath=frozen,
            checkpointing=checkpointing,
        )
        (record,) = trainer.run(on_step)
        return bank, record

    what = f"training a reader over {len(documents)} documents' adapters"
    needed = Footprint.of(model.decoder, lora).training([Steps.of(data, settings, seed, anchors)])
    return keeping_less(model, run, what, needed)


def frozen_bank(documents: Sequence[AdapterBank], num_layers: int) -> AdapterBank:
    """The first adapter of each bank in one bank, and behind them one that does nothing."""
    whole = combined(documents, [{i: 1.0} for i in range(len(documents))], num_layers=num_layers)
    frozen = whole.like(len(documents) + 1, whole.model)
    frozen.weights_KP[:-1] = whole.weights_KP
    return frozen


def _beneath(texts: Sequence[TokenSequence], owner: int) -> tuple[TokenSequence, ...]:
    return tuple(replace(text, beneath=owner) for text in texts)


def _spoken(model: LanguageModel, sequence: TrainingSequence) -> TrainingSequence:
    """A base model's answer is a word that follows "Answer:", so a space comes first."""
    asks = sequence.prompt is not None and sequence.prompt.kind == "question"
    if model.form == "plain" and asks and not sequence.text.startswith(" "):
        return replace(sequence, text=f" {sequence.text}")
    return sequence
