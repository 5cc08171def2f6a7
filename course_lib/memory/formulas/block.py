"""One block: what it keeps for its backward pass, and the fullest moments on the way there and back.

`arithmetic.Layer` says what is *kept*. A peak needs more: while the MLP runs, its inner tensors exist beside what was
kept before, and on the way back their gradients exist beside what has not been given back yet. Four moments are enough
for nearly every peak, and each is a short sum:

    forward    the last linear layer of the MLP has run, its adapter is being added
    quiet      the same where nothing is kept: in inference, in frozen blocks, in checkpointed ones
    backward   the gradient of the MLP's product meets those of its two factors
    scores     attention without a fused kernel: the softmax and its gradient, S x S for every head

All are bytes above what was there when the block began. Left out: what a norm or a rotation holds for a moment, which
is less than what the MLP does in every family known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from course_lib.memory.architecture import Architecture, Linear
from course_lib.memory.arithmetic import Layer, copies_inputs, lora_activations
from course_lib.memory.formulas.widths import Widths, quantized
from course_lib.memory.recipe import Recipe

FUSED, EAGER, PLAIN = "fused", "eager", "plain"
# FlashAttention takes heads up to so many numbers wide when training, by compute capability; else up to 192.
WIDEST = {(8, 0): 256, (9, 0): 256}
EXPANDING = ("gelu_new", "gelu_fast", "gelu_python")  # activations that transformers spells out step by step
FLOAT32_PRODUCT = ("gemma", "gemma2", "gemma3_text", "olmo2")  # norms that multiply by their weight in fp32
NARROW_SOFTMAX = ("gpt2", "falcon", "bert", "roberta", "xlm-roberta", "distilbert")  # eager softmax in 16 bits
ONE_DROPOUT = ("distilbert",)  # drops hidden values once per block instead of twice
PARTLY_ROTATED = ("gpt_neox", "phi", "phi3", "stablelm")  # put rotated and other numbers of a head together again


def flash(model: Architecture, recipe: Recipe, capability: tuple[int, int] | None) -> bool:
    """Whether FlashAttention can run: in 16 bits, without a mask, on a card of capability 8.0, for heads not too wide."""
    if capability is None or capability < (8, 0) or recipe.compute == "fp32":
        return False
    return model.head_dim <= WIDEST.get(capability, 192) and not _masked(model, recipe)


def kernel(model: Architecture, recipe: Recipe, capability: tuple[int, int] | None) -> str:
    """How scores are computed: by a fused kernel that keeps none, by the model's own code, or by PyTorch's fallback.

    PyTorch's fused kernels want as many key heads as query heads, except FlashAttention, which needs 16 bits, a card of
    capability 8.0 and no mask. Otherwise `scaled_dot_product_attention` multiplies plainly, in fp32, and keeps
    everything (`sdp_utils.cpp`); transformers repeats the keys itself only where there is a mask.
    """
    if recipe.attention == "eager" or model.softcap:
        return EAGER
    if capability is None:  # a processor's kernel takes shared keys, but drops no scores
        return PLAIN if model.attention_dropout and recipe.trains else FUSED
    grouped = model.kv_heads < model.heads and not _repeats_keys(model) and not _masked(model, recipe)
    asks = model.model_type != "falcon"  # Falcon does not tell PyTorch that its queries share keys
    return PLAIN if grouped and not (asks and flash(model, recipe, capability)) else FUSED


def _repeats_keys(model: Architecture) -> bool:
    """Falcon's second generation copies keys and values for every query head."""
    return model.model_type == "falcon" and model.kv_heads > 1


def _masked(model: Architecture, recipe: Recipe) -> bool:
    """Whether attention gets a mask: where a window is shorter than the sequence."""
    return 0 < model.window <= recipe.seq_len


@dataclass(frozen=True)
class Block:
    """A block of a model in a recipe, on a GPU of a compute ``capability`` (None: a processor); all answers are bytes."""

    model: Architecture
    recipe: Recipe
    capability: tuple[int, int] | None = (8, 0)

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
    def masks(self) -> int:
        """Masks of S x S numbers that all blocks share: for windows shorter than the sequence, and for eager attention."""
        model = self.model
        if model.model_type == "falcon":
            return 1
        if self.kernel == EAGER and model.causal:
            return 2 if 0 < model.window_layers < model.layers else 1
        return int(_masked(model, self.recipe))

    @cached_property
    def entering(self) -> int:
        """The block's input: what a checkpoint keeps."""
        return self.tokens * self.model.hidden * self.widths.stream

    @cached_property
    def _inner(self) -> int:
        """One tensor inside the MLP."""
        return self.tokens * self.model.intermediate * self.widths.inner

    @cached_property
    def _queries(self) -> int:
        return self.tokens * self.model.heads * self.model.head_dim

    @cached_property
    def _scores(self) -> int:
        return 0 if self.kernel == FUSED else self.tokens * self.length * self.model.heads

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
    def _flash(self) -> bool:
        """Whether FlashAttention runs, which lays its output out as the queries are."""
        return self.kernel == FUSED and flash(self.model, self.recipe, self.capability)

    @cached_property
    def _copies(self) -> bool:
        """Whether an adapter keeps a copy of its input instead of sharing its layer's."""
        recipe = self.recipe
        return copies_inputs(
            bytes_per_value=self.widths.compute,
            adapter_bytes=self.widths.adapter,
            autocast=recipe.autocasts,
            dropout=recipe.lora_dropout,
        )

    @cached_property
    def adapters(self) -> dict[str, int]:
        """What the adapters keep, their own 16-bit copies under autocast included."""
        recipe, widths = self.recipe, self.widths
        linears = [linear for linear in self.model.linears if self.adapted(linear)]
        shapes = [(linear.inputs, linear.outputs) for linear in linears]
        kept = lora_activations(
            self.tokens,
            recipe.rank,
            shapes,
            bytes_per_value=widths.compute,
            adapter_bytes=widths.adapter,
            autocast=recipe.autocasts,
            dropout=recipe.lora_dropout,
        )
        copies = widths.compute * recipe.rank * sum(i + o for i, o in shapes) if recipe.autocasts else 0
        return kept | ({"16-bit adapters": copies} if copies else {})

    def unpacked(self, linear: Linear) -> int:
        """A four-bit matrix while it is multiplied."""
        return self.widths.compute * linear.inputs * linear.outputs * quantized(self.model, self.recipe)

    def _copied(self, linear: Linear) -> int:
        return self.tokens * linear.inputs * self.widths.added if self._copies and self.adapted(linear) else 0

    # -- kept ----------------------------------------------------------------------------------------------------------

    @cached_property
    def layer(self) -> Layer:
        """The layer as `arithmetic` counts it."""
        model, recipe, widths = self.model, self.recipe, self.widths
        fused_qkv = len(model.attention_linears) == 2 and model.model_type not in ("gpt2", "falcon")
        return Layer(
            hidden=model.hidden,
            heads=model.heads,
            kv_heads=model.kv_heads,
            head_dim=model.head_dim,
            intermediate=model.intermediate,
            gated=model.gated,
            norm="layer" if model.norm == "layer" else "gemma" if model.model_type in FLOAT32_PRODUCT else "rms",
            norms=max(1, model.norms_per_layer),
            parallel=model.parallel,
            activation=self._activation,
            fused_qkv=fused_qkv,
            qk_norm=model.qk_norm > 0,
            softmax_upcast=model.model_type not in NARROW_SOFTMAX,
            attention="eager" if self.kernel == EAGER else "sdpa",
            expanded_kv=True if _repeats_keys(model) or _masked(model, recipe) else None,
            dropout=model.dropout,
            attention_dropout=model.attention_dropout,
            bytes_per_value=widths.compute,
            autocast=recipe.autocasts and widths.held == 4,
            frozen=recipe.adapts,
            inputs_of=() if self._copies else self._shared,
        )

    @cached_property
    def _activation(self) -> str:
        name = self.model.activation
        return "gelu-python" if name in EXPANDING else {"relu": "relu", "silu": "silu"}.get(name, "gelu")

    @cached_property
    def _cubed(self) -> bool:
        """Whether a GELU that is spelled out goes from 16 bits to fp32 on its way: CUDA's autocast widens powers."""
        spelled_out = self._activation == "gelu-python" and self.capability is not None
        return spelled_out and self.recipe.autocasts and self.widths.inner == 2

    @cached_property
    def _shared(self) -> tuple[str, ...]:
        """Layers whose input an adapter shares, by `arithmetic`'s names."""
        model = self.model
        attention = ("q", "k", "v", "o") if len(model.attention_linears) == 4 else ("q", "o")
        mlp = ("gate", "up", "down") if len(model.mlp_linears) == 3 else ("up", "down")
        named = zip(attention + mlp, model.linears, strict=True)
        return tuple(name for name, linear in named if self.adapted(linear))

    @cached_property
    def kept(self) -> dict[str, int]:
        """What the block keeps for its backward pass, tensor by tensor, without adapters."""
        model, recipe, widths, tokens = self.model, self.recipe, self.widths, self.tokens
        kept = self.layer.saved(recipe.micro_batch, self.length)
        if recipe.autocasts:
            kept |= self._under_autocast()
        if model.model_type in ONE_DROPOUT and model.dropout:
            kept["dropout masks"] = tokens * model.hidden
        if model.qk_norm and model.model_type in FLOAT32_PRODUCT:
            kept["head norms"] = tokens * (model.heads + model.kv_heads) * model.head_dim * (4 if recipe.adapts else 8)
        if recipe.autocasts and not recipe.adapts:  # one copy of what one matrix reads
            single = {"attention inputs": len(model.attention_linears) == 2, "mlp inputs": len(model.mlp_linears) == 2}
            kept |= {name: tokens * model.hidden * widths.compute for name, one in single.items() if one}
        reads = not recipe.adapts or "o" in self.layer.inputs_of  # whether the output layer keeps its input
        if self._flash and reads and model.model_type in PARTLY_ROTATED:
            kept["joined heads"] = self._queries * widths.compute
        if self.kernel == PLAIN:
            spread = model.model_type != "falcon" or recipe.micro_batch > 1  # of one sequence a view is enough
            keys = self._queries if spread else tokens * model.kv_heads * model.head_dim
            kept |= {"queries": 4 * self._queries, "keys": 4 * keys, "values": 4 * keys, "scores": 4 * self._scores}
            kept |= {"attention statistics": 0, "attention output": self._queries * widths.compute * reads}
            if model.attention_dropout and self.capability is None:
                kept["dropped scores"] = 8 * self._scores
        if self.capability is None and "dropout masks" in kept:  # a processor keeps factors, where a GPU keeps one byte
            kept["dropout masks"] *= widths.compute
        if model.softcap:
            kept["capped scores"] = self._scores * widths.compute
        return kept

    def _under_autocast(self) -> dict[str, int]:
        """What is wider than in 16 bits throughout: 16-bit copies of the weights, and what layer norms make fp32."""
        model, widths, tokens = self.model, self.widths, self.tokens
        wider: dict[str, int] = {}
        if widths.held == 4:
            wider["16-bit weights"] = widths.compute * sum(linear.parameters for linear in model.linears)
        if model.norm == "layer" and widths.held < 4:
            copies = 1 if model.parallel and widths.stream == 4 else max(1, model.norms_per_layer)
            wider["norm inputs"] = 4 * copies * tokens * model.hidden
            if widths.inner == 4:  # in fp32 all the way to attention, which casts its inputs
                wider["values"] = tokens * model.kv_heads * model.head_dim * widths.compute
            if self._activation == "gelu-python":
                wider["activation inputs"] = (14 if self._cubed else 4 * widths.inner) * tokens * model.intermediate
            elif self._activation != "relu":
                wider["activation inputs"] = self._inner
            if model.gated:
                wider |= {"activation outputs": self._inner, "up": self._inner}
        return wider

    @cached_property
    def kept_bytes(self) -> int:
        """All of it, adapters included."""
        return sum(self.kept.values()) + sum(self.adapters.values())

    @cached_property
    def _mlp_kept(self) -> int:
        """The part that belongs to the MLP, which runs last and is differentiated first."""
        names = ("mlp inputs", "activation inputs", "activation outputs", "up", "down inputs")
        kept = sum(self.kept.get(name, 0) for name in names) + sum(map(self._copied, self.model.mlp_linears))
        if "16-bit weights" in self.kept:
            kept += self.widths.compute * sum(linear.parameters for linear in self.model.mlp_linears)
        return kept

    @cached_property
    def first_kept(self) -> int:
        """What the first block keeps: before its first adapter nothing asks for a gradient."""
        if not self.recipe.adapts or self.recipe.method == "prompt":
            return self.kept_bytes
        saved = self.kept.get("norm inputs", 0) // max(1, self.model.norms_per_layer)
        if self.model.parallel and not any(map(self.adapted, self.model.mlp_linears)):
            saved += self._mlp_kept
        return self.kept_bytes - saved

    # -- moments -------------------------------------------------------------------------------------------------------

    def _running(self, linear: Linear, wide: int) -> int:
        """While a linear layer and its adapter run: its output, copies of its input of ``wide`` bytes, what is added."""
        widths, tokens = self.widths, self.tokens
        output = tokens * linear.outputs * (widths.inner if wide != widths.compute else widths.outer)
        narrow = 0
        if quantized(self.model, self.recipe):
            unpacked = self.unpacked(linear)
            cast = tokens * linear.outputs * widths.compute if output > tokens * linear.outputs * widths.compute else 0
            narrow = max(unpacked, cast) + (tokens * linear.inputs * widths.compute if wide > widths.compute else 0)
        if not self.adapted(linear):
            return output + narrow
        copy = tokens * linear.inputs * widths.adapter if widths.adapter > wide else 0
        if copy and not self.recipe.autocasts and not self.recipe.lora_dropout:
            copy = 0  # it is what is kept, and counted so
        added = tokens * linear.outputs * widths.added
        return max(output + narrow, output + copy + self._copied(linear) + added + max(added, output))

    def _through_mlp(self, keeps: bool, base: int) -> int:
        """The fullest moment of the MLP in a forward pass that begins it with ``base``."""
        model, widths, inner = self.model, self.widths, self._inner
        *into, back = model.mlp_linears
        top = live = base
        for linear in into:
            top = max(top, live + self._running(linear, widths.normed))
            live += self._copied(linear) * keeps + inner * (linear.outputs // model.intermediate)
            if linear is into[0] and model.gated:  # gate and its activation, of which a quiet pass drops the gate
                live += inner if keeps or len(into) == 1 else 0
        top = max(top, live + self._activating(keeps))
        if keeps:
            live = base + self._mlp_kept - self._copied(back) - self.kept.get("mlp inputs", 0)
            live += 0 if self.kept.get("down inputs") else inner
        else:  # the product alone, beside the two halves that one matrix gave
            live = base + inner * (3 if model.gated and len(into) == 1 else 1)
        return max(top, live + self._running(back, widths.inner))

    def _activating(self, keeps: bool) -> int:
        """What the activation needs besides its input: its output, and the steps of one that is spelled out.

        Under autocast the cube is computed in fp32, and so is what follows it.
        """
        if self._activation != "gelu-python":
            return self._inner
        if self._cubed:
            return self.tokens * self.model.intermediate * (18 if keeps else 11)
        return 3 * self._inner

    def _through_attention(self, keeps: bool, base: int) -> int:
        """The same for attention."""
        widths, queries = self.widths, self._queries
        *into, back = self.model.attention_linears
        outputs = self.tokens * widths.inner * sum(linear.outputs for linear in into)
        rotating = outputs + 3 * queries * widths.inner
        top = max(rotating, max(self._running(linear, widths.normed) for linear in into))
        if self.kernel == EAGER:
            upcast = self.layer.softmax_upcast or self.recipe.autocasts
            narrow = widths.compute * (3 if self.model.model_type == "falcon" else 2) + bool(self.model.attention_dropout)
            per_score = 8 + (widths.compute if widths.compute < 4 else 0) if upcast else narrow
            top = max(top, outputs + 2 * queries * widths.compute + per_score * self._scores)
        elif self.kernel == PLAIN:
            dropped = 8 * bool(self.model.attention_dropout)
            top = max(top, outputs + 12 * queries + (8 + dropped) * self._scores + 4 * self.length**2)
        return base + max(top, outputs + queries * widths.compute + self._running(back, widths.compute))

    @cached_property
    def quiet(self) -> int:
        """The fullest moment of a forward pass that keeps nothing."""
        normed = self.tokens * self.model.hidden * self.widths.normed
        if self.model.parallel:
            beside = self.tokens * self.model.hidden * self.widths.outer  # attention's result
        else:
            beside = self.entering if self.model.causal else 0  # an encoder's norm gives the stream itself
        copies = self.held_copies
        return copies + max(self._through_attention(False, normed), self._through_mlp(False, normed + beside))

    @cached_property
    def held_copies(self) -> int:
        """16-bit copies of weights that learn, which autocast keeps until it ends, even of checkpointed blocks."""
        return 0 if self.recipe.adapts else self.kept.get("16-bit weights", 0)

    @cached_property
    def forward(self) -> int:
        """The fullest moment of a forward pass that keeps what the backward pass needs."""
        before = self.kept_bytes - self._mlp_kept
        normed = self.tokens * self.model.hidden * self.widths.normed
        stream = 0 if self.stream_kept or not self.model.causal else self.entering
        attention = self._through_attention(False, normed)
        return max(attention, self._through_mlp(True, before + stream + normed), self.kept_bytes + 2 * self.entering)

    @cached_property
    def stream_kept(self) -> bool:
        """Whether norms keep the residual stream itself, and not an fp32 copy of it."""
        return self.widths.stream == 4 or self.model.norm == "layer" and not self.recipe.autocasts

    @cached_property
    def backward(self) -> int:
        """The fullest moment of the backward pass, above all that the forward pass kept."""
        return max(self._back_through_mlp(), self._back_through_attention())

    def _back_through_mlp(self) -> int:
        model, widths, inner = self.model, self.widths, self._inner
        back = model.mlp_linears[-1]
        kept = self.kept.get("down inputs", 0) + self._copied(back)
        weight = back.inputs * back.outputs
        unpacked = self.unpacked(back)
        learned = 0 if self.recipe.adapts else widths.compute * weight
        arriving = inner + unpacked + learned
        if self.adapted(back):  # two gradients meet: the adapter's comes in its own width
            narrow = self.tokens * model.intermediate * widths.compute
            wide = self.tokens * model.intermediate * widths.adapter
            third = 0 if self._copies else inner  # of a view they are added up into a new tensor, of a cast in place
            arriving = max(wide, inner + max(unpacked, third, narrow if inner > narrow else 0) + inner - kept)
        spelled_out = 6 if self._cubed else 2
        factors = {"gelu-python": spelled_out, "relu": 0}.get(self._activation, 1)
        into = model.mlp_linears[0]
        widened = 0
        if self.adapted(into) and widths.added > widths.inner:  # the gradient in fp32, and that times the scale
            given_back = self._mlp_kept - self._copied(into)
            widened = self.tokens * into.outputs * (widths.inner + 2 * widths.added) - given_back
        return max(arriving, inner * (1 + max(factors, 2 * model.gated)) - kept + learned, widened)

    def _back_through_attention(self) -> int:
        widths, queries = self.widths, self._queries
        gone = self._mlp_kept
        grown = 0 if self.recipe.adapts else widths.held * sum(linear.parameters for linear in self.model.mlp_linears)
        base = grown - gone + self.entering
        if self.kernel == EAGER:
            upcast = self.layer.softmax_upcast or self.recipe.autocasts
            narrow = widths.compute * (1 if self.model.attention_dropout else 2)
            per_score = 8 - (widths.compute if widths.compute < 4 else 0) if upcast else narrow
            return base + per_score * self._scores + queries * widths.compute
        if self.kernel == PLAIN:
            return base + 8 * self._scores
        accumulator = 4 if widths.compute < 4 else 0
        return base + queries * (4 * widths.compute + accumulator)

    @cached_property
    def recomputed(self) -> int:
        """The fullest moment of a checkpointed block's backward pass: forward again, then backward."""
        checkpoint = self.entering if self.stream_kept else 0  # there already
        return max(self.forward, self.kept_bytes + self.backward) - checkpoint
