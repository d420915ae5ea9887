"""Cross-entropy of the language-model head without keeping its logits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from selfedit.forward.linear import back_through, logits_of


class _HeadLoss(torch.autograd.Function):
    """Weighted cross-entropy of a frozen linear head, chunk by chunk.

    The head is frozen, so the gradient by the hidden states is complete as soon as a chunk's
    softmax is known: it is formed in the forward pass, and [tokens, vocabulary] never stands whole.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden_MD: Tensor,
        head: nn.Linear,
        target_M: Tensor,
        weight_M: Tensor,
        chunk: int,
    ) -> tuple[Tensor, Tensor]:
        gradient_MD = torch.empty_like(hidden_MD)
        wide = torch.float64 if hidden_MD.dtype == torch.float64 else torch.float32
        loss_M = torch.empty(hidden_MD.shape[0], dtype=wide, device=hidden_MD.device)
        for start in range(0, hidden_MD.shape[0], chunk):
            part = slice(start, start + chunk)
            # No logsumexp: on a CPU torch's takes longer than the product itself.
            logits_CV = logits_of(head, hidden_MD[part]).to(wide)
            if head.bias is not None:
                logits_CV += head.bias.to(wide)
            target = target_M[part, None]
            logits_CV -= logits_CV.amax(dim=1, keepdim=True)
            wanted = logits_CV.gather(1, target)
            total = logits_CV.exp_().sum(dim=1, keepdim=True)
            loss_M[part] = (total.log() - wanted).squeeze(1)
            logits_CV *= weight_M[part, None] / total
            logits_CV.scatter_add_(1, target, -weight_M[part, None])
            gradient_MD[part] = back_through(head, logits_CV.to(head.weight.dtype))
        ctx.save_for_backward(gradient_MD)
        ctx.mark_non_differentiable(loss_M)
        return (loss_M * weight_M).sum(), loss_M

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        (gradient_MD,) = ctx.saved_tensors
        return gradient_MD * outputs[0].to(gradient_MD.dtype), None, None, None, None


def head_loss(
    hidden_MD: Tensor, head: nn.Linear, target_M: Tensor, weight_M: Tensor, chunk: int = 256
) -> tuple[Tensor, Tensor]:
    """Weighted sum (scalar, differentiable) and values [M] of the tokens' cross-entropies.

    hidden_MD: final hidden states at the M supervised positions; head: frozen, to V logits.
    weight_M: each token's weight in the sum, in the losses' dtype. chunk: positions at a time.
    """
    return _HeadLoss.apply(hidden_MD, head, target_M, weight_M, chunk)
