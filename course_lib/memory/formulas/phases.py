"""From one block to a run: what is alive at the fullest moment of each phase.

A run is a walk through equal blocks, so what is alive grows or shrinks by the same amount from block to block, and a
phase is fullest at one of its ends:

    forward    in the last block: all the others have left behind what they keep
    loss       all blocks, and the logits: 10 bytes per token and word of the vocabulary
    backward   at the start (everything kept, and the logits' gradients), in the last block, in the first block, where
               nearly all gradients are there, or when the embedding's gradient arrives
    step       weights, gradients, optimizer

Every moment is a dict of bytes by part; a phase's answer is the fullest of its moments.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from course_lib.memory.arithmetic import kv_cache_bytes, logits_bytes
from course_lib.memory.formulas.block import Block
from course_lib.memory.formulas.kernels import EAGER, masks
from course_lib.memory.formulas.share import Moment, Share
from course_lib.memory.formulas.state import State
from course_lib.memory.recipe import WIDTH, Recipe

NUMBERS = 8  # bytes of a token's number, and of its label


def fullest(moments: Iterable[Moment]) -> Moment:
    """The moment with the most bytes."""
    return max(moments, key=lambda moment: sum(moment.values()))


@dataclass(frozen=True)
class Phases:
    """A run, phase by phase. ``shared``: its recipe as it was given, whose devices share the work."""

    block: Block
    state: State
    shared: Recipe

    def moments(self) -> dict[str, Moment]:
        """The fullest moment of every phase, on one device."""
        share = Share(self.state, self.shared)
        found: dict[str, Iterable[Moment]] = {"load": [self._load()]}
        if self.block.recipe.trains:
            found |= {"forward": self._forward(), "loss": [self._loss()], "backward": self._backward()}
            found |= {"step": [self._step()]}
        else:
            found |= {"forward": self._generating(), "loss": [self._answering()]}
        return {phase: fullest(share.of(moment, phase) for moment in moments) for phase, moments in found.items()}

    # -- what all phases share -----------------------------------------------------------------------------------------

    def _load(self) -> Moment:
        return {"weights": self.state.weights, "adapters": self.state.adapters}

    def _with(self, **parts: int) -> Moment:
        """A moment from the second step on: the optimizer has its state, earlier micro-batches left gradients."""
        gradients = 0 if self._fresh else self.state.gradients
        moment = self._load() | {"optimizer": self.state.optimizer, "gradients": gradients}
        for part, size in parts.items():
            moment[part] = moment.get(part, 0) + size
        return moment

    @cached_property
    def _fresh(self) -> bool:
        """Whether the backward pass makes the gradients, instead of adding to what is there."""
        return self.block.recipe.accumulate == 1

    @cached_property
    def walked(self) -> int:
        """Blocks that the gradient passes through: the last ones."""
        model, recipe = self.block.model, self.block.recipe
        return recipe.blocks if recipe.method == "last-n" else model.layers

    @cached_property
    def _around(self) -> int:
        """Numbers of tokens, rotary tables, masks: what all blocks share."""
        block, model = self.block, self.block.model
        around = 2 * NUMBERS * block.tokens
        if not model.learned_positions:
            around += 2 * block.length * model.head_dim * block.widths.stream
        as_bytes = model.model_type == "falcon" and block.kernel != EAGER
        width = 1 if as_bytes else block.widths.stream
        around += masks(model, block.recipe, block.kernel) * block.length**2 * width
        if model.dropout and model.learned_positions:
            around += block.stream  # one byte per number: the mask of the embeddings' dropout
        return around

    @cached_property
    def _per_block(self) -> int:
        return self.block.entering if self.block.recipe.checkpointing else self.block.kept_bytes

    @cached_property
    def _kept(self) -> int:
        """What all blocks keep at the end of the forward pass."""
        block = self.block
        whole = self.walked == block.model.layers and not block.recipe.checkpointing
        return self.walked * self._per_block - whole * (block.kept_bytes - block.first_kept)

    @cached_property
    def _held_copies(self) -> int:
        """Autocast's 16-bit copies of the weights of checkpointed blocks, which live until it ends."""
        return self.block.held_copies * self.walked * self.block.recipe.checkpointing

    # -- the two ends --------------------------------------------------------------------------------------------------

    @cached_property
    def _normed(self) -> int:
        return self.block.stream * self.block.widths.normed

    @cached_property
    def _learns_outside(self) -> bool:
        return self.block.recipe.method == "full"

    @cached_property
    def _last_norm(self) -> int:
        """What the norm behind the last block keeps."""
        block, widths = self.block, self.block.widths
        if not block.model.causal:
            return 0
        if block.model.norm == "layer":
            return block.stream * (4 if block.recipe.autocasts else widths.stream)
        product = widths.stream if block.layer.norm == "rms" else 4
        return block.stream * (4 + product * self._learns_outside)

    @cached_property
    def _head_copies(self) -> int:
        """Of the head under autocast: a 16-bit copy of its matrix, if that is held in 32, and of its input."""
        block, model = self.block, self.block.model
        if not block.recipe.autocasts or not model.causal:
            return 0
        weight = block.widths.compute * model.vocab * model.embedding if block.widths.held == 4 else 0
        reads = self._learns_outside and block.widths.normed == 4
        return weight + block.stream * block.widths.compute * reads

    @cached_property
    def _words(self) -> int:
        """Logits that exist at a time, in numbers."""
        at_once = min(self.block.recipe.chunked_loss or self.block.tokens, self.block.tokens)
        return at_once * self.block.model.vocab * self.block.model.causal

    @cached_property
    def _head(self) -> int:
        """The gradient of the head, or of the embedding: both are as large."""
        model = self.block.model
        return self.state.learned_width * model.vocab * model.embedding * self._learns_outside

    def _logits(self, phase: str) -> int:
        block, recipe, model = self.block, self.block.recipe, self.block.model
        if not model.causal:
            return 0
        upcast, chunk = recipe.upcast_logits or not recipe.chunked_loss, recipe.chunked_loss
        width = block.widths.compute
        live = logits_bytes(recipe.micro_batch, block.length, model.vocab, width, upcast, chunk, phase=phase)
        if phase == "backward":
            live.pop("logits", None)  # a training loop takes the loss and lets the model's output go
        capped = model.softcap and not recipe.chunked_loss  # tanh keeps its result
        return sum(live.values()) + capped * (2 if phase == "loss" else 1) * self._words * width

    # -- training ------------------------------------------------------------------------------------------------------

    def _forward(self) -> Iterable[Moment]:
        block = self.block
        entering = block.entering
        around = self._around + entering  # the embedding's result has a name until the last block is through
        if self.walked < block.model.layers:
            yield self._with(activations=around + entering + block.quiet)
        if block.recipe.checkpointing:
            before = around + (self.walked - 1) * (entering + block.held_copies)
            yield self._with(activations=before + block.quiet)
        else:
            before = around + self._kept - self._per_block + (0 if block.stream_kept else entering)
            yield self._with(activations=before + block.forward)
        norm = self._normed if block.model.norm == "layer" else 8 * block.stream + 2 * self._normed
        yield self._with(activations=around + self._kept + self._held_copies + entering + norm)

    def _loss(self) -> Moment:
        kept = self._around + self._kept + self._held_copies + self._last_norm + self._normed + self._head_copies
        return self._with(activations=kept, logits=self._logits("loss"), blocks=0)

    def _backward(self) -> Iterable[Moment]:
        yield from self._through_head()
        block, growing = self.block, self.state.block_gradients * self._fresh
        for left in (self.walked, 1):  # blocks whose backward pass is still to come, this one included
            done = self.walked - left
            grown = self._head * block.model.causal * self._fresh + done * growing
            if block.recipe.checkpointing:
                held, inside = self._around + left * block.entering, block.recomputed
            else:
                held, inside = max(0, self._around + self._kept - done * self._per_block), block.backward
            yield self._with(activations=held, temporary=inside + block.entering, gradients=grown)
        yield self._embedding()

    def _through_head(self) -> Iterable[Moment]:
        """From the loss to the last block: the gradients of the logits, then that of the head's matrix."""
        block, recipe = self.block, self.block.recipe
        head_input = self._normed * self._learns_outside if not self._head_copies else 0
        kept = self._around + self._kept + self._last_norm + head_input + self._head_copies
        hidden = block.stream * block.widths.compute * bool(recipe.chunked_loss)
        yield self._with(activations=kept, temporary=self._logits("backward") + hidden, blocks=1)
        head = self._head * block.model.causal
        adding_up = 2 * head if 0 < recipe.chunked_loss < block.tokens else 0  # one chunk's, and the new sum
        read = max(self._words * block.widths.compute, adding_up)
        yield self._with(activations=kept, temporary=read + hidden, fresh=head, blocks=1)

    def _embedding(self) -> Moment:
        """The end of the backward pass: the embedding's gradient, which is that of the head too where they are tied.

        The head's is a view where nothing was cast, and is then added to the embedding's in a third place.
        """
        block, state = self.block, self.state
        tied = block.model.tied and block.model.causal
        more = tied * (1 if block.recipe.autocasts else 2) + (not self._fresh)
        outside = state.outside_gradients * self._learns_outside
        return self._with(
            activations=self._around,
            gradients=(state.gradients - outside) * self._fresh,
            fresh=outside * self._fresh,
            temporary=block.entering + more * self._head,
            blocks=0,
        )

    def _step(self) -> Moment:
        state = self.state
        return self._load() | {"gradients": state.gradients, "optimizer": state.optimizer, "temporary": state.stepping}

    # -- inference -----------------------------------------------------------------------------------------------------

    def _cache(self, tokens: int, layers: int) -> int:
        """Keys and values of so many layers, those of windows no longer than their window."""
        model, recipe = self.block.model, self.block.recipe
        windowed = round(layers * model.window_layers / model.layers) if model.window else 0
        sizes = [(layers - windowed, 0), (windowed, model.window)]
        return model.causal * sum(
            kv_cache_bytes(
                count, model.kv_heads, model.head_dim, tokens, recipe.micro_batch, WIDTH[recipe.compute], window
            )
            for count, window in sizes
            if count
        )

    @cached_property
    def _copies(self) -> int:
        """Autocast's 16-bit copies of all matrices of the blocks."""
        return self.block.kept.get("16-bit weights", 0) * self.block.model.layers

    def _generating(self) -> Iterable[Moment]:
        block, layers, recipe = self.block, self.block.model.layers, self.block.recipe
        around = self._around - NUMBERS * block.tokens + block.entering + self._copies
        activations = around + block.entering + block.quiet - block.held_copies
        yield self._load() | {"activations": activations, "kv_cache": self._cache(recipe.seq_len, layers)}
        if recipe.new_tokens > 1:
            tokens = recipe.seq_len + recipe.new_tokens - 1
            cache = self._cache(tokens, layers) + self._cache(tokens, 1)  # a layer's cache is copied to grow
            yield self._load() | {"activations": self._copies, "kv_cache": cache}

    def _answering(self) -> Moment:
        block, model, recipe = self.block, self.block.model, self.block.recipe
        tokens = recipe.seq_len + max(0, recipe.new_tokens - 1)
        return self._load() | {
            "activations": self._around + self._normed + self._copies + self._head_copies,
            "logits": recipe.micro_batch * model.vocab * block.widths.compute * model.causal,
            "kv_cache": self._cache(tokens, model.layers),
        }
