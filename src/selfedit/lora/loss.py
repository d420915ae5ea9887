"""Cross-entropy of the language-model head without keeping its logits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _HeadLoss(torch.autograd.Function):
    """Weighted cross-entropy of a frozen linear head, chunk by chunk.

    The head is frozen, so the gradient by the hidden states is complete as soon as a chunk's
    softmax is known: it is formed in the forward pass, and [tokens, vocabulary] never stands whole.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden_MD: Tensor,
        head_VD: Tensor,
        bias_V: Tensor | None,
        target_M: Tensor,
        weight_M: Tensor,
        chunk: int,
    ) -> tuple[Tensor, Tensor]:
        gradient_MD = torch.empty_like(hidden_MD)
        wide = torch.float64 if hidden_MD.dtype == torch.float64 else torch.float32
        loss_M = torch.empty(hidden_MD.shape[0], dtype=wide, device=hidden_MD.device)
        for start in range(0, hidden_MD.shape[0], chunk):
            part = slice(start, start + chunk)
            # Vocabulary first: on a CPU the product is a third faster that way round. No logsumexp:
            # torch's takes longer there than the product itself (docs/performance.md).
            logits_VC = (head_VD @ hidden_MD[part].T).to(wide)
            if bias_V is not None:
                logits_VC += bias_V.to(wide)[:, None]
            target = target_M[None, part]
            highest = logits_VC.amax(dim=0, keepdim=True)
            logits_VC -= highest
            wanted = logits_VC.gather(0, target)
            total = logits_VC.exp_().sum(dim=0, keepdim=True)
            loss_M[part] = (total.log() - wanted).squeeze(0)
            logits_VC *= weight_M[None, part] / total
            logits_VC.scatter_add_(0, target, -weight_M[None, part])
            gradient_MD[part] = logits_VC.to(head_VD.dtype).T @ head_VD
        ctx.save_for_backward(gradient_MD)
        ctx.mark_non_differentiable(loss_M)
        return (loss_M * weight_M).sum(), loss_M

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        (gradient_MD,) = ctx.saved_tensors
        return gradient_MD * outputs[0].to(gradient_MD.dtype), None, None, None, None, None


def head_loss(
    hidden_MD: Tensor,
    head_VD: Tensor,
    bias_V: Tensor | None,
    target_M: Tensor,
    weight_M: Tensor,
    chunk: int = 512,
) -> tuple[Tensor, Tensor]:
    """Weighted sum (scalar, differentiable) and values [M] of the tokens' cross-entropies.

    hidden_MD: final hidden states at the M supervised positions; head_VD: frozen head weight.
    weight_M: each token's weight in the sum, in the losses' dtype. chunk: positions at a time.
    """
    return _HeadLoss.apply(hidden_MD, head_VD, bias_V, target_M, weight_M, chunk)
