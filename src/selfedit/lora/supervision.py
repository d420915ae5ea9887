"""Which states of a step have a loss, with which targets, and for which adapter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from selfedit.forward.head import Head
from selfedit.forward.transfer import fetch, send
from selfedit.lora.loss import Soft, head_loss
from selfedit.lora.sequences import TokenSequence


@dataclass(frozen=True, slots=True)
class Row:
    """A sequence of a step, for the adapter in this slot; `anchor`: it is one of its anchors."""

    slot: int
    sequence: TokenSequence
    anchor: bool = False


@dataclass(frozen=True, slots=True)
class StepLoss:
    """One adapter's losses: mean over its own tokens, mean KL over its anchors' (None: it had none),
    both in nats per token; `whole`: the loss that it was trained on."""

    own: float
    drift: float | None
    whole: float


@dataclass(frozen=True)
class Supervision:
    """Places, in the batch of T states, of the M tokens with a loss; the last S have a teacher.

    An adapter's loss is the mean over its own tokens of hard * cross-entropy + soft_weight * KL, plus
    the same mean over its anchors' tokens; weight_M and soft.weight_S (float64, CPU) say that of each.
    """

    place_M: Tensor
    target_M: Tensor
    owner_M: Tensor
    anchor_M: Tensor
    weight_M: Tensor
    soft: Soft | None

    @classmethod
    def of(cls, rows: Sequence[Row], num_slots: int) -> Supervision:
        """rows: end to end, each without its last token, which predicts nothing."""
        offsets = [0]
        for row in rows:
            offsets.append(offsets[-1] + len(row.sequence.ids) - 1)
        both = list(zip(rows, offsets, strict=False))
        order = [(row, at) for row, at in both if row.sequence.soft is None]
        taught = [(row, at) for row, at in both if row.sequence.soft is not None]
        order += taught
        places: list[int] = []
        targets: list[int] = []
        counts: list[int] = []
        for row, at in order:
            supervised = row.sequence.supervised
            places += [at + place - 1 for place in supervised]
            targets += [row.sequence.ids[place] for place in supervised]
            counts.append(len(supervised))

        def spread(values: Sequence[float], dtype: torch.dtype) -> Tensor:
            return torch.tensor(values, dtype=dtype).repeat_interleave(torch.tensor(counts))

        owner_M = spread([row.slot for row, _ in order], torch.int64)
        anchor_M = spread([row.anchor for row, _ in order], torch.bool)
        group_M = owner_M + num_slots * anchor_M
        count_G = torch.bincount(group_M, minlength=2 * num_slots)
        share_M = (1.0 / count_G.double())[group_M]
        hard_M = spread([row.sequence.hard for row, _ in order], torch.float64)
        weight_M = spread([row.sequence.soft_weight for row, _ in order], torch.float64) * share_M
        return cls(
            place_M=torch.tensor(places),
            target_M=torch.tensor(targets),
            owner_M=owner_M,
            anchor_M=anchor_M,
            weight_M=hard_M * share_M,
            soft=_soft([row.sequence for row, _ in taught], weight_M),
        )

    def backward(self, hidden_TD: Tensor, head: Head) -> Losses:
        """Gradients of the sum of the adapters' losses; the losses."""
        device = hidden_TD.device
        wide = torch.float64 if hidden_TD.dtype == torch.float64 else torch.float32
        weight_M = send(self.weight_M.to(wide), device)
        soft = self.soft.to(device, wide) if self.soft is not None else None
        total, loss_M, kl_S = head_loss(
            hidden_TD.index_select(0, send(self.place_M, device)),
            head,
            send(self.target_M, device),
            weight_M,
            soft,
        )
        total.backward()
        return Losses(self, loss_M.detach(), kl_S.detach(), weight_M, soft)

    def means(self, loss_M: Tensor, kl_S: Tensor) -> dict[int, StepLoss]:
        """The loss of each adapter that takes part, from its tokens' losses (float64, CPU)."""
        num_slots = int(self.owner_M.max()) + 1
        first = len(loss_M) - len(kl_S)
        value_M = loss_M * self.weight_M
        drift_M = torch.zeros_like(value_M)
        anchor_M = self.anchor_M
        if self.soft is not None:
            value_M[first:] += kl_S * self.soft.weight_S
            drift_M[first:] = kl_S

        def sums(values_M: Tensor, chosen_M: Tensor) -> Tensor:
            zeros = torch.zeros(num_slots, dtype=torch.float64)
            return zeros.index_add(0, self.owner_M[chosen_M], values_M[chosen_M])

        own_K, anchored_K = sums(value_M, ~anchor_M), sums(value_M, anchor_M)
        count_K = torch.bincount(self.owner_M[anchor_M], minlength=num_slots)
        drift_K = sums(drift_M, anchor_M) / count_K.clamp(min=1)
        return {
            k: StepLoss(
                float(own_K[k]),
                float(drift_K[k]) if count_K[k] else None,
                float(own_K[k] + anchored_K[k]),
            )
            for k in sorted(set(self.owner_M.tolist()))
        }


@dataclass(frozen=True)
class Losses:
    """A step's losses, where they were computed. loss_M: cross-entropies, kl_S: KLs of the last S."""

    supervision: Supervision
    loss_M: Tensor
    kl_S: Tensor
    weight_M: Tensor
    soft: Soft | None

    def on_device(self, num_slots: int) -> Tensor:
        """Each adapter's loss [K], on the device; only good for whether it is finite, since a GPU adds
        up in any order."""
        value_M = self.loss_M * self.weight_M
        if self.soft is not None:
            value_M[len(value_M) - len(self.kl_S) :] += self.kl_S * self.soft.weight_S
        owner_M = send(self.supervision.owner_M, value_M.device)
        return value_M.new_zeros(num_slots).index_add_(0, owner_M, value_M)

    def fetch(
        self, beside: Tensor | None = None
    ) -> Callable[[], tuple[dict[int, StepLoss], list[float]]]:
        """Begin to bring the losses of the adapters that take part, and the numbers `beside` them, from
        the device, all in one copy. The result is called for them, and waits for the step."""
        parts = [self.loss_M, self.kl_S, *([] if beside is None else [beside.to(self.loss_M)])]
        arriving, means = fetch(torch.cat(parts)), self.supervision.means
        sizes = [len(part) for part in parts]

        def read() -> tuple[dict[int, StepLoss], list[float]]:
            # float64 only here: not every device has it.
            loss_M, kl_S, *rest = arriving().double().split(sizes)
            return means(loss_M, kl_S), rest[0].tolist() if rest else []

        return read


def _soft(taught: Sequence[TokenSequence], weight_M: Tensor) -> Soft | None:
    """The sequences' teachers, end to end; the last weights are theirs."""
    teachers = [sequence.soft for sequence in taught if sequence.soft is not None]
    if not teachers:
        return None
    ids_Sk = torch.cat([teacher.ids_Mk for teacher in teachers])
    return Soft(
        ids_Sk=ids_Sk,
        log_Sk=torch.cat([teacher.log_Mk for teacher in teachers]),
        rest_S=torch.cat([teacher.rest_M for teacher in teachers]),
        weight_S=weight_M[len(weight_M) - len(ids_Sk) :],
    )
