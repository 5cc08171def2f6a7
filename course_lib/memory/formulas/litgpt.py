"""The same formulas for litgpt's training program, which keeps other things than transformers and peft.

Most published measurements of fine-tuning were taken with it. In bytes per token of a model h wide in 16 bits, with c
words in its vocabulary:

    queries, keys, values    one matrix, of which values are a view: all of it stays (6h); shared keys are copied
    attention's output       joining the heads copies it, and an adapter or a four-bit layer keeps the copy (2h)
    LoRA on some of q, k, v  what is spread into zeros is kept (2h each); the dropped input 2h and its mask h
    four-bit layers          keep their input until the loss is gone, though they learn nothing
    logits                   made in chunks that all stay: 4c as fp32, and 4c for the loss

Source: what `course_lib.memory.trace.litgpt` runs. Left out: LLaMA-Adapter's attention to its prefix, in memory a few
vectors per block.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from course_lib.memory.architecture import Architecture, Linear
from course_lib.memory.arithmetic import nf4_bytes
from course_lib.memory.formulas.block import FUSED, Block, flash
from course_lib.memory.formulas.phases import NUMBERS, Phases
from course_lib.memory.formulas.share import Moment
from course_lib.memory.formulas.state import Shapes, State
from course_lib.memory.trace.litgpt_layers import PREFIXED, SCALED, adapted

CHUNK = 128  # positions, or rows, whose logits enter the loss together
PREFIX = 10  # learned vectors of LLaMA-Adapter


def in_litgpt(model: Architecture) -> Architecture:
    """The model with litgpt's matrices: gate and up are two, also where transformers has one for both."""
    if not model.gated or len(model.mlp_linears) == 3:
        return model
    inward = Linear("gate", model.hidden, model.intermediate, model.mlp_bias)
    return replace(model, mlp_linears=(inward, inward._replace(name="up"), model.mlp_linears[-1]))


@dataclass(frozen=True)
class LitBlock(Block):
    """A block of litgpt's model."""

    @cached_property
    def kernel(self) -> str:
        """Shared keys are always copied for every query, so that a fused kernel takes them."""
        return "eager" if self.model.softcap else FUSED

    def adapted(self, linear: Linear) -> bool:
        """Whether a LoRA stands beside a linear layer other than that of queries, keys and values."""
        if linear in self.model.mlp_linears:
            return "mlp" in adapted(self.recipe)
        return linear == self.model.attention_linears[-1] and "projection" in adapted(self.recipe)

    @cached_property
    def parts(self) -> list[int]:
        """The outputs of queries, keys and values that are adapted, in numbers per token."""
        queries = self.model.heads * self.model.head_dim
        keys = self.model.kv_heads * self.model.head_dim
        outputs = {"query": queries, "key": keys, "value": keys}
        return [size for name, size in outputs.items() if name in adapted(self.recipe)]

    @cached_property
    def _copies(self) -> bool:
        return self.recipe.lora_dropout > 0

    def unpacked(self, linear: Linear) -> int:
        """A four-bit matrix while it is multiplied: in float16, from which it was packed, and in bfloat16."""
        return 2 * super().unpacked(linear)

    @cached_property
    def _four_bit(self) -> bool:
        return self.recipe.method == "qlora"

    @cached_property
    def adapters(self) -> dict[str, int]:
        """What adapters keep: dropped inputs, masks, the numbers between A and B, what is spread into zeros."""
        model, recipe, width, tokens = self.model, self.recipe, self.widths.compute, self.tokens
        inputs = [linear.inputs for linear in model.linears if self.adapted(linear)]
        inputs += [model.hidden] if self.parts else []
        ranks = recipe.rank * (len(inputs) - bool(self.parts) + 2 * len(self.parts))
        kept = {"down": tokens * width * ranks}
        if self._copies:
            kept |= {"inputs": tokens * width * sum(inputs), "masks": tokens * sum(inputs)}
        if 0 < len(self.parts) < 3:
            kept["spread"] = tokens * width * sum(self.parts)
        if recipe.program == SCALED:  # the gradient of a scale needs what is scaled
            kept["scaled"] = tokens * width * sum(linear.outputs for linear in model.linears)
        return kept

    def _kept_input(self, name: str) -> bool:
        """Whether a layer keeps its own input: because it learns, is four-bit, or shares it with an adapter."""
        return not self.recipe.adapts or self._four_bit or (name in adapted(self.recipe) and not self._copies)

    @cached_property
    def kept(self) -> dict[str, int]:
        """What a block keeps for its backward pass, without adapters."""
        model, recipe, widths, tokens = self.model, self.recipe, self.widths, self.tokens
        width, hidden, queries = widths.compute, tokens * model.hidden, self._queries
        layer_norm = model.norm == "layer"
        norms = model.norms_per_layer
        if layer_norm:
            norm_inputs = hidden * widths.stream * (1 if model.parallel else norms)
        else:
            norm_inputs = 4 * hidden * norms
        grouped = model.kv_heads < model.heads
        qkv = tokens * model.head_dim * (model.heads + 2 * model.kv_heads)
        first = "query" if "query" in adapted(recipe) or not self.parts else "key"
        inward = self._kept_input("mlp") * hidden * width * (not (model.parallel and norms == 1) or not self._kept_input(first))
        learns = not recipe.adapts or recipe.program == SCALED
        kept = {
            "norm inputs": norm_inputs,
            "norm products": hidden * norms * (4 if recipe.program != "litgpt-2024" else width) * (learns and not layer_norm),
            "attention inputs": hidden * width * self._kept_input(first),
            "queries": queries * width,
            "keys": queries * width,
            "values": width * (queries if grouped else qkv),
            "attention output": queries * width,
            "joined heads": queries * width * (self._kept_input("projection") and self._by_head),
            "attention statistics": 4 * tokens * model.heads,
            "mlp inputs": inward,
            "activation inputs": self._inner * (1 if model.activation != "relu" else 0),
            "activation outputs": self._inner * model.gated,
            "up": self._inner * model.gated,
            "down inputs": self._inner * self._kept_input("mlp"),
        }
        if self.kernel != FUSED:
            scores = {"scores": 4 * self._scores, "probabilities": width * self._scores, "capped": width * self._scores}
            kept |= scores | {"attention statistics": 0, "attention output": 0, "joined heads": queries * width}
        if recipe.autocasts and widths.held == 4:
            kept["16-bit weights"] = width * sum(linear.parameters for linear in model.linears)
        return kept

    @cached_property
    def _by_head(self) -> bool:
        """Whether the kernel lays its output out head by head, like the queries, so that joining them is a copy."""
        return flash(self.model, self.recipe.but(precision="bf16"), self.capability)

    @cached_property
    def lingering(self) -> int:
        """Inputs of four-bit layers: they hang on the loss, and stay until it goes."""
        names = ("attention inputs", "joined heads", "mlp inputs", "down inputs")
        return sum(self.kept[name] for name in names) if self._four_bit else 0

    @cached_property
    def first_kept(self) -> int:
        """What the first block keeps."""
        if not self.recipe.adapts:
            return self.kept_bytes
        saved = self.kept["norm inputs"] // max(1, 1 if self.model.parallel else self.model.norms_per_layer)
        return self.kept_bytes - saved


@dataclass(frozen=True)
class LitState(State):
    """The state of litgpt's model: embedding and head are two matrices, and the head may be four-bit or adapted."""

    @property
    def lit(self) -> LitBlock:
        """The block."""
        assert isinstance(self.block, LitBlock)
        return self.block

    @cached_property
    def outside_shapes(self) -> Shapes:
        """Embedding, head, last norm."""
        model = self.model
        return [(model.vocab, model.embedding), (model.vocab, model.embedding), (model.outside,)]

    @cached_property
    def adapter_shapes(self) -> Shapes:
        """A and B of queries, keys and values together, and of each other layer."""
        model, recipe, parts = self.model, self.recipe, self.lit.parts
        if recipe.program in PREFIXED:
            shapes: Shapes = [(PREFIX, model.hidden), (model.heads,)]
            scaled = recipe.program == SCALED
            return shapes + [(linear.outputs,) for linear in model.linears] * 2 * scaled + self._norms(2) * scaled
        joint: Shapes = [(len(parts) * recipe.rank, model.hidden), (sum(parts), recipe.rank)] if parts else []
        return joint + super().adapter_shapes

    @cached_property
    def outside_adapter_shapes(self) -> Shapes:
        """Those of the head."""
        model = self.model
        head = Linear("head", model.hidden, model.vocab, False)
        return list(self._pair(head)) if "head" in adapted(self.recipe) else []

    @cached_property
    def outside_weights(self) -> int:
        """Embedding, last norm, head."""
        matrix, held = self.model.vocab * self.model.embedding, self.block.widths.held
        size = held * sum(1 if len(shape) == 1 else 0 for shape in self.outside_shapes) * self.model.outside + held * matrix
        four_bit = self.recipe.method == "qlora"
        return size + (nf4_bytes(matrix, double=self.recipe.double_quantization) if four_bit else held * matrix)

    @cached_property
    def total(self) -> int:
        """All parameters, the head's own and adapters included."""
        doubled = self.model.vocab * self.model.embedding * self.model.tied
        return super().total + doubled


@dataclass(frozen=True)
class LitPhases(Phases):
    """Logits in chunks that all stay, and in the program of 2024 a step's last logits beside the next one's."""

    @property
    def lit(self) -> LitBlock:
        """The block."""
        assert isinstance(self.block, LitBlock)
        return self.block

    @cached_property
    def _words(self) -> int:
        return self.block.tokens * self.block.model.vocab

    @cached_property
    def _left(self) -> Moment:
        """What the step before has left, until its loss gets another name."""
        if self.block.recipe.program != "litgpt-2024":
            return {}
        inputs = self.lit.lingering * self.block.model.layers
        head = self._stream * self.block.widths.compute * bool(self.lit.lingering)
        return {"activations": inputs + head, "logits": 4 * self._words}

    @cached_property
    def _kept_by_head(self) -> int:
        """The last norm's fp32 copy, and the head's input where the head keeps it, dropped or not."""
        recipe, width = self.block.recipe, self.block.widths.compute
        norm = self._stream * (self.block.widths.stream if self.block.model.norm == "layer" else 4)
        own = not recipe.adapts or recipe.method == "qlora"
        dropped = "head" in adapted(recipe) and (width + 1 if recipe.lora_dropout else width * (not own))
        return norm + self._stream * (width * own + dropped) + self._head_casts

    @cached_property
    def _head_casts(self) -> int:
        """16-bit copies of an fp32 head: autocast makes one for every chunk, and each is kept for its gradient."""
        block, model = self.block, self.block.model
        if not block.recipe.autocasts or block.widths.held < 4:
            return 0
        chunks = -(-block.length // CHUNK) if block.recipe.adapts else 1
        return chunks * block.widths.compute * model.vocab * model.embedding

    @cached_property
    def _head_unpacked(self) -> int:
        model = self.block.model
        return self.block.unpacked(Linear("head", model.hidden, model.vocab, False))

    def _forward(self) -> Iterable[Moment]:
        yield from map(self._and_left, super()._forward())

    def _and_left(self, moment: Moment) -> Moment:
        return {part: moment.get(part, 0) + self._left.get(part, 0) for part in {*moment, *self._left}}

    def _step(self) -> Moment:
        return self._and_left(super()._step())

    def _loss(self) -> Moment:
        chunked = self.block.recipe.adapts
        sequences, width = self.block.recipe.micro_batch, self.block.widths.compute
        copied = 0 if sequences == 1 else 4 * self._words  # cut off the last position, and it is no view any more
        if chunked:
            copied = copied * min(CHUNK, self.block.length % CHUNK or CHUNK) // self.block.length
        kept = self._around + self._kept + self._kept_by_head + self._normed
        left = dict(self._left)
        lingering = left.pop("logits", 0)
        made = width * self._words + lingering
        logits = max(made + max(4 * self._words, self._head_unpacked), 8 * self._words + copied)
        return self._with(activations=kept + left.get("activations", 0), logits=logits)

    def _backward(self) -> Iterable[Moment]:
        block, state = self.block, self.state
        words, layers = self._words, block.model.layers
        chunked = block.recipe.adapts
        one = (CHUNK * block.recipe.micro_batch if chunked else CHUNK) * block.model.vocab
        kept = self._around + self._kept + self._kept_by_head
        copied = 4 * words * (block.recipe.micro_batch > 1)
        yield self._with(activations=kept, logits=8 * words, temporary=8 * one + (0 if chunked else copied))
        yield self._with(activations=kept, logits=4 * words, temporary=2 * words + self._head_unpacked)
        head = 0 if chunked else state.learned_width * block.model.vocab * block.model.embedding
        if not chunked:  # the gradients of all rows, put together
            yield self._with(activations=kept, logits=4 * words, temporary=8 * words + copied)
            yield self._with(activations=kept, logits=4 * words, temporary=6 * words, gradients=head)
        for left in (layers, 1):
            stays = (layers - left) * self.lit.lingering
            held = self._around + self._kept - (layers - left) * block.kept_bytes + stays
            grown = head + (layers - left) * state.block_gradients
            inside = block.backward + block.entering
            yield self._with(activations=held, logits=4 * words, temporary=inside, gradients=grown)
        yield self._with(activations=self._around, logits=4 * words, temporary=block.entering, gradients=state.gradients)

    @cached_property
    def _around(self) -> int:
        """Numbers of tokens; rotary tables in fp32, which litgpt counts among the weights, are the model's."""
        return 2 * NUMBERS * self.block.tokens
