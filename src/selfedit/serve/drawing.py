"""Which token each row of a batch gets next: by its own settings and its own seed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from selfedit.config import SamplingSettings
from selfedit.model.sampling import choose
from selfedit.serve.engine import Ask, Token
from selfedit.serve.text_stream import TextStream


def draw(logits_NV: Tensor, asks: Sequence[Ask], generators: Sequence[torch.Generator]) -> list[int]:
    """A token for each row; rows with the same settings are drawn together."""
    tokens = [0] * len(asks)
    groups: dict[tuple[float, float], list[int]] = {}
    for n, ask in enumerate(asks):
        greedy = ask.temperature == 0
        groups.setdefault((0.0, 1.0) if greedy else (ask.temperature, ask.top_p), []).append(n)
    for (temperature, top_p), own in groups.items():
        sampling = SamplingSettings(temperature=temperature, top_p=top_p, max_new_tokens=1)
        some_NV = logits_NV if len(own) == len(asks) else logits_NV[own]
        chosen = choose(some_NV, sampling, [generators[n] for n in own])
        for n, token in zip(own, chosen, strict=True):
            tokens[n] = token
    return tokens


def token_of(logits_V: Tensor, token: int, top: int, text: TextStream) -> Token:
    """A token with its log-probability (nats, at temperature 1), and the `top` likeliest ones."""
    logprobs_V = logits_V.log_softmax(-1)
    likeliest: tuple[tuple[str, float], ...] = ()
    if top:
        values, ids = logprobs_V.topk(top)
        names = [text.token_text(one) for one in ids.tolist()]
        likeliest = tuple(zip(names, values.tolist(), strict=True))
    return Token(text.token_text(token), float(logprobs_V[token]), likeliest)
