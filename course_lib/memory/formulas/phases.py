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
from course_lib.memory.formulas.block import EAGER, Block
from course_lib.memory.formulas.share import Moment, Share
from course_lib.memory.formulas.state import State
from course_lib.memory.recipe import WIDTH, Recipe

NUMBERS = 8  # bytes of a token's number, and of its label


def fullest(moments: Iterable[Moment]) -> Moment:
    """The moment with the most bytes."""
    return max(moments, key=lambda moment: sum(moment.values()))


@dataclass(frozen=True)
class Phases:
    """A run, phase by phase. ``shared``: the recipe with what a method of sharding changes about precision undone."""

    block: Block
    state: State
    shared: Recipe

    def moments(self) -> dict[str, Moment]:
        """The fullest moment of every phase."""
        share = Share(self.state, self.shared)
        if self.block.recipe.trains:
            found: dict[str, Iterable[Moment]] = {"load": [self._load()], "forward": self._forward()}
            found |= {"loss": [self._loss()], "backward": self._backward(), "step": [self._step()]}
        else:
            found = {"load": [self._load()], "forward": self._generating(), "loss": [self._answering()]}
        return {phase: fullest(share.of(moment, phase) for moment in moments) for phase, moments in found.items()}

    # -- what all phases share -----------------------------------------------------------------------------------------

    def _load(self) -> Moment:
        return {"weights": self.state.weights, "adapters": self.state.adapters}

    @cached_property
    def static(self) -> Moment:
        """From the second step on: the optimizer's state is there, and the gradients of earlier micro-batches."""
        gradients = self.state.gradients if self.block.recipe.accumulate > 1 else 0
        return self._load() | {"optimizer": self.state.optimizer, "gradients": gradients}

    def _with(self, **parts: int) -> Moment:
        moment = dict(self.static)
        for part, size in parts.items():
            moment[part] = moment.get(part, 0) + size
        return moment

    @cached_property
    def walked(self) -> int:
        """Blocks that the gradient passes through: the last ones."""
        model, recipe = self.block.model, self.block.recipe
        return recipe.blocks if recipe.method == "last-n" else model.layers

    @cached_property
    def _stream(self) -> int:
        return self.block.tokens * self.block.model.hidden

    @cached_property
    def _around(self) -> int:
        """Numbers of tokens, rotary tables, masks: what all blocks share."""
        block, model = self.block, self.block.model
        width = block.widths.stream
        shared = 2 * NUMBERS * block.tokens
        if not model.learned_positions:
            shared += 2 * block.length * model.head_dim * width
        if block.masks:
            shared += block.masks * block.length**2 * (1 if model.model_type == "falcon" and block.kernel != EAGER else width)
        if model.dropout and model.learned_positions:
            shared += self._stream  # the mask of the embeddings' dropout
        return shared

    @cached_property
    def _kept_per_block(self) -> int:
        return self.block.entering if self.block.recipe.checkpointing else self.block.kept_bytes

    @cached_property
    def _kept(self) -> int:
        """What all blocks keep at the end of the forward pass, before autocast ends."""
        block = self.block
        less = 0 if block.recipe.checkpointing else block.kept_bytes - block.first_kept
        return self.walked * self._kept_per_block - less * (self.walked == block.model.layers)

    @cached_property
    def _cached_copies(self) -> int:
        """Autocast's 16-bit copies of weights that learn, which live until it ends."""
        return self.block.held_copies * self.walked * self.block.recipe.checkpointing

    # -- phases --------------------------------------------------------------------------------------------------------

    def _forward(self) -> Iterable[Moment]:
        block, layers = self.block, self.block.model.layers
        entering, embedded = block.entering, self._stream * block.widths.stream
        around = self._around + embedded
        if self.walked < layers:
            yield self._with(activations=around + entering + block.quiet)
        passing = entering if not block.stream_kept else 0
        if block.recipe.checkpointing:
            inside = block.quiet + self._cached_copies - block.held_copies
            yield self._with(activations=around + (self.walked - 1) * entering + inside)
        else:
            yield self._with(activations=around + self._kept - self._kept_per_block + passing + block.forward)
        norm = self._stream * (8 + 2 * block.widths.normed) if block.model.norm == "rms" else self._normed
        yield self._with(activations=around + self._kept + self._cached_copies + entering + norm)

    @cached_property
    def _normed(self) -> int:
        return self._stream * self.block.widths.normed

    @cached_property
    def _last_norm(self) -> int:
        """What the norm behind the last block keeps."""
        block, widths = self.block, self.block.widths
        if not block.model.causal:
            return 0
        if block.model.norm == "layer":
            return self._stream * (4 if block.recipe.autocasts else widths.stream)
        product = 0 if not self._learns_outside else widths.stream if block.layer.norm == "rms" else 4
        return self._stream * (4 + product)

    @cached_property
    def _learns_outside(self) -> bool:
        return self.block.recipe.method == "full"

    @cached_property
    def _head_copies(self) -> int:
        """Of the head under autocast: a 16-bit copy of its matrix, if that is held in 32, and of its input."""
        block, model = self.block, self.block.model
        if not block.recipe.autocasts or not model.causal:
            return 0
        weight = block.widths.compute * model.vocab * model.embedding if block.widths.held == 4 else 0
        reads = self._learns_outside and block.widths.normed == 4
        return weight + self._stream * block.widths.compute * reads

    def _logits(self, phase: str) -> int:
        block, recipe, model = self.block, self.block.recipe, self.block.model
        if not model.causal:
            return 0
        live = logits_bytes(
            recipe.micro_batch,
            block.length,
            model.vocab,
            block.widths.compute,
            recipe.upcast_logits or not recipe.chunked_loss,
            recipe.chunked_loss,
            phase=phase,
        )
        if phase == "backward":
            live.pop("logits", None)  # a training loop takes the loss and lets the model's output go
        words = min(recipe.chunked_loss or block.tokens, block.tokens) * model.vocab
        capped = (2 if phase == "loss" else 1) * words * block.widths.compute * model.softcap * (not recipe.chunked_loss)
        return sum(live.values()) + capped

    def _loss(self) -> Moment:
        kept = self._around + self._kept + self._cached_copies + self._last_norm + self._normed + self._head_copies
        return self._with(activations=kept, logits=self._logits("loss"))

    def _backward(self) -> Iterable[Moment]:
        block, state, model = self.block, self.state, self.block.model
        kept = self._around + self._kept
        head_input = self._normed * self._learns_outside if not self._head_copies else 0
        tail = self._last_norm + head_input + self._head_copies
        chunked = self._stream * block.widths.compute * bool(block.recipe.chunked_loss)
        yield self._with(activations=kept + tail, logits=0, temporary=self._logits("backward") + chunked)
        fresh = block.recipe.accumulate == 1  # else gradients are there already, and new ones are added to them
        head = state.learned_width * model.vocab * model.embedding if self._learns_outside and model.causal else 0
        words = min(block.recipe.chunked_loss or block.tokens, block.tokens) * model.vocab * model.causal
        adding_up = 2 * head if 0 < block.recipe.chunked_loss < block.tokens else 0  # one chunk's, and the new sum
        read = max(words * block.widths.compute, adding_up)
        yield self._with(activations=kept + tail, temporary=read + chunked, fresh=head)
        growing = state.block_gradients * fresh
        gradient, inside = block.entering, block.backward
        for left in (self.walked, 1):  # blocks whose backward pass is still to come, this one included
            grown = head * fresh + (self.walked - left) * growing
            if block.recipe.checkpointing:
                held = self._around + left * block.entering
                yield self._with(activations=held, temporary=block.recomputed + gradient, gradients=grown)
            else:
                held = self._around + self._kept - (self.walked - left) * self._kept_per_block
                yield self._with(activations=max(held, 0), temporary=inside + gradient, gradients=grown)
        yield self._embedding(fresh)

    def _embedding(self, fresh: bool) -> Moment:
        """The end of the backward pass: the embedding's gradient, which is that of the head too where they are tied."""
        model, state = self.block.model, self.state
        matrix = state.learned_width * model.vocab * model.embedding if self._learns_outside else 0
        # The head's gradient is a view where nothing was cast, and is then added to the embedding's in a third place.
        twice = matrix * (model.tied and model.causal) * (1 if self.block.recipe.autocasts else 2)
        gradient = self.block.entering
        temporary = gradient + twice + matrix * (not fresh)
        done = state.gradients - state.outside_gradients if self._learns_outside else state.gradients
        rest = state.gradients - done
        return self._with(activations=self._around, gradients=done * fresh, fresh=rest * fresh, temporary=temporary)

    def _step(self) -> Moment:
        state = self.state
        return self._load() | {"gradients": state.gradients, "optimizer": state.optimizer, "temporary": state.stepping}

    # -- inference -----------------------------------------------------------------------------------------------------

    def _cache(self, tokens: int, layers: int) -> int:
        block, model, recipe = self.block, self.block.model, self.block.recipe
        if not model.causal:
            return 0
        width = WIDTH[recipe.compute]
        shape = (model.kv_heads, model.head_dim)
        windowed = round(layers * model.window_layers / model.layers)
        full = kv_cache_bytes(layers - windowed, *shape, tokens, recipe.micro_batch, width) if layers > windowed else 0
        if not windowed:
            return full
        return full + kv_cache_bytes(windowed, *shape, min(tokens, block.model.window), recipe.micro_batch, width)

    def _generating(self) -> Iterable[Moment]:
        block, layers, recipe = self.block, self.block.model.layers, self.block.recipe
        copies = block.kept.get("16-bit weights", 0) * layers
        around = self._around - NUMBERS * block.tokens + self._stream * block.widths.stream + copies
        activations = around + block.entering + block.quiet - block.held_copies
        yield self._load() | {"activations": activations, "kv_cache": self._cache(recipe.seq_len, layers)}
        if recipe.new_tokens > 1:
            tokens = recipe.seq_len + recipe.new_tokens - 1
            cache = self._cache(tokens, layers) + self._cache(tokens, 1)  # a layer's cache is copied to grow
            yield self._load() | {"activations": copies, "kv_cache": cache}

    def _answering(self) -> Moment:
        block, model, recipe = self.block, self.block.model, self.block.recipe
        tokens = recipe.seq_len + max(0, recipe.new_tokens - 1)
        words = recipe.micro_batch * model.vocab * block.widths.compute * model.causal
        copies = block.kept.get("16-bit weights", 0) * model.layers + self._head_copies
        return self._load() | {
            "activations": self._around + self._normed + copies,
            "logits": words,
            "kv_cache": self._cache(tokens, model.layers),
        }
