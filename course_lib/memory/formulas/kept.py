"""What one block keeps for its backward pass: `arithmetic.Layer`, asked the right question for a model and a recipe.

`arithmetic.Layer` counts tensor by tensor, and adapters have a formula of their own. What is left for here are the
habits of single families (one matrix for queries, keys and values; a GELU spelled out in seven steps), what a 16-bit
model under autocast does differently from a 32-bit one, and attention that is not fused.

All answers are bytes of one micro-batch. Left out: the few bytes of buffers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from course_lib.memory.architecture import Architecture, Linear
from course_lib.memory.arithmetic import Layer, copies_inputs, lora_activations
from course_lib.memory.formulas.kernels import (
    EAGER,
    FUSED,
    NARROW_SOFTMAX,
    PLAIN,
    Capability,
    flash,
    kernel,
    masked,
    repeats_keys,
)
from course_lib.memory.formulas.widths import Widths
from course_lib.memory.recipe import Recipe

EXPANDING = ("gelu_new", "gelu_fast", "gelu_python")  # activations that transformers spells out step by step
FLOAT32_PRODUCT = ("gemma", "gemma2", "gemma3_text", "olmo2")  # norms that multiply by their weight in fp32
ONE_DROPOUT = ("distilbert",)  # drops hidden values once per block instead of twice
PARTLY_ROTATED = ("gpt_neox", "phi", "phi3", "stablelm")  # put rotated and other numbers of a head together again
NO_VIEW_OF_VALUES = ("gpt2", "falcon")  # one matrix, but values become a tensor of their own
MLP = ("mlp inputs", "activation inputs", "activation outputs", "up", "down inputs")


@dataclass(frozen=True)
class Kept:
    """A block of a model in a recipe, on a GPU of a compute ``capability`` (None: a processor)."""

    model: Architecture
    recipe: Recipe
    capability: Capability = (8, 0)

    # -- sizes ---------------------------------------------------------------------------------------------------------

    @cached_property
    def length(self) -> int:
        """Tokens of a sequence, those of a learned prompt included."""
        return self.recipe.seq_len + (self.recipe.prompt_tokens if self.recipe.method == "prompt" else 0)

    @cached_property
    def tokens(self) -> int:
        """Tokens of a micro-batch."""
        return self.recipe.micro_batch * self.length

    @cached_property
    def widths(self) -> Widths:
        """Bytes of a number, by where it lives."""
        return Widths.of(self.model, self.recipe)

    @cached_property
    def kernel(self) -> str:
        """How attention is computed."""
        return kernel(self.model, self.recipe, self.capability)

    @cached_property
    def stream(self) -> int:
        """Numbers in the residual stream."""
        return self.tokens * self.model.hidden

    @cached_property
    def entering(self) -> int:
        """Bytes of the block's input: what a checkpoint keeps."""
        return self.stream * self.widths.stream

    @cached_property
    def inner(self) -> int:
        """Bytes of one tensor inside the MLP."""
        return self.tokens * self.model.intermediate * self.widths.inner

    @cached_property
    def queries(self) -> int:
        """Numbers in the queries."""
        return self.tokens * self.model.heads * self.model.head_dim

    @cached_property
    def scores(self) -> int:
        """Attention scores that exist in memory."""
        return 0 if self.kernel == FUSED else self.tokens * self.length * self.model.heads

    @cached_property
    def matrices(self) -> int:
        """Parameters of the block's linear layers."""
        return sum(linear.parameters for linear in self.model.linears)

    # -- adapters ------------------------------------------------------------------------------------------------------

    def adapted(self, linear: Linear) -> bool:
        """Whether an adapter stands beside a linear layer."""
        recipe, model = self.recipe, self.model
        if recipe.method not in ("lora", "qlora"):
            return False
        if recipe.targets == "all-linear":
            return True
        return linear.name in (model.query_value if recipe.targets == "qv" else recipe.targets)

    @cached_property
    def copies(self) -> bool:
        """Whether an adapter keeps a copy of its input instead of sharing its layer's."""
        return copies_inputs(
            bytes_per_value=self.widths.compute,
            adapter_bytes=self.widths.adapter,
            autocast=self.recipe.autocasts,
            dropout=self.recipe.lora_dropout,
        )

    def copied(self, linear: Linear) -> int:
        """Bytes of the copy that an adapter of this layer keeps."""
        return self.tokens * linear.inputs * self.widths.added if self.copies and self.adapted(linear) else 0

    @cached_property
    def adapters(self) -> dict[str, int]:
        """What the adapters keep, their own 16-bit copies under autocast included."""
        recipe, widths = self.recipe, self.widths
        shapes = [(linear.inputs, linear.outputs) for linear in self.model.linears if self.adapted(linear)]
        kept = lora_activations(
            self.tokens,
            recipe.rank,
            shapes,
            bytes_per_value=widths.compute,
            adapter_bytes=widths.adapter,
            autocast=recipe.autocasts,
            dropout=recipe.lora_dropout,
        )
        if recipe.autocasts and shapes:
            kept["16-bit adapters"] = widths.compute * recipe.rank * sum(i + o for i, o in shapes)
        return kept

    @cached_property
    def _shared(self) -> tuple[str, ...]:
        """Layers whose input an adapter shares, by `arithmetic`'s names."""
        model = self.model
        attention = ("q", "k", "v", "o") if len(model.attention_linears) == 4 else ("q", "o")
        mlp = ("gate", "up", "down") if len(model.mlp_linears) == 3 else ("up", "down")
        named = zip(attention + mlp, model.linears, strict=True)
        return tuple(name for name, linear in named if self.adapted(linear))

    # -- the layer -----------------------------------------------------------------------------------------------------

    @cached_property
    def layer(self) -> Layer:
        """The layer as `arithmetic` counts it."""
        model, recipe, widths = self.model, self.recipe, self.widths
        product = "gemma" if model.model_type in FLOAT32_PRODUCT else "rms"
        return Layer(
            hidden=model.hidden,
            heads=model.heads,
            kv_heads=model.kv_heads,
            head_dim=model.head_dim,
            intermediate=model.intermediate,
            gated=model.gated,
            norm="layer" if model.norm == "layer" else product,
            norms=max(1, model.norms_per_layer),
            parallel=model.parallel,
            activation=self.activation,
            fused_qkv=len(model.attention_linears) == 2 and model.model_type not in NO_VIEW_OF_VALUES,
            qk_norm=model.qk_norm > 0,
            softmax_upcast=model.model_type not in NARROW_SOFTMAX,
            attention="eager" if self.kernel == EAGER else "sdpa",
            expanded_kv=True if repeats_keys(model) or masked(model, recipe) else None,
            dropout=model.dropout,
            attention_dropout=model.attention_dropout,
            bytes_per_value=widths.compute,
            autocast=recipe.autocasts and widths.held == 4,
            frozen=recipe.adapts,
            inputs_of=() if self.copies else self._shared,
        )

    @cached_property
    def activation(self) -> str:
        """The activation by `arithmetic`'s name."""
        name = self.model.activation
        return "gelu-python" if name in EXPANDING else {"relu": "relu", "silu": "silu"}.get(name, "gelu")

    @cached_property
    def cubed(self) -> bool:
        """Whether a GELU that is spelled out goes from 16 bits to fp32 on its way: CUDA's autocast widens powers."""
        spelled_out = self.activation == "gelu-python" and self.capability is not None
        return spelled_out and self.recipe.autocasts and self.widths.inner == 2

    @cached_property
    def stream_kept(self) -> bool:
        """Whether norms keep the residual stream itself, and not an fp32 copy of it."""
        return self.widths.stream == 4 or (self.model.norm == "layer" and not self.recipe.autocasts)

    # -- kept ----------------------------------------------------------------------------------------------------------

    @cached_property
    def kept(self) -> dict[str, int]:
        """What the block keeps, tensor by tensor, without adapters."""
        kept = self.layer.saved(self.recipe.micro_batch, self.length)
        kept |= self._widened() | self._habits()
        if self.kernel == PLAIN:
            kept |= self._plain_attention()
        if self.capability is None and "dropout masks" in kept:  # a processor keeps factors, where a GPU keeps a byte
            kept["dropout masks"] *= self.widths.compute
        return kept

    @cached_property
    def kept_bytes(self) -> int:
        """All of it, adapters included."""
        return sum(self.kept.values()) + sum(self.adapters.values())

    @cached_property
    def mlp_kept(self) -> int:
        """The part that belongs to the MLP, which runs last and is differentiated first."""
        linears = self.model.mlp_linears
        copies = "16-bit weights" in self.kept
        weights = self.widths.compute * copies * sum(linear.parameters for linear in linears)
        return sum(self.kept.get(name, 0) for name in MLP) + sum(map(self.copied, linears)) + weights

    @cached_property
    def first_kept(self) -> int:
        """What the first block keeps: before its first adapter nothing asks for a gradient."""
        if not self.recipe.adapts or self.recipe.method == "prompt":
            return self.kept_bytes
        saved = self.kept.get("norm inputs", 0) // max(1, self.model.norms_per_layer)
        if self.model.parallel and not any(map(self.adapted, self.model.mlp_linears)):
            saved += self.mlp_kept
        return self.kept_bytes - saved

    @cached_property
    def held_copies(self) -> int:
        """16-bit copies of weights that learn, which autocast keeps until it ends, even of checkpointed blocks."""
        return 0 if self.recipe.adapts else self.kept.get("16-bit weights", 0)

    @cached_property
    def _output_reads(self) -> bool:
        """Whether attention's output layer keeps its input."""
        return not self.recipe.adapts or "o" in self.layer.inputs_of

    def _habits(self) -> dict[str, int]:
        """What single families do."""
        model, widths, kept = self.model, self.widths, dict[str, int]()
        if model.model_type in ONE_DROPOUT and model.dropout:
            kept["dropout masks"] = self.stream
        if model.qk_norm and model.model_type in FLOAT32_PRODUCT:
            normed = self.tokens * (model.heads + model.kv_heads) * model.head_dim
            kept["head norms"] = normed * (4 if self.recipe.adapts else 8)
        on_flash = self.kernel == FUSED and flash(model, self.recipe, self.capability)
        if on_flash and self._output_reads and model.model_type in PARTLY_ROTATED:
            # FlashAttention's output lies as the queries do, and these were put together head by head.
            kept["joined heads"] = self.queries * widths.compute
        if model.softcap:
            kept["capped scores"] = self.scores * widths.compute
        return kept

    def _plain_attention(self) -> dict[str, int]:
        """What PyTorch's fallback keeps, in fp32; shared keys of one sequence can be looked at instead of copied."""
        model = self.model
        spread = model.model_type != "falcon" or self.recipe.micro_batch > 1
        keys = 4 * (self.queries if spread else self.tokens * model.kv_heads * model.head_dim)
        dropped = 8 * self.scores if model.attention_dropout and self.capability is None else 0
        output = self.queries * self.widths.compute * self._output_reads
        kept = {"queries": 4 * self.queries, "keys": keys, "values": keys, "scores": 4 * self.scores}
        return kept | {"dropped scores": dropped, "attention statistics": 0, "attention output": output}

    def _widened(self) -> dict[str, int]:
        """What autocast changes: 16-bit copies of fp32 weights, and fp32 where a layer norm has passed."""
        model, recipe, widths, kept = self.model, self.recipe, self.widths, dict[str, int]()
        if not recipe.autocasts:
            return kept
        if widths.held == 4:
            kept["16-bit weights"] = widths.compute * self.matrices
        elif model.norm == "layer":
            kept |= self._after_layer_norms()
        if not recipe.adapts:  # one copy of what one matrix reads
            single = {"attention inputs": model.attention_linears, "mlp inputs": model.mlp_linears}
            kept |= {name: self.stream * widths.compute for name, linears in single.items() if len(linears) == 2}
        return kept

    def _after_layer_norms(self) -> dict[str, int]:
        """Of a 16-bit model: CUDA's autocast computes layer norms in fp32, and nothing narrows what they give."""
        model, widths = self.model, self.widths
        copies = 1 if model.parallel and widths.stream == 4 else max(1, model.norms_per_layer)
        kept = {"norm inputs": 4 * copies * self.stream}
        if widths.inner == 4:  # in fp32 all the way to attention, which casts its inputs
            kept["values"] = self.tokens * model.kv_heads * model.head_dim * widths.compute
        if self.activation == "gelu-python":
            per_number = 14 if self.cubed else 4 * widths.inner
            kept["activation inputs"] = per_number * self.tokens * model.intermediate
        elif self.activation != "relu":
            kept["activation inputs"] = self.inner
        if model.gated:
            kept |= {"activation outputs": self.inner, "up": self.inner}
        return kept
