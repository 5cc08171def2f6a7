"""litgpt's training program, retold: most published memory measurements of fine-tuning were taken with it.

The same Llama needs a third more memory in one program than in another, because what a layer *keeps* for its backward
pass is decided by how it is written down, not by what it computes. What litgpt does differently from transformers and
peft, in bytes per token of a block h wide (2 bytes to a number):

* queries, keys and values come from one matrix, and the values are a view of its output: while attention keeps the
  values, it keeps all of it (3h). Groups of queries get copies of their keys and values first.
* adapters on that matrix: what they add to queries and values is spread into zeros by an indexed copy, which keeps its
  source (2h); dropout keeps the scaled input and a mask of one byte (h + h/2).
* RMSNorm works on a float32 copy, and keeps that (2h) in the place of its input.
* the head runs over 128 positions at a time, but the logits of all of them stay, widened to float32 by Fabric, while
  the loss keeps as much again: 8 bytes per token and word where one would hope for 2.
* four-bit layers of bitsandbytes before 0.44 keep their input, which nobody needs when the matrix is frozen; being an
  attribute of the node and not a saved tensor, it lives until the loss itself is gone. To multiply, they unpack the
  matrix to float16 (it was packed from that) and then to bfloat16: for a moment both are there.

Two states of the program are known here: "litgpt-2023" (commit 8641822, October 2023) and "litgpt-2024" (0.2 to 0.4).
Sources: model.py, lora.py, finetune/lora.py and full.py of litgpt; fabric/plugins/precision of Lightning 2.1 and 2.2;
autograd/_functions.py of bitsandbytes 0.41 and 0.42. Left out: mixtures of experts, several devices, LLaMA-Adapter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.errors import CourseError
from course_lib.memory.architecture import Architecture
from course_lib.memory.recipe import Recipe
from course_lib.memory.trace.build import DTYPES, Traced

CHUNK = 128  # positions of the head's input that become logits together
PIECE = 128  # rows of unchunked logits that enter the loss together
METHODS = ("full", "lora", "qlora")
ADAPTABLE = ("query", "key", "value", "projection", "mlp", "head")
GROUPS = {"qv": ("query", "value"), "all-linear": ADAPTABLE}  # litgpt's "all" includes the head; peft's does not


def build(config: Any, recipe: Recipe) -> Traced:
    """The model of a transformers config, on the meta device, as litgpt would build it.

    Raises CourseError for what litgpt of that time did not have.
    """
    shape = Architecture.from_config(config)
    if recipe.method not in METHODS or recipe.checkpointing or recipe.attention != "sdpa":
        raise CourseError(
            f"The program {recipe.program} trains with method {', '.join(METHODS)}, with attention sdpa and without"
            " checkpointing."
        )
    if shape.learned_positions or shape.qk_norm or not shape.causal:
        raise CourseError(f"The program {recipe.program} has no models of type {shape.model_type}.")
    with torch.device("meta"):
        model = GPT(config, shape, recipe)
    for name, parameter in model.named_parameters():
        learns = recipe.method == "full" or name.endswith((".a", ".b"))
        parameter.requires_grad_(learns and parameter.is_floating_point())
    return Traced(model, list(model.blocks), model.head, True, loss_of(model))


def adapted(recipe: Recipe) -> frozenset[str]:
    """Which of ADAPTABLE get adapters. Raises CourseError for a name that is none of them."""
    if recipe.method == "full":
        return frozenset()
    names = GROUPS.get(recipe.targets, ()) if isinstance(recipe.targets, str) else recipe.targets
    unknown = [name for name in names if name not in ADAPTABLE]
    if unknown:
        raise CourseError(f"{recipe.program} has no layer {unknown[0]!r} to adapt; choose from {', '.join(ADAPTABLE)}.")
    return frozenset(names)


# -- layers ------------------------------------------------------------------------------------------------------------


class Unpacked(torch.autograd.Function):
    """x @ W.T + b with a four-bit W, which is unpacked for the forward product and again for the backward one."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: FourBit) -> Tensor:
        ctx.layer, ctx.input = layer, x  # not save_for_backward: kept as long as the node
        return F.linear(x, layer.unpack().to(x.dtype), layer.bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return grad @ ctx.layer.unpack().to(grad.dtype), None


class FourBit(nn.Module):
    """bitsandbytes' layer of before 0.44: codes, a scale for 64 values, with double quantization scales of scales."""

    def __init__(self, inputs: int, outputs: int, bias: bool, recipe: Recipe) -> None:
        super().__init__()
        values, self.shape = inputs * outputs, (outputs, inputs)
        scales = -(-values // 64)
        codes = torch.empty((values + 1) // 2, dtype=torch.uint8)
        self.weight = nn.Parameter(codes, requires_grad=False)
        self.bias = nn.Parameter(torch.empty(outputs, dtype=DTYPES[recipe.held])) if bias else None
        self.double = recipe.double_quantization
        self.register_buffer("scales", torch.empty(scales, dtype=torch.uint8 if self.double else torch.float32))
        self.register_buffer("outer", torch.empty(-(-scales // 256)) if self.double else None)

    def unpack(self) -> Tensor:
        if self.double:
            _scales = torch.empty(self.scales.shape, dtype=torch.float32)
        return torch.empty(self.shape, dtype=torch.float16)

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)"""
        return Unpacked.apply(x, self)


def linear(inputs: int, outputs: int, bias: bool, recipe: Recipe) -> nn.Module:
    """A linear layer as the recipe holds it; in litgpt quantizing means every one, the head included."""
    if recipe.method == "qlora":
        return FourBit(inputs, outputs, bias, recipe)
    return nn.Linear(inputs, outputs, bias, dtype=DTYPES[recipe.held])


class Adapted(nn.Module):
    """A linear layer, with y + scale · dropout(x)·A·B where it is adapted; A and B are held like the model."""

    def __init__(self, inputs: int, outputs: int, bias: bool, recipe: Recipe, *, rank: int) -> None:
        super().__init__()
        self.linear = linear(inputs, outputs, bias, recipe)
        self.rank, self.dropout = rank, recipe.lora_dropout
        if rank:
            self.a = nn.Parameter(torch.empty(rank, inputs, dtype=DTYPES[recipe.held]))
            self.b = nn.Parameter(torch.empty(outputs, rank, dtype=DTYPES[recipe.held]))

    def dropped(self, x: Tensor) -> Tensor:
        """What a GPU's dropout keeps is a mask of one byte per number, so its own operation is asked for."""
        return torch.native_dropout(x, self.dropout, True)[0] if self.dropout else x

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, inputs) -> (batch, length, outputs)"""
        y = self.linear(x)
        if not self.rank:
            return y
        added = (self.dropped(x) @ self.a.T @ self.b.T) * 2.0
        return y + added


class QueriesKeysValues(Adapted):
    """One matrix for all three, with adapters on some of them. ``sizes``: (outputs, adapted) of each of the three."""

    def __init__(
        self, inputs: int, sizes: list[tuple[int, bool]], bias: bool, recipe: Recipe, *, grouped: bool
    ) -> None:
        outputs, parts = sum(size for size, _ in sizes), [size for size, on in sizes if on]
        super().__init__(inputs, outputs, bias, recipe, rank=0)
        self.parts, self.outputs, self.grouped, self.rank = parts, outputs, grouped, recipe.rank if parts else 0
        self.out_of_place = recipe.program == "litgpt-2023"
        if parts:
            self.a = nn.Parameter(torch.empty(len(parts) * recipe.rank, inputs, dtype=DTYPES[recipe.held]))
            self.b = nn.Parameter(torch.empty(sum(parts), recipe.rank, dtype=DTYPES[recipe.held]))
            if len(parts) < 3:
                self.register_buffer("places", torch.empty(sum(parts), dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, inputs) -> (batch, length, outputs)"""
        y = self.linear(x)
        if not self.rank:
            return y
        low = F.linear(self.dropped(x), self.a)
        high = self.raised(low.transpose(-2, -1)).transpose(-2, -1)
        added = self.spread(high) * 2.0
        return y + added

    def raised(self, low: Tensor) -> Tensor:
        """From ranks to outputs, each part with its own B: (batch, parts · rank, length) -> (batch, outputs, length)."""
        weight = self.b.unsqueeze(-1)
        if not self.grouped:
            return F.conv1d(low, weight, groups=len(self.parts))
        pairs = zip(low.chunk(len(self.parts), dim=1), weight.split(self.parts), strict=True)
        return torch.cat([F.conv1d(part, b) for part, b in pairs], dim=1)

    def spread(self, high: Tensor) -> Tensor:
        """Zeros where nothing is adapted."""
        if len(self.parts) == 3:
            return high
        if not self.out_of_place:
            return high.new_zeros(*high.shape[:-1], self.outputs).index_copy_(-1, self.places, high)
        high = high.transpose(0, 1)
        zeros = high.new_zeros(*high.shape[:-1], self.outputs).view(-1, self.outputs)
        filled = zeros.index_copy(1, self.places, high.reshape(-1, high.shape[-1]))
        return filled.view(*high.shape[:-1], self.outputs).transpose(0, 1)


class RootMeanSquareNorm(nn.Module):
    """RMSNorm on a float32 copy of its input."""

    def __init__(self, width: int, recipe: Recipe, *, offset: bool) -> None:
        super().__init__()
        self.weight, self.offset = nn.Parameter(torch.empty(width, dtype=DTYPES[recipe.held])), offset

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> the same shape"""
        dtype, x = x.dtype, x.float()
        x = x * torch.rsqrt(torch.mean(x * x, dim=-1, keepdim=True) + 1e-5)
        return x.to(dtype) * (1 + self.weight if self.offset else self.weight)


# -- the model ---------------------------------------------------------------------------------------------------------


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions on (batch, heads, length, width); the tables are float32, so the steps between are as well."""
    half = x.shape[-1] // 2
    turned = torch.cat((-x[..., half:], x[..., :half]), dim=-1)
    mixed = x * cos + turned * sin
    return mixed.to(x.dtype)


class Attention(nn.Module):
    """Causal attention of a group of queries per key, with one matrix for the three."""

    def __init__(self, config: Any, shape: Architecture, recipe: Recipe, *, window: bool) -> None:
        super().__init__()
        on, width = adapted(recipe), shape.head_dim
        self.groups, self.queries, self.width = shape.kv_heads, shape.heads // shape.kv_heads, width
        names = (("query", shape.heads), ("key", shape.kv_heads), ("value", shape.kv_heads))
        sizes = [(heads * width, name in on) for name, heads in names]
        bias = shape.attention_linears[-1].bias
        self.qkv = QueriesKeysValues(shape.hidden, sizes, shape.attention_bias, recipe, grouped=self.queries > 1)
        rank = recipe.rank if "projection" in on else 0
        self.projection = Adapted(shape.heads * width, shape.hidden, bias, recipe, rank=rank)
        self.softcap, self.window = shape.softcap, window
        self.turning = int(width * _share_of_positions(config))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """(batch, length, hidden) -> the same shape"""
        batch, length, _ = x.shape
        qkv = self.qkv(x).view(batch, length, self.groups, self.queries + 2, self.width).permute(0, 2, 3, 1, 4)
        q, k, v = qkv.split((self.queries, 1, 1), dim=2)
        if self.queries > 1:  # a copy of key and value for every query of the group
            k, v = (x.expand(-1, -1, self.queries, -1, -1) for x in (k, v))
        q, k, v = (x.reshape(batch, -1, length, self.width) for x in (q, k, v))
        turned_q, turned_k = (rotated(x[..., : self.turning], cos, sin) for x in (q, k))
        q = torch.cat((turned_q, q[..., self.turning :]), dim=-1)
        k = torch.cat((turned_k, k[..., self.turning :]), dim=-1)
        y = self.attend(q, k, v).transpose(1, 2).reshape(batch, length, -1)
        return self.projection(y)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Fused, except where the scores are squashed: that needs them in memory."""
        if not self.softcap:
            return F.scaled_dot_product_attention(q, k, v, is_causal=True)
        mask = q.new_empty(q.shape[-2], q.shape[-2])
        if self.window:
            mask += torch.empty_like(mask)
        scores = q @ k.mT * 1.0
        scores = torch.tanh(scores / 50.0) * 50.0
        scores = scores + mask
        scores = F.softmax(scores, dim=-1, dtype=torch.float32).to(q.dtype)
        return scores @ v


class MLP(nn.Module):
    """With a gate: down(act(gate(x)) · up(x)); without: down(act(up(x)))."""

    def __init__(self, shape: Architecture, recipe: Recipe) -> None:
        super().__init__()
        rank = recipe.rank if "mlp" in adapted(recipe) else 0
        inner, bias = shape.intermediate, shape.mlp_bias
        self.gate = Adapted(shape.hidden, inner, bias, recipe, rank=rank) if shape.gated else None
        self.up = Adapted(shape.hidden, inner, bias, recipe, rank=rank)
        self.down = Adapted(inner, shape.hidden, bias, recipe, rank=rank)
        self.act = F.silu if shape.activation == "silu" else F.gelu

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, hidden) -> the same shape"""
        if self.gate is None:
            x = self.up(x)
            x = self.act(x)
            return self.down(x)
        gate, up = self.gate(x), self.up(x)
        x = self.act(gate) * up
        return self.down(x)


class Block(nn.Module):
    """Attention and MLP, one after the other or side by side, with one, two or four norms."""

    def __init__(self, config: Any, shape: Architecture, recipe: Recipe, number: int) -> None:
        super().__init__()
        kinds = getattr(config, "layer_types", None)
        norms = [norm(shape, recipe) for _ in range(shape.norms_per_layer)]
        self.before, self.between = norms[0], norms[-1 if len(norms) < 4 else 2] if len(norms) > 1 else None
        self.after = nn.ModuleList(norms[1::2]) if len(norms) == 4 else None
        self.attention = Attention(config, shape, recipe, window=bool(kinds) and kinds[number] == "sliding_attention")
        self.mlp, self.parallel = MLP(shape, recipe), shape.parallel

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """(batch, length, hidden) -> the same shape"""
        normed = self.before(x)
        seen = self.attention(normed, cos, sin)
        if self.parallel:
            normed = self.between(x) if self.between else normed
            return self.mlp(normed) + seen + x
        if self.after:
            seen = self.after[0](seen)
        x = seen + x
        done = self.mlp(self.between(x))
        return (self.after[1](done) if self.after else done) + x


class GPT(nn.Module):
    """Embedding, blocks, norm, head. The vocabulary is the config's, which published checkpoints have padded already."""

    def __init__(self, config: Any, shape: Architecture, recipe: Recipe) -> None:
        super().__init__()
        on = adapted(recipe)
        rank = recipe.rank if "head" in on else 0
        self.head = Adapted(shape.hidden, shape.vocab, shape.model_type == "phi", recipe, rank=rank)
        self.words = nn.Embedding(shape.vocab, shape.hidden, dtype=DTYPES[recipe.held])
        self.blocks = nn.ModuleList(Block(config, shape, recipe, i) for i in range(shape.layers))
        self.norm = norm(shape, recipe)
        self.scale = shape.hidden**0.5 if shape.model_type.startswith("gemma") else None
        self.chunk = CHUNK if recipe.adapts else 0
        turning = int(shape.head_dim * _share_of_positions(config))
        for name in ("cos", "sin"):
            self.register_buffer(name, torch.empty(recipe.seq_len, turning, dtype=torch.float32))

    def forward(self, ids: Tensor) -> list[Tensor] | Tensor:
        """Token ids (batch, length) -> logits: whole, or one tensor for every CHUNK positions."""
        x = self.words(ids)
        x = x * self.scale if self.scale else x
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        x = self.norm(x)
        return [self.head(part) for part in x.split(self.chunk, dim=1)] if self.chunk else self.head(x)


def norm(shape: Architecture, recipe: Recipe) -> nn.Module:
    if shape.norm == "layer":
        return nn.LayerNorm(shape.hidden, dtype=DTYPES[recipe.held])
    return RootMeanSquareNorm(shape.hidden, recipe, offset=shape.model_type.startswith("gemma"))


def loss_of(model: GPT) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss as the training loop takes it, next token against logits in float32."""

    def loss(ids: Tensor, labels: Tensor) -> Tensor:
        logits, labels = model(ids), labels[:, 1:]
        if isinstance(logits, list):
            logits = [part.float() for part in logits]  # all of one kind and all of the other are there for a moment
            logits[-1] = logits[-1][:, :-1]
            rows = [part.reshape(-1, part.shape[-1]) for part in logits]
            aims = [part.reshape(-1) for part in labels.split(CHUNK, dim=1)]
        else:
            logits = logits.float()
            flat = logits[:, :-1].reshape(-1, logits.shape[-1])
            rows, aims = list(flat.split(PIECE)), list(labels.reshape(-1).split(PIECE))
        total = torch.cat([F.cross_entropy(*pair, reduction="none") for pair in zip(rows, aims, strict=True)]).sum()
        total = total / labels.numel()
        total.logits = logits  # type: ignore[attr-defined]  # the loop has a name for them while it goes backward
        return total

    return loss


def _share_of_positions(config: Any) -> float:
    """How much of a head is rotated, from whichever place the config has it in."""
    rope = getattr(config, "rope_parameters", None) or {}
    for share in (rope.get("partial_rotary_factor"), getattr(config, "partial_rotary_factor", None)):
        if share:
            return float(share)
    return float(getattr(config, "rotary_pct", None) or 1.0)
