"""Which token comes next."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from selfedit.config import SamplingSettings

# Candidates that nucleus sampling considers before it sorts the whole vocabulary.
_NUCLEUS_GUESS = 512


def choose(
    logits_NV: Tensor, sampling: SamplingSettings, generators: Sequence[torch.Generator]
) -> list[int]:
    """A token for each row: greedy, or by nucleus sampling (Holtzman et al., arXiv 1904.09751), where
    each row draws from its own generator."""
    if sampling.temperature == 0:
        return logits_NV.argmax(dim=-1).tolist()
    probability = (logits_NV.float() / sampling.temperature).softmax(dim=-1)
    draws = torch.tensor([torch.rand((), generator=own).item() for own in generators])
    draws = draws.to(probability.device)
    guess = min(_NUCLEUS_GUESS, probability.shape[-1])
    top, token = probability.topk(guess, dim=-1)
    if bool((top.sum(-1) < sampling.top_p).any()):
        top, token = probability.sort(dim=-1, descending=True)
    before = top.cumsum(-1) - top
    top = top.masked_fill(before >= sampling.top_p, 0.0)
    reached = top.cumsum(-1)
    pick = (reached <= draws[:, None] * reached[:, -1:]).sum(-1, keepdim=True)
    return token.gather(1, pick.clamp(max=top.shape[-1] - 1)).squeeze(1).tolist()


def log_probabilities(
    logits_NV: Tensor, chosen: Sequence[int], sampling: SamplingSettings
) -> list[float]:
    """Log-probability of each row's chosen token, in nats, at the sampling temperature (1 if
    greedy)."""
    wide = logits_NV if logits_NV.dtype == torch.float64 else logits_NV.float()
    token = torch.tensor(chosen, device=wide.device)[:, None]
    return (wide / (sampling.temperature or 1.0)).log_softmax(-1).gather(1, token)[:, 0].tolist()
