"""Full finetuning of a copy of the weights: continued pretraining as in the paper's second version."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from selfedit.config import TrainSettings
from selfedit.lora.optimizer import rate_factor
from selfedit.lora.sequences import TokenSequence, batches, num_steps
from selfedit.types import TrainingRecord


def finetune(
    hf: PreTrainedModel,
    data: Sequence[TokenSequence],
    settings: TrainSettings,
    seed: int,
    on_step: Callable[[int, int], None] | None = None,
) -> tuple[PreTrainedModel, TrainingRecord]:
    """A copy of the model with every weight trained on the data; the given one stays as it is.

    AdamW, linear decay to zero, gradient norm clipped, mean token loss of each batch, seeded order: the
    inner loop's rules, without an adapter. Half-precision weights are trained in float32 and rounded
    back, since they cannot hold steps of 7e-5. Memory: the copy, its gradient and two moments. Stops
    at a loss or gradient that is not finite, as the record then says.
    """
    tuned = copy.deepcopy(hf).requires_grad_(True)
    half = {
        name: weight.dtype
        for name, weight in tuned.named_parameters()
        if weight.dtype in (torch.bfloat16, torch.float16)
    }
    _cast(tuned, dict.fromkeys(half, torch.float32))
    record, steps = TrainingRecord(), num_steps(len(data), settings)
    weights = [weight for weight in tuned.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(
        weights, lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    for step, batch in enumerate(batches(data, settings, seed)):
        loss = batch_loss(tuned, batch)
        loss.backward()
        norm = float(torch.nn.utils.clip_grad_norm_(weights, settings.clip))
        record.losses.append(float(loss.detach()))
        record.tokens += sum(len(sequence.ids) for sequence in batch)
        if not math.isfinite(record.losses[-1] + norm):
            record.failure = f"loss or gradient was not finite at step {step + 1} of {steps}"
            break
        optimizer.param_groups[0]["lr"] = settings.learning_rate * rate_factor(settings, step, steps)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if on_step is not None:
            on_step(step + 1, steps)
    tuned.zero_grad(set_to_none=True)
    _cast(tuned, half)
    return tuned, record


def _cast(hf: torch.nn.Module, dtypes: Mapping[str, torch.dtype]) -> None:
    """Weights by name. Buffers stay: rotary frequencies are float32 in a bfloat16 model."""
    for name, weight in hf.named_parameters():
        if name in dtypes:
            weight.data = weight.data.to(dtypes[name])


def batch_loss(hf: torch.nn.Module, batch: Sequence[TokenSequence]) -> Tensor:
    """Mean cross-entropy over the batch's supervised tokens (right padding is in no loss)."""
    device = next(hf.parameters()).device
    width = max(len(sequence.ids) for sequence in batch)
    ids_BS = torch.zeros(len(batch), width, dtype=torch.long)
    mask_BS = torch.zeros_like(ids_BS)
    target_BS = torch.full_like(ids_BS, -100)
    for row, sequence in enumerate(batch):
        length = len(sequence.ids)
        ids_BS[row, :length] = torch.tensor(sequence.ids)
        mask_BS[row, :length] = 1
        for place in sequence.supervised:
            target_BS[row, place] = ids_BS[row, place]
    logits_BSV = hf(input_ids=ids_BS.to(device), attention_mask=mask_BS.to(device)).logits
    logits = logits_BSV[:, :-1].flatten(0, 1)
    wide = logits if logits.dtype == torch.float64 else logits.float()
    return cross_entropy(wide, target_BS[:, 1:].flatten().to(device), ignore_index=-100)
