"""Losses of what a policy drew: any function of its tokens' log-probabilities, such as GRPO's.

The head is run twice over a step's states. The first pass gives the log-probabilities, of which the
objective makes a loss; autograd over these few numbers gives the loss's slope at each token, and with
that as its weight the second pass is the weighted cross-entropy of every other training. So a loss is
written as in its paper, in a few lines of torch, and [tokens, vocabulary] is never held whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from selfedit.forward.head import Head
from selfedit.forward.packed import Decoder
from selfedit.forward.transfer import fetch, send
from selfedit.lora.excluded import Mask
from selfedit.lora.loss import chunk_on, head_loss
from selfedit.lora.sequences import TokenSequence
from selfedit.lora.supervision import Losses, Row, StepLoss, Supervision
from selfedit.seams import Objective

# Tokens of one forward pass.
_TOGETHER = 4096


@dataclass(frozen=True)
class Followed(Losses):
    """A step's loss by an objective. stop: see `Signal`."""

    value: float = 0.0
    stop: str = field(default="")

    def on_device(self, num_slots: int) -> Tensor:
        return self.loss_M.new_full((num_slots,), self.value)

    def fetch(
        self, beside: Tensor | None = None
    ) -> Callable[[], tuple[dict[int, StepLoss], list[float]]]:
        arriving = None if beside is None else fetch(beside)
        own = {0: StepLoss(self.value, None, self.value)}
        return lambda: (own, [] if arriving is None else arriving().double().tolist())


def follow(
    supervision: Supervision,
    rows: Sequence[Row],
    hidden_TD: Tensor,
    head: Head,
    objective: Objective,
) -> Followed:
    """Gradients of the objective's loss, unless it says stop; the loss. All rows are one adapter's."""
    device = hidden_TD.device
    own = head.tempered(objective.temperature)
    picked_MD = hidden_TD.index_select(0, send(supervision.place_M, device))
    target_M = send(supervision.target_M, device)
    mask = _mask([row.sequence for row in rows], device)
    with torch.no_grad():
        log_M = token_logprobs(picked_MD, own, target_M, mask)
    leaf_M = log_M.cpu().double().requires_grad_()
    drawn = [row.sequence.drawn for row in rows]
    counts = [row.sequence.num_supervised for row in rows]
    signal = objective(leaf_M.split(counts), [one for one in drawn if one is not None])
    assert len(drawn) == len(rows)
    value = float(signal.loss.detach())
    if not signal.stop:
        (slope_M,) = torch.autograd.grad(signal.loss, leaf_M)
        weight_M = send((-slope_M).to(log_M.dtype), device)
        total, _, _ = head_loss(picked_MD, own, target_M, weight_M, mask=mask)
        total.backward()
    return Followed(supervision, -log_M, log_M[:0], log_M, None, value, signal.stop)


def _mask(sequences: Sequence[TokenSequence], device: torch.device) -> Mask | None:
    places = [(own.excluded or (None,) * own.num_supervised) for own in sequences]
    mask = Mask.of([one for own in places for one in own])
    return None if mask is None else mask.to(device)


def token_logprobs(hidden_MD: Tensor, head: Head, target_M: Tensor, mask: Mask | None = None) -> Tensor:
    """Log-probability [M] of each target among what is not excluded, in nats, in float32 at least.
    hidden_MD: final states."""
    parts, chunk = [], chunk_on(hidden_MD.device)
    for start in range(0, len(target_M), chunk):
        target_C = target_M[start : start + chunk]
        logits_CV = head.logits(hidden_MD[start : start + chunk])
        if mask is not None:
            mask.part(start, start + chunk).apply(logits_CV)
        wanted_C = logits_CV.gather(1, target_C[:, None]).squeeze(1)
        parts.append(wanted_C - logits_CV.logsumexp(dim=1))
    return torch.cat(parts)


@torch.no_grad()
def read_logprobs(
    decoder: Decoder, sequences: Sequence[TokenSequence], temperature: float = 1.0
) -> list[Tensor]:
    """Of each sequence, the log-probabilities of its supervised tokens by the bare model at the
    temperature; float64, on the CPU."""
    head = decoder.head.tempered(temperature)
    found: list[Tensor] = []
    for group in _groups(sequences):
        places, targets, offset = [], [], -1  # token t is predicted at t - 1
        for sequence in group:
            supervised = sequence.supervised
            places += [offset + place for place in supervised]
            targets += [sequence.ids[place] for place in supervised]
            offset += len(sequence.ids) - 1
        hidden_TD = decoder.hidden([sequence.ids[:-1] for sequence in group])
        device = hidden_TD.device
        picked_MD = hidden_TD[torch.tensor(places, device=device)]
        log_M = token_logprobs(
            picked_MD, head, torch.tensor(targets, device=device), _mask(group, device)
        )
        found += log_M.cpu().double().split([sequence.num_supervised for sequence in group])
    return found


def _groups(sequences: Sequence[TokenSequence]) -> list[list[TokenSequence]]:
    groups: list[list[TokenSequence]] = []
    size = _TOGETHER
    for sequence in sequences:
        if size + len(sequence.ids) > _TOGETHER:
            groups.append([])
            size = 0
        groups[-1].append(sequence)
        size += len(sequence.ids)
    return groups
