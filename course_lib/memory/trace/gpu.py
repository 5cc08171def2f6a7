"""What a GPU's kernels do differently from a processor's, for tensors that are fake.

Fake tensors live on the processor here, because a build of PyTorch without CUDA cannot fake CUDA tensors. Two things
would then come out wrong, and are put right while this mode is active:

* attention: on a GPU the fused kernels keep the output and one float32 per query and head, and their backward pass
  needs a float32 accumulator for the queries' gradients (Dao 2023, FlashAttention-2, algorithm 2; the same in
  PyTorch's memory-efficient kernel for 16 bits). Shapes: queries (B, H, S, D), keys and values (B, K, S, D). Where no
  fused kernel takes the tensors, PyTorch falls back to plain products and keeps all S x S scores: for fewer key than
  query heads that is every card before compute capability 8.0, a T4 for instance.
* autocast: CUDA runs some operations in float32 that a processor runs in 16 bits (torch.amp's list of CUDA ops).
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

# The operations of CUDA autocast's float32 list that language models use.
IN_FLOAT32 = frozenset(
    {
        F.layer_norm,
        F.softmax,
        torch.softmax,
        Tensor.softmax,
        F.log_softmax,
        torch.log_softmax,
        Tensor.log_softmax,
        F.cross_entropy,
        F.nll_loss,
        F.mse_loss,
        torch.pow,
        Tensor.pow,
        Tensor.__pow__,
        torch.rsqrt,
        Tensor.rsqrt,
        torch.exp,
        Tensor.exp,
        torch.sum,
        Tensor.sum,
        torch.cumsum,
        Tensor.cumsum,
    }
)

# FlashAttention lays its output out like the queries, the memory-efficient kernel always with the heads of a token side
# by side; where the two differ, joining the heads is a copy or is not. Flash takes no mask, 16 bits only, and heads up
# to 256 wide, on most cards up to 192 in training (check_requires_grad_and_head_dim_gt192... in sdp_utils.cpp).
WIDEST = {(8, 0): 256, (9, 0): 256}


class Attention(torch.autograd.Function):
    """The shapes of a fused attention kernel, forward and backward; no numbers."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, flash: bool) -> Tensor:
        """The output, and what is kept for the way back: (B, H, S, D)."""
        batch, heads, queries, _ = q.shape
        out = torch.empty_like(q) if flash else q.new_empty(batch, queries, heads, v.shape[-1]).transpose(1, 2)
        logsumexp = q.new_empty(batch, heads, queries, dtype=torch.float32)
        ctx.save_for_backward(q, k, v, out, logsumexp, mask)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of queries, keys and values, and what the kernel needs meanwhile."""
        q, k, v, _, logsumexp, _ = ctx.saved_tensors
        grad = grad.contiguous() if grad.stride(-1) != 1 else grad
        row_sums = torch.empty_like(logsumexp)
        accumulator = _like(q, dtype=torch.float32) if q.dtype != torch.float32 else None
        dq, dk, dv = _like(q), _like(k, q.shape[1]), _like(v, q.shape[1])
        del row_sums, accumulator
        if k.shape[1] != q.shape[1]:  # the kernel works per query head; groups are added up afterwards
            groups = q.shape[1] // k.shape[1]
            dk = dk.unflatten(1, (k.shape[1], groups)).sum(2)
            dv = dv.unflatten(1, (v.shape[1], groups)).sum(2)
        return dq, dk, dv, None, None


def _like(x: Tensor, heads: int | None = None, dtype: torch.dtype | None = None) -> Tensor:
    batch, own, length, width = x.shape
    return x.new_empty(batch, length, heads or own, width, dtype=dtype or x.dtype).transpose(1, 2)


class OnGPU(TorchFunctionMode):
    """Replaces attention, dropout and autocast's float32 list while it is active.

    ``capability`` is the card's. A backward pass switches function modes off; ``active`` says what was on.
    """

    active: ClassVar[list[tuple[int, int]]] = []  # capabilities, the innermost last

    def __init__(self, capability: tuple[int, int] = (8, 0)) -> None:
        super().__init__()
        self.capability = capability

    def __enter__(self) -> Any:
        OnGPU.active.append(self.capability)
        return super().__enter__()

    def __exit__(self, *failure: Any) -> None:
        super().__exit__(*failure)
        OnGPU.active.pop()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        autocast = torch.is_autocast_enabled("cpu")
        if func is F.scaled_dot_product_attention:
            return _attention(*args, autocast=autocast, capability=self.capability, **kwargs)
        if func is F.dropout:
            return _dropout(*args, **kwargs)
        if autocast and func in IN_FLOAT32:
            args = tuple(_widened(a) for a in args)
        return func(*args, **kwargs)


def _dropout(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """On a GPU dropout keeps a mask of one byte per number; a processor keeps a factor of the numbers' own width."""
    return torch.native_dropout(x, p, True)[0] if training and p > 0 else x


def _widened(x: Any) -> Any:
    return x.float() if isinstance(x, Tensor) and x.dtype in (torch.float16, torch.bfloat16) else x


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    *_: Any,
    autocast: bool = False,
    capability: tuple[int, int] = (8, 0),
    enable_gqa: bool = False,
    is_causal: bool = False,
    **__: Any,
) -> Tensor:
    if autocast:
        dtype = torch.get_autocast_dtype("cpu")
        query, key, value = (x.to(dtype) for x in (query, key, value))
    if attn_mask is not None and attn_mask.dtype == torch.bool:  # the kernel adds a mask in the queries' precision
        attn_mask = query.new_empty(attn_mask.shape)
    fused = capability >= (8, 0) and attn_mask is None and query.element_size() == 2
    flash = fused and query.shape[-1] <= WIDEST.get(capability, 192)
    if key.shape[1] != query.shape[1] and not (enable_gqa and flash):
        plain = torch.ops.aten._scaled_dot_product_attention_math
        with torch.autocast("cpu", enabled=False):  # autocast casts what attention is given, not what it does inside
            return plain(query, key, value, attn_mask, 0.0, is_causal, enable_gqa=enable_gqa)[0]
    return Attention.apply(query, key, value, attn_mask, flash)
