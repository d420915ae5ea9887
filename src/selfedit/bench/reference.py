"""Plain ways to train one adapter at a time: the bank must equal them, and is timed against them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import get_scheduler

from selfedit.config import LoraSettings, TrainSettings
from selfedit.forward.linear import plain_linears
from selfedit.lora.bank import AdapterBank
from selfedit.lora.sequences import TokenSequence, batches, num_steps
from selfedit.model.generate import cut
from selfedit.model.language_model import LanguageModel
from selfedit.types import Prompt


@dataclass(frozen=True)
class PlainResult:
    """Weights as (A [in, r], B [r, out]) by module name, on the CPU, and the loss of each step."""

    factors: dict[str, tuple[Tensor, Tensor]]
    losses: list[float]


def peft_config(bank: AdapterBank) -> Any:
    """The LoraConfig that gives PEFT the bank's shape."""
    from peft import LoraConfig

    settings = bank.settings
    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]
        lora_dropout=settings.dropout,
        target_modules=[target.name for target in bank.targets],
    )


def plain_peft(
    model: LanguageModel,
    lora: LoraSettings,
    data: Sequence[Sequence[TokenSequence]],
    settings: Sequence[TrainSettings],
    seeds: Sequence[int],
) -> list[PlainResult]:
    """One adapter after the other: PEFT, torch's AdamW, one forward pass per batch, nothing else.

    One `get_peft_model` serves all (its weights are reset for each); sequences of a batch are padded
    on the right, pads neither attended nor in the loss.
    """
    from peft import get_peft_model

    bank = AdapterBank(model.hf, lora, seeds, num_layers=model.num_layers)
    peft_model = get_peft_model(model.hf, peft_config(bank))  # adapters of a bfloat16 model: float32
    modules = {target.name: _layer(peft_model, target.name) for target in bank.targets}
    parameters = [p for p in peft_model.parameters() if p.requires_grad]
    results = []
    try:
        with plain_linears(model.hf):
            for k, sequences in enumerate(data):
                _set_weights(modules, bank, k)
                losses = _train_plain(peft_model, parameters, sequences, settings[k], seeds[k])
                results.append(PlainResult(_get_weights(modules), losses))
    finally:
        peft_model.unload()
        model.hf.requires_grad_(False)
    return results


def _train_plain(
    peft_model: Any,
    parameters: list[Tensor],
    sequences: Sequence[TokenSequence],
    settings: TrainSettings,
    seed: int,
) -> list[float]:
    total = num_steps(len(sequences), settings)
    optimizer = torch.optim.AdamW(
        parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    schedule = get_scheduler(
        settings.schedule, optimizer, num_warmup_steps=settings.warmup_steps, num_training_steps=total
    )
    losses = []
    for batch in batches(sequences, settings, seed):
        ids, mask, labels = padded(batch, parameters[0].device)
        logits = peft_model(input_ids=ids, attention_mask=mask).logits
        # Not the model's own loss, which rounds float64 logits to float32.
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, settings.clip)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def padded(batch: Sequence[TokenSequence], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Token ids, attention mask and labels [N, S], padded on the right; -100: not in the loss."""
    width = max(len(sequence.ids) for sequence in batch)
    ids = torch.zeros(len(batch), width, dtype=torch.int64)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for row, sequence in enumerate(batch):
        length = len(sequence.ids)
        ids[row, :length] = torch.tensor(sequence.ids)
        mask[row, :length] = 1
        for place in sequence.supervised:
            labels[row, place] = ids[row, place]
    return ids.to(device), mask.to(device), labels.to(device)


def _layer(peft_model: Any, name: str) -> Any:
    return peft_model.get_submodule(f"base_model.model.{name}")


def _set_weights(modules: dict[str, Any], bank: AdapterBank, k: int) -> None:
    with torch.no_grad():
        for name, layer in modules.items():
            down, up = bank.factors[name]
            layer.lora_A["default"].weight.copy_(down[k].T)
            layer.lora_B["default"].weight.copy_(up[k].T)


def _get_weights(modules: dict[str, Any]) -> dict[str, tuple[Tensor, Tensor]]:
    return {
        name: (
            layer.lora_A["default"].weight.detach().T.cpu().clone(),
            layer.lora_B["default"].weight.detach().T.cpu().clone(),
        )
        for name, layer in modules.items()
    }


@contextmanager
def peft_with_adapters(model: LanguageModel, folders: Sequence[Path]) -> Iterator[Any]:
    """While open, the model under PEFT with the adapters in the folders, named "0", "1", ..."""
    from peft import PeftModel

    peft_model = PeftModel.from_pretrained(model.hf, str(folders[0]), adapter_name="0")
    try:
        for k, folder in enumerate(folders[1:], start=1):
            peft_model.load_adapter(str(folder), adapter_name=str(k))
        with plain_linears(model.hf):
            yield peft_model.eval()
    finally:
        peft_model.unload()
        model.hf.requires_grad_(False)


def peft_answers(
    model: LanguageModel, peft_model: Any, asked: Sequence[tuple[int, Prompt]], max_new_tokens: int
) -> list[str]:
    """Greedy answers by transformers' `generate`, all questions of one adapter in one batch."""
    replies = [""] * len(asked)
    pad = model.tokenizer.pad_token_id or 0
    for k in dict.fromkeys(k for k, _ in asked):
        peft_model.set_adapter(str(k))
        rows = [(i, model.render(prompt)) for i, (owner, prompt) in enumerate(asked) if owner == k]
        width = max(len(prompt.ids) for _, prompt in rows)
        ids = torch.full((len(rows), width), pad)
        mask = torch.zeros_like(ids)
        for n, (_, prompt) in enumerate(rows):
            ids[n, width - len(prompt.ids) :] = torch.tensor(prompt.ids)
            mask[n, width - len(prompt.ids) :] = 1
        with torch.inference_mode():
            out = peft_model.generate(
                input_ids=ids.to(model.hf.device),
                attention_mask=mask.to(model.hf.device),
                max_new_tokens=max_new_tokens,
                do_sample=False,
                pad_token_id=pad,
            )
        for (i, prompt), row in zip(rows, out, strict=True):
            text = model.tokenizer.decode(row[width:], skip_special_tokens=True)
            replies[i] = cut(text, prompt.stops).strip()
    return replies
