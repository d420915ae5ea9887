"""The prompts of a batch through the model, before the first token is drawn."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache

from selfedit.forward.attention import padded_left
from selfedit.forward.packed import Decoder
from selfedit.forward.transfer import send
from selfedit.lora.bank import AdapterBank


def route_rows(bank: AdapterBank, owners: Sequence[int], width: int) -> None:
    """The model's next input is rows of `width` tokens each, of these adapters."""
    bank.route(owners, [width] * len(owners))


def prefill(
    decoder: Decoder,
    texts: Sequence[tuple[int, ...]],
    cache: DynamicCache,
    bank: AdapterBank | None = None,
    owners: Sequence[int] = (),
) -> tuple[Tensor, Tensor]:
    """Logits [N, V] after each text, and the mask [N, S]; fills the cache.

    Left padding: all rows end at one column. owners: each text's adapter of `bank`.
    """
    device = decoder.device
    width = max(map(len, texts))
    ids = torch.zeros(len(texts), width, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for n, text in enumerate(texts):
        ids[n, width - len(text) :] = torch.tensor(text)
        mask[n, width - len(text) :] = 1
    ids, mask = send(ids, device), send(mask, device)
    position = (mask.cumsum(1) - 1).clamp(min=0)
    distinct = list({text: n for n, text in enumerate(texts)}.values())
    if bank is not None:
        route_rows(bank, owners, width)
        if len(distinct) < len(texts) and decoder.shares_prompts(bank.first_layer):
            place = {texts[n]: i for i, n in enumerate(distinct)}
            one = send(torch.tensor(distinct), device)
            hidden = decoder.prefill(
                ids[one],
                send(torch.tensor([place[text] for text in texts]), device),
                bank.first_layer,
                cache,
                attention_mask=mask[one],
                position_ids=position[one],
            )
            return decoder.head.logits(hidden[:, -1]), mask
    with padded_left(decoder.model):
        output = decoder.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=position,
            use_cache=True,
            logits_to_keep=1,
            **{decoder.cache_name: cache},
        )
    return output.logits[:, -1], mask
