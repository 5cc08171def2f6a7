"""LoRA and norms in fewer and smaller steps, for a processor: the same functions and gradients, less memory moved.

peft computes  y = W x + s B (A x):  for each linear layer two thin products more, and two more tensors as large as y,
one for the scaled product and one for the sum. On a processor moving those takes longer than computing them. But

    y = (W + s B A) x                                       one product, nothing else

is the same number, and B A is a small product when there are many more tokens than the rank. Backward, with g = dL/dy:

    dL/dx = (W + s B A)^T g      dL/dB = s g (A x)^T      dL/dA = s (B^T g) x^T

All that is kept for it is x, which the layer before keeps anyway. Left to itself, autograd would make the gradient of
the whole W + s B A first, as large as W's own: what LoRA is there to avoid. So backward is written here.

A norm has the same trouble on a smaller scale: y = w x / sqrt(mean(x^2) + eps) is five steps for autograd, each with a
tensor as large as x. With r = 1 / sqrt(mean(x^2) + eps) and n numbers in x,

    dL/dx = r (w g) - x r^3 <w g, x> / n          dL/dw = sum over tokens of g x r

Only for adapters in float32 on a base in float32 and without dropout; elsewhere peft's own forward stays.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.decoder.model import RMSNorm


class Merged(torch.autograd.Function):
    """y (N, out) of x (N, in) through weight (out, in) and the adapter's a (r, in) and b (out, r)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float) -> Tensor:
        """y, with what backward needs put by."""
        ctx.save_for_backward(x, weight, a, b)
        ctx.scale = scale
        return F.linear(x, torch.addmm(weight, b, a, alpha=scale), bias)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of x, a and b; the base learns nothing."""
        x, weight, a, b = ctx.saved_tensors
        # How a thin product's factors lie in memory decides how fast it is: written like this they take half the time.
        back = (g @ b.t().contiguous().t()).mul_(ctx.scale)
        to_a = back.t() @ x
        to_b = ((x @ a.t()).t() @ g).t().mul_(ctx.scale)
        to_x = (g @ weight).addmm_(back, a) if ctx.needs_input_grad[0] else None
        return to_x, None, None, to_a, to_b, None


class Normed(torch.autograd.Function):
    """w x / sqrt(mean(x^2) + eps) over the last dimension of x, with w of its size."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        """y, with what backward needs put by."""
        r = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, r)
        return (x * r).mul_(weight)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of x and, where it learns, of the weight."""
        x, weight, r = ctx.saved_tensors
        to_weight = (g * x * r).flatten(0, -2).sum(0) if ctx.needs_input_grad[1] else None
        wg = g * weight
        along = torch.linalg.vecdot(wg, x).unsqueeze(-1)
        return wg.mul_(r).addcmul_(x, along * r**3 / -x.shape[-1]), to_weight, None


def fuse(model: nn.Module) -> int:
    """Give each layer with one plain adapter, and each norm of the decoder, this forward; how many adapters it has."""
    from peft.tuners.lora import Linear

    for norm in model.modules():
        if isinstance(norm, RMSNorm) and norm.weight.dtype == torch.float32:
            norm.forward = MethodType(_norm, norm)  # type: ignore[method-assign]
    found = [layer for layer in model.modules() if isinstance(layer, Linear) and _plain(layer)]
    for layer in found:
        layer.forward = MethodType(_forward, layer)
    return len(found)


def _norm(norm: Any, x: Tensor) -> Tensor:
    return Normed.apply(x, norm.weight, norm.eps)


def _forward(layer: Any, x: Tensor, *arguments: Any, **options: Any) -> Tensor:
    if not torch.is_grad_enabled() or not _plain(layer):  # writing goes token by token: W + s B A does not pay there
        return type(layer).forward(layer, x, *arguments, **options)
    (name,) = layer.active_adapters
    base = layer.get_base_layer()
    flat = x.reshape(-1, x.shape[-1])
    y = Merged.apply(
        flat, base.weight, base.bias, layer.lora_A[name].weight, layer.lora_B[name].weight, layer.scaling[name]
    )
    return y.view(*x.shape[:-1], -1)


def _plain(layer: Any) -> bool:
    """Whether nothing but W x + s B A x happens in a layer of peft: one adapter, float32, no dropout, no variant."""
    if len(layer.active_adapters) != 1 or layer.merged or layer.disable_adapters:
        return False
    (name,) = layer.active_adapters
    base = layer.get_base_layer()
    weights = [base.weight, layer.lora_A[name].weight, layer.lora_B[name].weight] if name in layer.lora_A else []
    return (
        type(base) is nn.Linear
        and bool(weights)
        and all(weight.dtype == torch.float32 for weight in weights)
        and isinstance(layer.lora_dropout[name], nn.Identity)
        and not layer.lora_variant
        and not getattr(layer, "lora_bias", {}).get(name)
        and not layer.fan_in_fan_out
    )
