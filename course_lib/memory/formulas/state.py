"""What is there whatever the batch: weights, adapters, gradients, the optimizer's state, counted from the shapes.

Only block by block does it come out right: a bias is too small for an 8-bit optimizer, a norm is never quantized, and
of a factored second moment only the two sides of a matrix are left. `State` adds up one block and what lies outside.

Left out: buffers, such as the frequencies of rotary embeddings (a few hundred bytes).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from course_lib.memory.architecture import Architecture, Linear
from course_lib.memory.arithmetic import nf4_bytes, optimizer_bytes, optimizer_temporary_bytes, pageable_bytes
from course_lib.memory.formulas.block import Block
from course_lib.memory.formulas.widths import quantized
from course_lib.memory.recipe import Recipe

Shapes = list[tuple[int, ...]]
CLASSES = 2  # of a classifier on an encoder
POOLING_HEADS = ("roberta", "xlm-roberta")  # whose classifier has a layer of its own in the place of a pooler
STEP_COUNT = 4  # bytes that fused AdamW keeps per tensor


@dataclass(frozen=True)
class State:
    """The state of a run; all answers are bytes except those that say otherwise."""

    block: Block

    @property
    def model(self) -> Architecture:
        """The model."""
        return self.block.model

    @property
    def recipe(self) -> Recipe:
        """The run."""
        return self.block.recipe

    # -- shapes --------------------------------------------------------------------------------------------------------

    @cached_property
    def classifier(self) -> tuple[Linear, ...]:
        """The linear layers on top of an encoder that no architecture counts; the last one makes the logits."""
        model = self.model
        if model.causal:
            return ()
        last = Linear("classifier", model.hidden, CLASSES, True)
        before = Linear("pre_classifier", model.hidden, model.hidden, True)
        return (before, last) if model.model_type in ("distilbert", *POOLING_HEADS) else (last,)

    @cached_property
    def _outside(self) -> int:
        """Parameters outside the blocks that are no matrices of words; a head that pools stands where a pooler did."""
        pooler = self.classifier[0].parameters if self.model.model_type in POOLING_HEADS else 0
        return self.model.outside - pooler

    def _norms(self, count: int) -> Shapes:
        model = self.model
        return [(model.hidden,)] * (count * (2 if model.norm == "layer" else 1))

    @cached_property
    def block_shapes(self) -> Shapes:
        """Tensors of one block."""
        model = self.model
        shapes = _shapes(model.linears) + self._norms(model.norms_per_layer)
        return shapes + ([(model.qk_norm // 2,)] * 2 if model.qk_norm else [])

    @cached_property
    def outside_shapes(self) -> Shapes:
        """Tensors outside the blocks: embeddings, the last norm, the head where it has a matrix of its own."""
        model = self.model
        shapes: Shapes = [(model.vocab, model.embedding)]
        if model.learned_positions:
            shapes.append((model.learned_positions, model.hidden))
        if model.head_parameters:
            shapes.append((model.vocab, model.embedding))
        return [*shapes, (self._outside,), *_shapes(self.classifier)]

    @cached_property
    def adapter_shapes(self) -> Shapes:
        """The two matrices of each of one block's adapters."""
        return [s for linear in self.model.linears if self.block.adapted(linear) for s in self._pair(linear)]

    @cached_property
    def outside_adapter_shapes(self) -> Shapes:
        """Adapters outside the blocks: on the head where `targets` names it, on all of an encoder's classifier."""
        model, recipe = self.model, self.recipe
        if recipe.method == "prompt":
            return [(recipe.prompt_tokens, model.hidden)]
        if recipe.method not in ("lora", "qlora"):
            return []
        head = Linear("lm_head", model.hidden, model.vocab, False)
        outside = [head] if model.causal and "lm_head" in recipe.targets else []
        if recipe.targets == "all-linear":
            pooler = Linear("dense", model.hidden, model.hidden, True)
            outside = [pooler, *self.classifier] if model.model_type == "bert" else list(self.classifier)
        return [shape for linear in outside for shape in self._pair(linear)]

    def _pair(self, linear: Linear) -> Shapes:
        return [(self.recipe.rank, linear.inputs), (linear.outputs, self.recipe.rank)]

    # -- what learns ---------------------------------------------------------------------------------------------------

    @cached_property
    def learning_blocks(self) -> int:
        """How many blocks have something that learns: the last ones."""
        if self.recipe.method == "last-n":
            return self.recipe.blocks
        return self.model.layers if self.recipe.trains and self.recipe.method != "prompt" else 0

    @cached_property
    def learning_in_block(self) -> Shapes:
        """What learns in one of those blocks."""
        return self.adapter_shapes if self.recipe.adapts else self.block_shapes if self.recipe.trains else []

    @cached_property
    def learning_outside(self) -> Shapes:
        """What learns outside the blocks."""
        if self.recipe.adapts:
            return self.outside_adapter_shapes
        if self.recipe.method == "last-n":
            return _shapes(self.classifier if self.model.model_type in POOLING_HEADS else self.classifier[-1:])
        return self.outside_shapes if self.recipe.trains else []

    @cached_property
    def trainable(self) -> int:
        """Parameters that learn."""
        return self.learning_blocks * _values(self.learning_in_block) + _values(self.learning_outside)

    @cached_property
    def total(self) -> int:
        """All parameters, adapters and the classifier included."""
        added = self.model.layers * _values(self.adapter_shapes) + _values(self.outside_adapter_shapes)
        outside = self._outside - self.model.outside + _values(_shapes(self.classifier))
        return self.model.parameters + outside + added

    # -- bytes ---------------------------------------------------------------------------------------------------------

    @cached_property
    def block_weights(self) -> int:
        """One block's weights; in NF4 only its matrices are small."""
        held = self.block.widths.held
        if not quantized(self.model, self.recipe):
            return held * _values(self.block_shapes)
        matrices = [linear.inputs * linear.outputs for linear in self.model.linears]
        codes = sum(nf4_bytes(matrix, double=self.recipe.double_quantization) for matrix in matrices)
        return codes + held * (_values(self.block_shapes) - sum(matrices))

    @cached_property
    def outside_weights(self) -> int:
        """Embedding, last norm, head."""
        model, held = self.model, self.block.widths.held
        size = held * _values(self.outside_shapes)
        head = model.head_parameters
        if head and quantized(model, self.recipe) and self.recipe.quantize_head:
            size += nf4_bytes(head, double=self.recipe.double_quantization) - held * head
        return size

    @cached_property
    def weights(self) -> int:
        """All weights but adapters."""
        return self.model.layers * self.block_weights + self.outside_weights

    @cached_property
    def adapters(self) -> int:
        """All adapters, or the learned prompt."""
        added = self.model.layers * _values(self.adapter_shapes) + _values(self.outside_adapter_shapes)
        return self.block.widths.adapter * added

    @cached_property
    def outside_adapters(self) -> int:
        """Adapters outside the blocks."""
        return self.block.widths.adapter * _values(self.outside_adapter_shapes)

    @cached_property
    def learned_width(self) -> int:
        """Bytes of a weight that learns, and of its gradient."""
        return self.block.widths.adapter if self.recipe.adapts else self.block.widths.held

    @cached_property
    def block_gradients(self) -> int:
        """Gradients of one block."""
        return self.learned_width * _values(self.learning_in_block)

    @cached_property
    def outside_gradients(self) -> int:
        """Gradients outside the blocks."""
        return self.learned_width * _values(self.learning_outside)

    @cached_property
    def gradients(self) -> int:
        """All gradients."""
        return self.learning_blocks * self.block_gradients + self.outside_gradients

    @cached_property
    def optimizer(self) -> int:
        """The optimizer's state on the device; what paged optimizers may move to the host is not on it."""
        blocks = self.learning_blocks * self._optimized(self.learning_in_block)
        return blocks + self._optimized(self.learning_outside)

    def _optimized(self, shapes: Shapes) -> int:
        if not shapes:
            return 0
        name, width = self.recipe.optimizer, self.learned_width
        steps = STEP_COUNT * len(shapes) if name in ("adamw", "adafactor") else 0
        kept = optimizer_bytes(name, _values(shapes), shapes, bytes_per_value=width)
        return kept - pageable_bytes(name, shapes) + steps

    @cached_property
    def stepping(self) -> int:
        """What exists while the optimizer steps, and only then."""
        shapes = self.learning_in_block * bool(self.learning_blocks) + self.learning_outside
        if not shapes:
            return 0
        largest = max(map(math.prod, shapes))
        return optimizer_temporary_bytes(
            self.recipe.optimizer, self.trainable, largest, bytes_per_value=self.learned_width
        )


def _shapes(linears: tuple[Linear, ...]) -> Shapes:
    shapes: Shapes = [(linear.outputs, linear.inputs) for linear in linears]
    return shapes + [(linear.outputs,) for linear in linears if linear.bias]


def _values(shapes: Shapes) -> int:
    return sum(map(math.prod, shapes))
