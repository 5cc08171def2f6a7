"""The loss at the end of a language model without its logits: head and cross-entropy in one, some tokens at a time.

For each token that counts, the head makes one logit for every entry of the vocabulary. All of them together are the
largest tensor of a training step (1000 tokens by 50,000 entries are 200 MB in float32, and autograd keeps a copy), and
nobody wants them: of the loss

    L = sum over tokens of  logsumexp(z) - z[label],    z = W h

the gradient is known as soon as z is,

    dL/dz = softmax(z) - onehot(label),      dL/dh = W^T dL/dz,      dL/dW = dL/dz h^T,

so it is computed at once, for CHUNK tokens, and z is written over. What stays is dL/dh, as large as h, and dL/dW where
the head learns. The idea is that of Liger's fused linear cross-entropy (Hsu et al. 2024) and of "Cut your losses in
large-vocabulary language models" (Wijmans et al. 2025); torch's own F.linear_cross_entropy is too new to rely on.

Left out: a head with a bias, soft caps, label smoothing.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

CHUNK = 256  # tokens whose logits exist at a time


class Surprise(torch.autograd.Function):
    """Of states (L, C), a head's weight (V, C) and labels (L): the sum of minus the log-probabilities (nats)."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
        """The loss, with its gradients put by where somebody will want them."""
        learns, wanted = weight.requires_grad, h.requires_grad
        dh = torch.empty_like(h, dtype=torch.float32) if wanted else None
        dw = torch.zeros_like(weight, dtype=torch.float32) if learns else None
        total = h.new_zeros((), dtype=torch.float32)
        for start in range(0, len(h), CHUNK):
            some, target = h[start : start + CHUNK], labels[start : start + CHUNK, None]
            z = (some @ weight.t().to(some.dtype)).float()
            # logsumexp by hand and in place: torch's makes a tensor as large as z, and another exp would be needed.
            top = z.amax(1, keepdim=True)
            right = z.gather(1, target)
            mass = z.sub_(top).exp_().sum(1, keepdim=True)
            total += (mass.log() + top - right).sum()
            if dh is None and dw is None:
                continue
            z.div_(mass).scatter_add_(1, target, torch.full_like(mass, -1.0))
            if dh is not None:
                dh[start : start + CHUNK] = z.to(weight.dtype) @ weight
            if dw is not None:
                dw.addmm_(z.t(), some.float())
        ctx.save_for_backward(dh, dw)
        ctx.types = h.dtype, weight.dtype
        return total

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        """What was put by, times what comes from above."""
        (dh, dw), (of_h, of_weight) = ctx.saved_tensors, ctx.types
        return None if dh is None else (dh * g).to(of_h), None if dw is None else (dw * g).to(of_weight), None


def surprise(h: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """The sum of minus the log-probabilities (nats) of ``labels`` (L) after states ``h`` (L, C)."""
    return Surprise.apply(h, weight, labels)
