"""The inner loop of the paper's public release: Hugging Face's Trainer, one adapter after the other."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

import torch

from selfedit.bench.floor import synchronise
from selfedit.bench.reference import peft_config
from selfedit.config import LoraSettings, TrainSettings
from selfedit.forward.linear import plain_linears
from selfedit.lora.bank import AdapterBank
from selfedit.lora.sequences import TokenSequence, num_steps
from selfedit.model.language_model import LanguageModel

# What the public release pads every sequence to.
RELEASED_WIDTH = 2048


def trainer_way(
    model: LanguageModel,
    lora: LoraSettings,
    sequences: Sequence[TokenSequence],
    settings: TrainSettings,
    *,
    pad_to: int | None = RELEASED_WIDTH,
    max_steps: int | None = None,
) -> float:
    """Seconds of one self-edit: a new PEFT model, Trainer with batches of one sequence, the adapter
    saved to disk and loaded again.

    pad_to: as the release, each sequence is padded to this width and the pads are in the loss; None:
    no padding. max_steps: further steps are not taken but counted, at the median time of those taken,
    without the first (which warms up).
    """
    from peft import get_peft_model

    bank = AdapterBank(model.hf, lora, [0], num_layers=model.num_layers)
    dataset = [_row(model, sequence, pad_to) for sequence in sequences]
    start = time.perf_counter()
    peft_model = get_peft_model(model.hf, peft_config(bank))
    try:
        with plain_linears(model.hf), tempfile.TemporaryDirectory() as folder:
            steps = _train(model, peft_model, dataset, settings, max_steps, Path(folder))
            peft_model.save_pretrained(folder)
            peft_model.load_adapter(folder, adapter_name="again")
            synchronise(model.decoder.device)
    finally:
        peft_model.unload()
        model.hf.requires_grad_(False).eval()
    spent = time.perf_counter() - start
    left = num_steps(len(sequences), settings) - len(steps)
    return spent + left * median(steps[1:] or steps)


def on_one_device(arguments: type[Any], device: torch.device) -> type[Any]:
    """TrainingArguments that stay on the model's device.

    transformers' own take cuda:0, and train on all GPUs at once (nn.DataParallel) where there are
    several; accelerate, which moves the batches, reads its device from the environment.
    """
    from accelerate.utils import patch_environment

    class OneDevice(arguments):
        @cached_property
        def _setup_devices(self) -> torch.device:
            if device.type != "cuda":
                return super()._setup_devices
            before = torch.cuda.current_device()
            with patch_environment(ACCELERATE_TORCH_DEVICE=device):
                super()._setup_devices  # noqa: B018
            torch.cuda.set_device(before)
            self._n_gpu = 1
            return device

    return OneDevice


def _row(model: LanguageModel, sequence: TokenSequence, pad_to: int | None) -> dict[str, list[int]]:
    pads = max(0, (pad_to or 0) - len(sequence.ids))
    row = [*sequence.ids, *[model.tokenizer.pad_token_id or 0] * pads]
    mask = [1] * len(sequence.ids) + [0] * pads
    return {"input_ids": row, "labels": row, "attention_mask": mask}


def _train(
    model: LanguageModel,
    peft_model: Any,
    dataset: list[dict[str, list[int]]],
    settings: TrainSettings,
    max_steps: int | None,
    folder: Path,
) -> list[float]:
    """Seconds of each step that was taken."""
    from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

    class Clock(TrainerCallback):
        def __init__(self) -> None:
            self.marks = [time.perf_counter()]

        def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
            self.marks = [time.perf_counter()]

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            synchronise(model.decoder.device)
            self.marks.append(time.perf_counter())

    clock = Clock()
    arguments = on_one_device(TrainingArguments, model.decoder.device)(
        output_dir=str(folder),
        per_device_train_batch_size=1,
        num_train_epochs=settings.epochs,
        max_steps=max_steps or -1,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="linear",
        max_grad_norm=settings.clip,
        weight_decay=settings.weight_decay,
        bf16=str(model.hf.dtype) == "torch.bfloat16",
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        use_cpu=model.device == "cpu",
    )
    trainer = Trainer(model=peft_model, args=arguments, train_dataset=dataset, callbacks=[clock])
    trainer.remove_callback(PrinterCallback)  # it prints to stdout, where --json has its object
    trainer.train()
    return [after - before for before, after in zip(clock.marks, clock.marks[1:], strict=False)]
