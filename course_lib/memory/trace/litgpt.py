"""litgpt's training program, retold: most published memory measurements of fine-tuning were taken with it.

QLoRA of Llama-2-7b on 1304 tokens takes 11.2 GB with transformers and peft as they are now, 14.1 GB with litgpt of
2023 and 16.0 GB with litgpt of 2024 (by this trace; 14.14 were measured), though all compute the same: what a layer
*keeps* for its backward pass is decided by how it is written down. What litgpt does differently, in bytes per token of
a model h wide, at 2 bytes to a number:

* queries, keys and values come from one matrix, and the values are a view of its output: while attention keeps the
  values, it keeps all of it (6h). Keys and values that a group of queries shares are copied for each of them first.
* adapters keep their source once more (4h for queries and values), and so do four-bit layers: see `litgpt_layers`.
* RMSNorm keeps a float32 copy of its input (4h).
* queries are laid out head by head, and the fused kernel lays its output out likewise: joining the heads is a copy.
* the head runs over 128 positions at a time, but the logits of all of them stay, widened to float32 by Fabric, while
  the loss keeps as much again: 8 bytes per token and word where 2 would do.
* the loop has names for a step's logits and loss until it has the next ones. What hangs on them is there a second time
  when two long batches follow each other: of four-bit layers all inputs.

Two states of the program are known here: "litgpt-2023" (commit 8641822, October 2023), which began with its longest
sample, and "litgpt-2024" (0.2 to 0.4). The older one also with LLaMA-Adapter, where 10 learned vectors are attended to
in all but the first blocks. Sources: model.py, lora.py, adapter.py, finetune/lora.py and full.py of litgpt, plugins/
precision of Lightning Fabric 2.1 and 2.2. Left out: mixtures of experts, several devices, generating.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.memory.architecture import Architecture
from course_lib.memory.recipe import Recipe
from course_lib.memory.trace.build import DTYPES, Traced
from course_lib.memory.trace.litgpt_layers import LEARNED, QueriesKeysValues, RootMeanSquareNorm, layer, parameter
from course_lib.memory.trace.litgpt_names import PREFIXED, SCALED, adapted, check

CHUNK = 128  # positions that become logits together when adapters learn; rows that enter the loss together otherwise
NORMS = (nn.LayerNorm, RootMeanSquareNorm)
PREFIX, FIRST_PREFIXED = 10, 2  # LLaMA-Adapter's learned vectors, and the first block that has them


def build(config: Any, recipe: Recipe) -> Traced:
    """The model of a transformers config, on the meta device, as litgpt would build it.

    Raises CourseError for what litgpt of that time did not have.
    """
    shape = Architecture.from_config(config)
    check(shape, recipe)
    with torch.device("meta"):
        model = GPT(config, shape, recipe)
    for module in model.modules():
        everything = recipe.method == "full" or (recipe.program == SCALED and isinstance(module, NORMS))
        for name, p in module.named_parameters(recurse=False):
            p.requires_grad_((everything or name in LEARNED) and p.is_floating_point())
    lingers = recipe.program == "litgpt-2024"
    return Traced(model, list(model.blocks), model.head, True, loss_of(model, lingers=lingers), lingers)


def norm(shape: Architecture, recipe: Recipe) -> nn.Module:
    """The norm of the model's family, in the precision in which its weights are held."""
    if shape.norm == "layer":
        return nn.LayerNorm(shape.hidden, dtype=DTYPES[recipe.held])
    return RootMeanSquareNorm(shape.hidden, recipe, offset=_is_gemma(shape))


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions on (batch, heads, length, width); the tables are float32, so the steps between are as well."""
    half = x.shape[-1] // 2
    turned = torch.cat((-x[..., half:], x[..., :half]), dim=-1)
    mixed = x * cos + turned * sin
    return mixed.to(x.dtype)


class Attention(nn.Module):
    """Causal attention with one matrix for queries, keys and values; with LLaMA-Adapter also to a learned prefix."""

    def __init__(self, config: Any, shape: Architecture, recipe: Recipe, number: int) -> None:
        super().__init__()
        self.groups, self.queries, self.width = shape.kv_heads, shape.heads // shape.kv_heads, shape.head_dim
        heads = {"query": shape.heads, "key": shape.kv_heads, "value": shape.kv_heads}
        sizes = [(count * self.width, name in adapted(recipe)) for name, count in heads.items()]
        if any(on for _, on in sizes):
            self.qkv: nn.Module = QueriesKeysValues(shape.hidden, sizes, shape.attention_bias, recipe)
        else:
            self.qkv = layer("key", shape.hidden, sum(size for size, _ in sizes), shape.attention_bias, recipe)
        out = shape.attention_linears[-1]
        self.projection = layer("projection", out.inputs, out.outputs, out.bias, recipe)
        self.softcap, self.window = shape.softcap, _has_window(config, number)
        self.prefixed = recipe.program in PREFIXED and number >= FIRST_PREFIXED
        if self.prefixed:
            self.prefix = parameter(recipe, 1, PREFIX, shape.hidden)
            self.gate = parameter(recipe, 1, 1, shape.heads, 1)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """(batch, length, hidden) -> the same shape; the tables are (length, what is rotated of a head)"""
        q, k, v = self.parts(x)
        turning = cos.shape[-1]
        turned_q, turned_k = (rotated(x[..., :turning], cos, sin) for x in (q, k))
        q = torch.cat((turned_q, q[..., turning:]), dim=-1)
        k = torch.cat((turned_k, k[..., turning:]), dim=-1)
        y = self.attend(q, k, v).transpose(1, 2)
        if self.prefixed:
            _, k, v = self.parts(self.prefix)
            everywhere = torch.ones(x.shape[1], PREFIX, dtype=torch.bool)
            y = y + self.gate * F.scaled_dot_product_attention(q, k, v, attn_mask=everywhere).transpose(1, 2)
        return self.projection(y.reshape(*x.shape[:2], -1))

    def parts(self, x: Tensor) -> tuple[Tensor, ...]:
        """(batch, length, hidden) -> queries, keys and values, each (batch, heads, length, width)."""
        batch, length, _ = x.shape
        qkv = self.qkv(x).view(batch, length, self.groups, self.queries + 2, self.width).permute(0, 2, 3, 1, 4)
        q, k, v = qkv.split((self.queries, 1, 1), dim=2)
        if self.queries > 1:  # a copy of key and value for every query of the group
            k, v = (x.expand(-1, -1, self.queries, -1, -1) for x in (k, v))
        return tuple(x.reshape(batch, -1, length, self.width) for x in (q, k, v))

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Fused, except where scores are squashed (Gemma 2), which needs them in memory."""
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
    """down(act(gate(x)) · up(x)), or without a gate down(act(up(x)))."""

    def __init__(self, shape: Architecture, recipe: Recipe) -> None:
        super().__init__()
        inward = ("mlp", shape.hidden, shape.intermediate, shape.mlp_bias, recipe)
        self.gate = layer(*inward) if shape.gated else None
        self.up = layer(*inward)
        self.down = layer("mlp", shape.intermediate, shape.hidden, shape.mlp_bias, recipe)
        self.act = F.silu if shape.activation == "silu" else F.gelu

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, hidden) -> the same shape"""
        if self.gate is None:
            x = self.act(self.up(x))
        else:
            gate, up = self.gate(x), self.up(x)
            x = self.act(gate) * up
        return self.down(x)


class Block(nn.Module):
    """Attention and MLP, one after the other or side by side, with one, two or four norms."""

    def __init__(self, config: Any, shape: Architecture, recipe: Recipe, number: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(norm(shape, recipe) for _ in range(shape.norms_per_layer))
        self.attention = Attention(config, shape, recipe, number)
        self.mlp, self.parallel = MLP(shape, recipe), shape.parallel

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """(batch, length, hidden) -> the same shape"""
        normed = self.norms[0](x)
        seen = self.attention(normed, cos, sin)
        if self.parallel:
            normed = self.norms[1](x) if len(self.norms) > 1 else normed
            return self.mlp(normed) + seen + x
        if len(self.norms) == 4:  # Gemma 2: what attention and MLP give is normed as well
            x = self.norms[1](seen) + x
            return self.norms[3](self.mlp(self.norms[2](x))) + x
        x = seen + x
        return self.mlp(self.norms[1](x)) + x


class GPT(nn.Module):
    """Embedding, blocks, norm, head. Head and embedding are two matrices, also where the config says that they are one.

    The vocabulary is the config's: published checkpoints have padded it to what litgpt would.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, config: Any, shape: Architecture, recipe: Recipe) -> None:
        super().__init__()
        self.head = layer("head", shape.hidden, shape.vocab, shape.model_type == "phi", recipe)
        self.words = nn.Embedding(shape.vocab, shape.hidden, dtype=DTYPES[recipe.held])
        self.blocks = nn.ModuleList(Block(config, shape, recipe, i) for i in range(shape.layers))
        self.norm = norm(shape, recipe)
        self.scale = shape.hidden**0.5 if _is_gemma(shape) else None
        self.chunk = CHUNK if recipe.adapts else 0
        turning = int(shape.head_dim * _rotated_share(config))
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


def loss_of(model: GPT, *, lingers: bool) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss as the training loop takes it: logits in float32 against the next token, CHUNK by CHUNK.

    The loop has a name for the logits while it goes backward; if that ``lingers``, until it has the next ones.
    """
    loop: dict[str, Any] = {}

    def loss(ids: Tensor, labels: Tensor) -> Tensor:
        logits, labels = model(ids), labels[:, 1:]
        if isinstance(logits, list):
            logits = [part.float() for part in logits]  # for a moment all of both kinds are there
            loop.clear()
            logits[-1] = logits[-1][:, :-1]
            rows = [part.reshape(-1, part.shape[-1]) for part in logits]
            aims = [part.reshape(-1) for part in labels.split(CHUNK, dim=1)]
        else:
            logits = logits.float()
            loop.clear()
            flat = logits[:, :-1].reshape(-1, logits.shape[-1])
            rows, aims = list(flat.split(CHUNK)), list(labels.reshape(-1).split(CHUNK))
        each = [F.cross_entropy(row, aim, reduction="none") for row, aim in zip(rows, aims, strict=True)]
        mean = torch.cat(each).sum() / labels.numel()
        (loop if lingers else vars(mean))["logits"] = logits
        return mean

    return loss


def _is_gemma(shape: Architecture) -> bool:
    return shape.model_type.startswith("gemma")


def _has_window(config: Any, number: int) -> bool:
    """Only Gemma 2's windows were known to litgpt; other models were run without."""
    kinds = getattr(config, "layer_types", None) or ()
    return tuple(kinds[number : number + 1]) == ("sliding_attention",)


def _rotated_share(config: Any) -> float:
    """How much of a head is rotated, from whichever place the config has it in."""
    rope = getattr(config, "rope_parameters", None) or {}
    names = ("partial_rotary_factor", "rotary_pct")
    return next((float(s) for s in (rope.get(names[0]), *(getattr(config, n, None) for n in names)) if s), 1.0)
