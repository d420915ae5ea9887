"""The policy update: the model is finetuned on its own good self-edits, and becomes the next policy."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.filesize import decimal

from selfedit.config import PolicySettings
from selfedit.errors import AdapterError, ModelError, OverLimit, SelfEditError, StoreError
from selfedit.loops.jobs import fitting
from selfedit.seams import Adapters, Model, TrainsReaders
from selfedit.types import SelfEdit, TrainingPlan, TrainingSequence


def update_policy(
    model: Model,
    edits: Sequence[SelfEdit],
    settings: PolicySettings,
    seed: int,
    folder: Path,
    on_step: Callable[[int, int], None] | None = None,
) -> tuple[list[float], str]:
    """SFT on prompt -> edit with a bank of one, merged into a model folder, which appears whole or not
    at all. Returns the losses, in nats per token, and what was left out for its length.

    Raises SelfEditError if the training diverges, StoreError if the folder cannot be written.
    """
    sequences = tuple(
        TrainingSequence(completion.strip(), prompt)
        for edit in edits
        for prompt, completion in zip(edit.prompts, edit.completions, strict=True)
        if completion.strip()
    )
    assert sequences, "an edit that was trained on has text"
    need_space(folder.parent, 2 * model.num_bytes)
    try:
        plan, _, left_out = fitting(model, TrainingPlan(sequences), settings.train.max_tokens)
    except OverLimit as error:
        raise SelfEditError(
            f"the policy cannot be updated: {error}. The round's trials are kept: choose tasks with "
            "shorter prompts."
        ) from None
    adapters, (record,) = model.train([plan], settings.lora, settings.train, [seed], on_step=on_step)
    if record.failure:
        raise SelfEditError(
            f"the policy update failed: {record.failure}. The round's trials are kept; start again "
            "with a lower policy learning rate."
        )
    write_policy(model, adapters, folder)
    return record.losses, left_out


def write_policy(model: Model, adapters: Adapters, folder: Path) -> None:
    """The model with the first of the adapters merged in, as a folder that appears whole or not at all.
    Raises StoreError if it cannot be written."""

    def merge(whole: Path) -> None:
        adapter = whole.with_name("adapter")
        model.save_adapter(adapters, 0, adapter)
        model.save_merged(whole, adapter)
        if isinstance(model, TrainsReaders):
            model.keep_reader(whole)

    write_whole(folder, merge)


def write_whole(folder: Path, save: Callable[[Path], None]) -> None:
    """A policy's folder, whole or not at all. save: writes it to a path in a folder of its own. Raises
    StoreError if it cannot be written."""
    part = folder.with_name(f".{folder.name}.part")
    try:
        # Left by an earlier attempt that was killed or not recorded: gigabytes, perhaps.
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        save(part / "whole")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(part / "whole", folder)
    except (OSError, AdapterError, ModelError) as error:
        raise StoreError(
            f"the policy cannot be written to {folder}: {error}. Its trials are kept: free some "
            "space and start again."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def need_space(folder: Path, needed: int) -> None:
    """Checked before the update rather than after it."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StoreError(
            f"{folder} has {decimal(free)} free, and saving the next policy needs about "
            f"{decimal(needed)}. The round's trials are kept: free some space and start again."
        )
