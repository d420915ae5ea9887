"""Losses of the language-model head without keeping its logits.

A token's loss is its cross-entropy, the KL to a teacher's distribution, or a weighted sum of both. The
teacher (Hinton et al., arXiv 1503.02531) is given by its k most likely tokens and the mass of the rest,
which counts as one more event: with k the whole vocabulary it is the full KL, else a lower bound of it
(what is missing is the rest's mass times the KL within the rest).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from selfedit.forward.head import Head
from selfedit.forward.transfer import send
from selfedit.lora.excluded import Mask

_CHUNK, _CHUNK_ON_CUDA = 256, 1024


@dataclass(frozen=True)
class Soft:
    """A teacher's distributions for the last S of M positions.

    ids_Sk: int64. log_Sk, rest_S: log-probabilities of these tokens and of the rest (see
    `sequences.SoftTargets`). weight_S: of each KL in the sum.
    """

    ids_Sk: Tensor
    log_Sk: Tensor
    rest_S: Tensor
    weight_S: Tensor

    def part(self, start: int, end: int) -> Soft:
        part = slice(start, end)
        return Soft(self.ids_Sk[part], self.log_Sk[part], self.rest_S[part], self.weight_S[part])

    def to(self, device: torch.device, dtype: torch.dtype) -> Soft:
        return Soft(
            send(self.ids_Sk, device),
            *(send(own.to(dtype), device) for own in (self.log_Sk, self.rest_S, self.weight_S)),
        )


class _HeadLoss(torch.autograd.Function):
    """Weighted losses of a frozen linear head, chunk by chunk.

    The head is frozen, so the gradient with respect to the hidden states is complete as soon as a
    chunk's softmax is known: it is formed in the forward pass, and [tokens, vocabulary] is never held
    whole.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden_MD: Tensor,
        head: Head,
        target_M: Tensor,
        weight_M: Tensor,
        soft: Soft | None,
        mask: Mask | None,
        chunk: int,
    ) -> tuple[Tensor, Tensor, Tensor]:
        gradient_MD = torch.empty_like(hidden_MD)
        wide = torch.float64 if hidden_MD.dtype == torch.float64 else torch.float32
        num = hidden_MD.shape[0]
        loss_M = torch.empty(num, dtype=wide, device=hidden_MD.device)
        num_soft = len(soft.weight_S) if soft is not None else 0
        divergence_S = loss_M.new_empty(num_soft)
        for start in range(0, num, chunk):
            part = slice(start, start + chunk)
            # No torch.logsumexp: on a CPU it takes longer than the product itself.
            logits_CV = head.logits(hidden_MD[part])
            slope_CV = head.slope(logits_CV)
            if mask is not None:
                mask.part(start, start + chunk).apply(logits_CV)
            target = target_M[part, None]
            logits_CV -= logits_CV.amax(dim=1, keepdim=True)
            wanted = logits_CV.gather(1, target)
            total = logits_CV.exp_().sum(dim=1, keepdim=True)
            loss_M[part] = (total.log() - wanted).squeeze(1)
            first = max(start, num - num_soft)  # of this chunk's positions, those with a teacher
            if soft is None or first >= start + len(logits_CV):
                logits_CV *= weight_M[part, None] / total
            else:
                at = slice(first - (num - num_soft), start + len(logits_CV) - (num - num_soft))
                logits_CV[: first - start] *= weight_M[start:first, None] / total[: first - start]
                divergence_S[at] = _soften(
                    logits_CV[first - start :],
                    total[first - start :],
                    weight_M[first : start + chunk, None],
                    soft.part(at.start, at.stop),
                )
            logits_CV.scatter_add_(1, target, -weight_M[part, None])
            gradient_MD[part] = head.back(logits_CV, slope_CV)
        ctx.save_for_backward(gradient_MD)
        ctx.mark_non_differentiable(loss_M, divergence_S)
        weighted = (loss_M * weight_M).sum()
        if soft is not None:
            weighted = weighted + (divergence_S * soft.weight_S).sum()
        return weighted, loss_M, divergence_S

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        (gradient_MD,) = ctx.saved_tensors
        return gradient_MD * outputs[0].to(gradient_MD.dtype), None, None, None, None, None, None


def _soften(exp_CV: Tensor, total_C1: Tensor, hard_C1: Tensor, soft: Soft) -> Tensor:
    """Turn exponentials in place into the gradient of hard * logsumexp + soft * KL with respect to the
    logits; returns the KLs [C].

    The KL's own gradient is p_j - t_j for the k tokens and p_j (1 - T_rest / P_rest) for each of the
    rest: the student may distribute the rest's mass as it likes.
    """
    tiny = torch.finfo(exp_CV.dtype).tiny
    weight_C1 = soft.weight_S[:, None]
    p_Ck = exp_CV.gather(1, soft.ids_Sk) / total_C1
    exp_CV.scatter_(1, soft.ids_Sk, 0.0)
    # Summed, not 1 - p_Ck.sum(), which loses float32's precision if the rest is small.
    rest_C1 = (exp_CV.sum(dim=1, keepdim=True) / total_C1).clamp_(min=tiny)
    t_Ck, t_rest_C1 = soft.log_Sk.exp(), soft.rest_S[:, None].exp()
    log_rest_C1 = torch.where(t_rest_C1 > 0, soft.rest_S[:, None] - rest_C1.log(), 0.0)
    divergence_C = (t_Ck * (soft.log_Sk - p_Ck.clamp(min=tiny).log())).sum(1)
    divergence_C += (t_rest_C1 * log_rest_C1).squeeze(1)
    exp_CV *= (hard_C1 + weight_C1 * (1 - t_rest_C1 / rest_C1)) / total_C1
    exp_CV.scatter_(1, soft.ids_Sk, (hard_C1 + weight_C1) * p_Ck - weight_C1 * t_Ck)
    return divergence_C


def chunk_on(device: torch.device) -> int:
    """Positions whose logits are computed together. A GPU wants more rows and fewer kernels: 1,024 rows
    of the 7B shape's logits take 0.9 GB."""
    return _CHUNK_ON_CUDA if device.type == "cuda" else _CHUNK


def head_loss(
    hidden_MD: Tensor,
    head: Head,
    target_M: Tensor,
    weight_M: Tensor,
    soft: Soft | None = None,
    mask: Mask | None = None,
    chunk: int | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Weighted sum (scalar, differentiable) of the tokens' losses; their cross-entropies [M], and the
    KLs [S] of the last S.

    hidden_MD: final hidden states at the M supervised positions; head: frozen, to V logits.
    weight_M: weight of each cross-entropy in the sum, in the losses' dtype. soft: teacher's
    distributions for the last S positions, or None. mask: tokens that are excluded at each position; a
    teacher knows of none. chunk: positions at a time (None: as many as suit the device).
    """
    chunk = chunk or chunk_on(hidden_MD.device)
    return _HeadLoss.apply(hidden_MD, head, target_M, weight_M, soft, mask, chunk)


def teach(hidden_MD: Tensor, head: Head, top_k: int, chunk: int = _CHUNK) -> tuple[Tensor, ...]:
    """A model's own predictions at M positions: ids_Mk, log_Mk and rest_M of `SoftTargets`.

    hidden_MD: its final states there. top_k: tokens kept, at most the vocabulary.
    """
    parts = []
    for start in range(0, hidden_MD.shape[0], chunk):
        log_CV = head.logits(hidden_MD[start : start + chunk]).log_softmax(dim=1)
        log_Ck, ids_Ck = log_CV.topk(min(top_k, log_CV.shape[1]), dim=1)
        rest_C = log_CV.scatter_(1, ids_Ck, float("-inf")).logsumexp(dim=1)
        parts.append((ids_Ck, log_Ck, rest_C))
    return tuple(torch.cat(own).cpu() for own in zip(*parts, strict=True))
