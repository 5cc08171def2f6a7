"""The same formulas for litgpt's training program, which keeps other things than transformers and peft.

Most published measurements of fine-tuning were taken with it. In bytes per token of a model h wide in 16 bits, with c
words in its vocabulary:

    queries, keys, values    one matrix, of which values are a view: all of it stays (6h); shared keys are copied
    attention's output       joining the heads copies it, and an adapter or a four-bit layer keeps the copy (2h)
    LoRA on some of q, k, v  what is spread into zeros is kept (2h each); the dropped input 2h and its mask h
    four-bit layers          keep their input until the loss is gone, though they learn nothing
    logits                   made in chunks that all stay: 4c as fp32, and 4c for the loss

Source: the program that `course_lib.memory.trace.litgpt` retells. Left out: LLaMA-Adapter's attention to its prefix, a
few vectors per block.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from course_lib.memory.architecture import Architecture, Linear
from course_lib.memory.arithmetic import nf4_bytes
from course_lib.memory.formulas.block import Block
from course_lib.memory.formulas.kernels import EAGER, FUSED, flash
from course_lib.memory.formulas.phases import NUMBERS, Phases
from course_lib.memory.formulas.share import Moment
from course_lib.memory.formulas.state import Shapes, State
from course_lib.memory.recipe import Recipe
from course_lib.memory.trace.litgpt_names import PREFIXED, SCALED, adapted, check

LATER = "litgpt-2024"
CHUNK = 128  # positions, or rows, whose logits enter the loss together
PREFIX = 10  # learned vectors of LLaMA-Adapter


def in_litgpt(model: Architecture) -> Architecture:
    """The model with litgpt's matrices: gate and up are two, also where transformers has one for both."""
    if not model.gated or len(model.mlp_linears) == 3:
        return model
    inward = Linear("gate", model.hidden, model.intermediate, model.mlp_bias)
    return replace(model, mlp_linears=(inward, inward._replace(name="up"), model.mlp_linears[-1]))


def phases(model: Architecture, recipe: Recipe, shared: Recipe, capability: tuple[int, int] | None) -> Phases:
    """A run of litgpt. Raises CourseError for what it did not have."""
    check(model, recipe)
    block = LitBlock(in_litgpt(model), recipe, capability)
    return LitPhases(block, LitState(block), shared)


@dataclass(frozen=True)
class LitBlock(Block):
    """A block of litgpt's model."""

    @cached_property
    def kernel(self) -> str:
        """Shared keys are always copied for every query, so that a fused kernel takes them."""
        return EAGER if self.model.softcap else FUSED

    def adapted(self, linear: Linear) -> bool:
        """Whether a LoRA stands beside a linear layer other than that of queries, keys and values."""
        if linear in self.model.mlp_linears:
            return "mlp" in adapted(self.recipe)
        return linear == self.model.attention_linears[-1] and "projection" in adapted(self.recipe)

    @cached_property
    def parts(self) -> list[int]:
        """The outputs of queries, keys and values that are adapted, in numbers per token."""
        keys = self.model.kv_heads * self.model.head_dim
        outputs = {"query": self.model.heads * self.model.head_dim, "key": keys, "value": keys}
        return [size for name, size in outputs.items() if name in adapted(self.recipe)]

    @cached_property
    def copies(self) -> bool:
        """Adapters are held like the model: only dropout makes a copy."""
        return self.recipe.lora_dropout > 0

    @cached_property
    def four_bit(self) -> bool:
        """Whether all matrices are held in four bits."""
        return self.recipe.method == "qlora"

    def unpacked(self, linear: Linear) -> int:
        """A four-bit matrix while it is multiplied: in float16, from which it was packed, and in bfloat16."""
        return 2 * super().unpacked(linear)

    @cached_property
    def adapters(self) -> dict[str, int]:
        """What adapters keep: dropped inputs, masks, the numbers between A and B, what is spread into zeros."""
        model, recipe, number = self.model, self.recipe, self.tokens * self.widths.compute
        inputs = [linear.inputs for linear in model.linears if self.adapted(linear)]
        ranks = recipe.rank * (len(inputs) + 2 * len(self.parts))
        inputs += [model.hidden] if self.parts else []
        kept = {"down": number * ranks}
        if self.copies:
            kept |= {"inputs": number * sum(inputs), "masks": self.tokens * sum(inputs)}
        if 0 < len(self.parts) < 3:
            kept["spread"] = number * sum(self.parts)
        if recipe.program == SCALED:  # the gradient of a scale needs what is scaled
            kept["scaled"] = number * sum(linear.outputs for linear in model.linears)
        return kept

    def keeps_input(self, name: str) -> bool:
        """Whether a layer keeps its own input: because it learns, is four-bit, or shares it with an adapter."""
        return not self.recipe.adapts or self.four_bit or (name in adapted(self.recipe) and not self.copies)

    @cached_property
    def kept(self) -> dict[str, int]:
        """What a block keeps for its backward pass, without adapters."""
        kept = self._norms_kept() | self._attention_kept() | self._mlp_kept()
        if self.recipe.autocasts and self.widths.held == 4:
            kept["16-bit weights"] = self.widths.compute * self.matrices
        return kept

    def _norms_kept(self) -> dict[str, int]:
        model, recipe = self.model, self.recipe
        if model.norm == "layer":
            return {"norm inputs": self.stream * self.widths.stream * (1 if model.parallel else model.norms_per_layer)}
        learn = not recipe.adapts or recipe.program == SCALED
        product = 2 if recipe.program == LATER else 4
        copies = self.stream * model.norms_per_layer
        return {"norm inputs": 4 * copies, "norm products": product * copies * learn}

    def _attention_kept(self) -> dict[str, int]:
        model, width = self.model, self.widths.compute
        whole = self.tokens * model.head_dim * (model.heads + 2 * model.kv_heads)
        values = self.queries if model.kv_heads < model.heads else whole
        kept = {
            "attention inputs": self.stream * width * self.keeps_input(self._first),
            "queries": self.queries * width,
            "keys": self.queries * width,
            "values": values * width,
        }
        if self.kernel != FUSED:
            scores = {"scores": 4 * self.scores, "probabilities": width * self.scores, "capped": width * self.scores}
            return kept | scores | {"joined heads": self.queries * width}
        # FlashAttention's output lies head by head, as the queries do: joining the heads is a copy.
        by_head = flash(model, self.recipe.but(precision="bf16"), self.capability)
        kept["joined heads"] = self.queries * width * (by_head and self.keeps_input("projection"))
        return kept | {"attention output": self.queries * width, "attention statistics": 4 * self.tokens * model.heads}

    def _mlp_kept(self) -> dict[str, int]:
        model, inner = self.model, self.inner
        shared = model.parallel and model.norms_per_layer == 1 and self.keeps_input(self._first)  # with attention
        return {
            "mlp inputs": self.stream * self.widths.compute * (self.keeps_input("mlp") and not shared),
            "activation inputs": inner * (model.activation != "relu"),
            "activation outputs": inner * model.gated,
            "up": inner * model.gated,
            "down inputs": inner * self.keeps_input("mlp"),
        }

    @cached_property
    def _first(self) -> str:
        """An adapter of the first matrix, where there is one."""
        return "query" if "query" in adapted(self.recipe) or not self.parts else "key"

    @cached_property
    def lingering(self) -> int:
        """Inputs of four-bit layers: they hang on the loss, and stay until it goes."""
        names = ("attention inputs", "joined heads", "mlp inputs", "down inputs")
        return sum(self.kept[name] for name in names) if self.four_bit else 0

    @cached_property
    def first_kept(self) -> int:
        """What the first block keeps: its first norm asks for no gradient where only adapters learn."""
        norms = 1 if self.model.parallel else max(1, self.model.norms_per_layer)
        return self.kept_bytes - self.recipe.adapts * self.kept["norm inputs"] // norms


@dataclass(frozen=True)
class LitState(State):
    """The state of litgpt's model: embedding and head are two matrices, and the head may be four-bit or adapted."""

    block: LitBlock

    @cached_property
    def outside_shapes(self) -> Shapes:
        """Embedding, head, last norm."""
        matrix = (self.model.vocab, self.model.embedding)
        return [matrix, matrix, (self.model.outside,)]

    @cached_property
    def adapter_shapes(self) -> Shapes:
        """A and B of queries, keys and values together, and of each other layer."""
        model, rank, parts = self.model, self.recipe.rank, self.block.parts
        if self.recipe.program in PREFIXED:
            scaled = [(linear.outputs,) for linear in model.linears] * 2 + self._norms(2)
            return [(PREFIX, model.hidden), (model.heads,), *(scaled if self.recipe.program == SCALED else [])]
        joint: Shapes = [(len(parts) * rank, model.hidden), (sum(parts), rank)] if parts else []
        return joint + [s for linear in model.linears if self.block.adapted(linear) for s in self._pair(linear)]

    @cached_property
    def outside_adapter_shapes(self) -> Shapes:
        """Those of the head."""
        on_head = "head" in adapted(self.recipe)
        return self._pair(Linear("head", self.model.hidden, self.model.vocab, False)) if on_head else []

    @cached_property
    def outside_weights(self) -> int:
        """Embedding, last norm, head."""
        matrix, held = self.model.vocab * self.model.embedding, self.block.widths.held
        head = nf4_bytes(matrix, double=self.recipe.double_quantization) if self.block.four_bit else held * matrix
        return held * (matrix + self.model.outside) + head

    @cached_property
    def total(self) -> int:
        """All parameters, the head's own and adapters included."""
        return super().total + self.model.vocab * self.model.embedding * self.model.tied


@dataclass(frozen=True)
class LitPhases(Phases):
    """Logits in chunks that all stay, and in the program of 2024 a step's last logits beside the next one's."""

    block: LitBlock

    @cached_property
    def _around(self) -> int:
        return 2 * NUMBERS * self.block.tokens  # rotary tables are the model's

    @cached_property
    def _words(self) -> int:
        return self.block.tokens * self.block.model.vocab

    @cached_property
    def _left(self) -> Moment:
        """What the step before has left, until its logits and its loss get other names."""
        if self.block.recipe.program != LATER:
            return {}
        inputs = self.block.lingering * self.block.model.layers
        head = self.block.stream * self.block.widths.compute * self.block.four_bit
        return {"activations": inputs + head, "logits": 4 * self._words}

    def _and_left(self, moment: Moment) -> Moment:
        return {part: moment.get(part, 0) + self._left.get(part, 0) for part in {*moment, *self._left}}

    @cached_property
    def _kept_by_head(self) -> int:
        """The last norm's input or fp32 copy, and the head's input where the head keeps it, dropped or not."""
        block, recipe, width = self.block, self.block.recipe, self.block.widths.compute
        norm = block.widths.stream if block.model.norm == "layer" else 4
        own = not recipe.adapts or block.four_bit
        copy = 0
        if "head" in adapted(recipe):
            copy = width + 1 if block.copies else width * (not own)
        return block.stream * (norm + width * own + copy) + self._head_casts

    @cached_property
    def _head_casts(self) -> int:
        """16-bit copies of an fp32 head: autocast makes one for every chunk, and each is kept for its gradient."""
        block, model = self.block, self.block.model
        if not block.recipe.autocasts or block.widths.held < 4:
            return 0
        chunks = -(-block.length // CHUNK) if block.recipe.adapts else 1
        return chunks * block.widths.compute * model.vocab * model.embedding

    @cached_property
    def _unpacked_head(self) -> int:
        return self.block.unpacked(Linear("head", self.block.model.hidden, self.block.model.vocab, False))

    # -- phases --------------------------------------------------------------------------------------------------------

    def _forward(self) -> Iterable[Moment]:
        yield from map(self._and_left, super()._forward())

    def _loss(self) -> Moment:
        block, words = self.block, self._words
        copied = 4 * words * (block.recipe.micro_batch > 1)  # without the last position it is no view any more
        if block.recipe.adapts:  # only the last chunk is cut
            copied = copied * (block.length % CHUNK or CHUNK) // block.length
        kept = self._around + self._kept + self._kept_by_head + self._normed + self._left.get("activations", 0)
        made = block.widths.compute * words + self._left.get("logits", 0)
        logits = max(made + max(4 * words, self._unpacked_head), 8 * words + copied)
        return self._with(activations=kept, logits=logits, blocks=0)

    def _through_head(self) -> Iterable[Moment]:
        block, words, chunked = self.block, self._words, self.block.recipe.adapts
        at_once = 8 * (block.recipe.micro_batch if chunked else 1) * CHUNK * block.model.vocab
        kept = self._around + self._kept + self._kept_by_head
        if chunked:
            yield self._with(activations=kept, logits=8 * words, temporary=at_once, blocks=1)
            yield self._with(activations=kept, logits=4 * words, temporary=2 * words + self._unpacked_head, blocks=1)
            return
        copied = 4 * words * (block.recipe.micro_batch > 1)
        yield self._with(activations=kept, logits=8 * words, temporary=at_once + copied, blocks=1)
        # The gradients of all rows, put together, then narrowed.
        yield self._with(activations=kept, logits=4 * words, temporary=8 * words + copied, blocks=1)
        yield self._with(activations=kept, logits=4 * words, temporary=6 * words, fresh=self._head, blocks=1)

    def _backward(self) -> Iterable[Moment]:
        yield from self._through_head()
        block, state, logits = self.block, self.state, 4 * self._words
        for left in (self.walked, 1):
            done = self.walked - left
            held = self._around + self._kept - done * (block.kept_bytes - block.lingering)
            grown = self._head + done * state.block_gradients
            inside = block.backward + block.entering
            yield self._with(activations=held, logits=logits, temporary=inside, gradients=grown)
        last = self._with(logits=logits, temporary=block.entering, blocks=0)
        yield last | {"activations": self._around, "gradients": state.gradients}

    def _step(self) -> Moment:
        return self._and_left(super()._step())
