"""The layers of litgpt, as far as memory goes: four-bit and adapted linear layers, and its norm.

An adapter is a few numbers that learn beside a matrix that does not, and what it costs is mostly what it makes the
layer *keep*: the gradient of A needs the layer's input (after dropout: a copy, and a mask of one byte per number), the
gradient of a scale needs all that it scales. Per token of a layer from h to h numbers of 2 bytes:

    frozen                                   nothing
    LoRA      y + s·dropout(x)·A·B           the dropped input 2h, its mask h, and r numbers between A and B
    scaled    scale·(y + shift)              y + shift 2h, though only 2h parameters learn (LLaMA-Adapter v2)
    four-bit, bitsandbytes before 0.44       the input 2h: as an attribute of the graph's node and not a saved tensor,
                                             so that it lives until the loss itself is gone

To multiply, a four-bit layer unpacks its matrix to float16, from which it was packed, and then to bfloat16: for a
moment both are there. Sources: litgpt's lora.py and adapter_v2.py; autograd/_functions.py of bitsandbytes 0.41.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.memory.recipe import Recipe
from course_lib.memory.trace.build import DTYPES
from course_lib.memory.trace.litgpt_names import SCALED, adapted

LEARNED = ("a", "b", "prefix", "gate", "scale", "shift")  # parameters that adapters add, by name


def parameter(recipe: Recipe, *shape: int) -> nn.Parameter:
    """Numbers held in the recipe's precision; adapters are held like the model."""
    return nn.Parameter(torch.empty(*shape, dtype=DTYPES[recipe.held]))


# -- the matrix --------------------------------------------------------------------------------------------------------


class Unpacked(torch.autograd.Function):
    """x @ W.T + b with a four-bit W, which is unpacked for the forward product and again for the backward one."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: FourBit) -> Tensor:
        """The product; its input hangs on the graph until the loss is let go, because it is not saved as such."""
        ctx.layer, ctx.input = layer, x  # not save_for_backward
        return F.linear(x, layer.unpack().to(x.dtype), layer.bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """The gradient of the input."""
        return grad @ ctx.layer.unpack().to(grad.dtype), None


class FourBit(nn.Module):
    """bitsandbytes' layer: two codes to a byte, a scale for 64 values; with double quantization scales of scales."""

    scales: Tensor

    def __init__(self, inputs: int, outputs: int, bias: bool, recipe: Recipe) -> None:
        super().__init__()
        self.shape = torch.Size((outputs, inputs))
        count = -(-inputs * outputs // 64)
        self.weight = nn.Parameter(torch.empty(-(-inputs * outputs // 2), dtype=torch.uint8), requires_grad=False)
        self.weight.quant_state = SimpleNamespace(shape=self.shape)  # type: ignore[attr-defined]  # for who counts
        self.bias = parameter(recipe, outputs) if bias else None
        self.twice = recipe.double_quantization
        self.register_buffer("scales", torch.empty(count, dtype=torch.uint8 if self.twice else torch.float32))
        self.register_buffer("outer", torch.empty(-(-count // 256)) if self.twice else None)

    def unpack(self) -> Tensor:
        """The matrix in float16: (outputs, inputs)."""
        scales = torch.empty(self.scales.shape, dtype=torch.float32) if self.twice else self.scales
        return scales.new_empty(self.shape, dtype=torch.float16)

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)"""
        return Unpacked.apply(x, self)


def linear(inputs: int, outputs: int, bias: bool, recipe: Recipe) -> nn.Module:
    """A linear layer as the recipe holds it; in litgpt quantizing means every one, the head included."""
    if recipe.method == "qlora":
        return FourBit(inputs, outputs, bias, recipe)
    return nn.Linear(inputs, outputs, bias, dtype=DTYPES[recipe.held])


# -- what is added to it -----------------------------------------------------------------------------------------------


def layer(name: str, inputs: int, outputs: int, bias: bool, recipe: Recipe) -> nn.Module:
    """A linear layer with what the recipe's program adds to the layers called ``name`` (one of ADAPTABLE)."""
    if recipe.program == SCALED:
        return Scaled(inputs, outputs, bias, recipe)
    return LoRA(inputs, outputs, bias, recipe) if name in adapted(recipe) else linear(inputs, outputs, bias, recipe)


class Scaled(nn.Module):
    """scale · (y + shift), the layer of LLaMA-Adapter v2."""

    def __init__(self, inputs: int, outputs: int, bias: bool, recipe: Recipe) -> None:
        super().__init__()
        self.linear = linear(inputs, outputs, bias, recipe)
        self.shift, self.scale = parameter(recipe, outputs), parameter(recipe, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)"""
        return self.scale * (self.linear(x) + self.shift)


class LoRA(nn.Module):
    """y + s · dropout(x)·A·B."""

    def __init__(self, inputs: int, outputs: int, bias: bool, recipe: Recipe) -> None:
        super().__init__()
        self.linear, self.dropout = linear(inputs, outputs, bias, recipe), recipe.lora_dropout
        self.a, self.b = parameter(recipe, recipe.rank, inputs), parameter(recipe, outputs, recipe.rank)

    def dropped(self, x: Tensor) -> Tensor:
        """What enters A: of the same shape."""
        return F.dropout(x, self.dropout) if self.dropout else x

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, inputs) -> (batch, length, outputs)"""
        y = self.linear(x)
        added = (self.dropped(x) @ self.a.T @ self.b.T) * 2.0
        return y + added


class QueriesKeysValues(LoRA):
    """LoRA on some of the three outputs of one matrix. ``sizes``: the outputs of each and whether it is adapted.

    What is added to the adapted ones is spread into zeros by an indexed copy, which keeps its source.
    """

    places: Tensor

    def __init__(self, inputs: int, sizes: list[tuple[int, bool]], bias: bool, recipe: Recipe) -> None:
        super().__init__(inputs, sum(size for size, _ in sizes), bias, recipe)
        self.outputs, self.parts = sum(size for size, _ in sizes), [size for size, on in sizes if on]
        self.grouped, self.out_of_place = sizes[0][0] != sizes[1][0], recipe.program == "litgpt-2023"
        self.a = parameter(recipe, len(self.parts) * recipe.rank, inputs)
        self.b = parameter(recipe, sum(self.parts), recipe.rank)
        self.register_buffer("places", torch.empty(sum(self.parts), dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, inputs) -> (batch, length, outputs)"""
        y = self.linear(x)
        low = F.linear(self.dropped(x), self.a)
        high = self.raised(low.transpose(-2, -1)).transpose(-2, -1)
        added = self.spread(high) * 2.0
        return y + added

    def raised(self, low: Tensor) -> Tensor:
        """Each part times its own B: (batch, parts · rank, length) -> (batch, adapted outputs, length)."""
        weight = self.b.unsqueeze(-1)
        if not self.grouped:
            return F.conv1d(low, weight, groups=len(self.parts))
        pairs = zip(low.chunk(len(self.parts), dim=1), weight.split(self.parts), strict=True)
        return torch.cat([F.conv1d(part, b) for part, b in pairs], dim=1)

    def spread(self, high: Tensor) -> Tensor:
        """(batch, length, adapted outputs) -> (batch, length, outputs), zeros for what is not adapted."""
        if len(self.parts) == 3:
            return high
        if not self.out_of_place:
            return high.new_zeros(*high.shape[:-1], self.outputs).index_copy_(-1, self.places, high)
        high = high.transpose(0, 1)
        zeros = high.new_zeros(*high.shape[:-1], self.outputs).view(-1, self.outputs)
        filled = zeros.index_copy(1, self.places, high.reshape(-1, high.shape[-1]))
        return filled.view(*high.shape[:-1], self.outputs).transpose(0, 1)


class RootMeanSquareNorm(nn.Module):
    """RMSNorm on a float32 copy of its input, which is what it keeps. ``offset``: Gemma's weights count from 1."""

    def __init__(self, width: int, recipe: Recipe, *, offset: bool) -> None:
        super().__init__()
        self.weight, self.offset = parameter(recipe, width), offset
        self.narrow_last = recipe.program != "litgpt-2024"

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> the same shape"""
        dtype, x = x.dtype, x.float()
        x = x * torch.rsqrt(torch.mean(x * x, dim=-1, keepdim=True) + 1e-5)
        if self.narrow_last:  # where the weight learns, what it multiplies is kept: in float32, or narrowed before
            return (self.weight * x).to(dtype)
        return x.to(dtype) * (1 + self.weight if self.offset else self.weight)
