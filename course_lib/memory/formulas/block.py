"""The fullest moments inside one block, on the way there and back.

`kept` says what stays. A peak needs more: while the MLP runs, its inner tensors exist beside what was kept before, and
on the way back their gradients exist beside what has not been given back yet. A few moments are enough for nearly every
peak, and each is a short sum:

    forward       the last linear layer of the MLP has run, its adapter is being added
    quiet         the same where nothing is kept: in inference, in frozen blocks, in checkpointed ones
    backward      the gradient of the MLP's product meets those of its two factors
    recomputed    a checkpointed block: forward again, then backward
    ...           and in each of them attention, where no kernel is fused: S x S numbers for every head

All are bytes above what was there when the block began. Left out: what a norm holds for a moment, which is less than
what the MLP does in every family known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from course_lib.memory.architecture import Linear
from course_lib.memory.formulas.kept import Kept
from course_lib.memory.formulas.kernels import EAGER, PLAIN
from course_lib.memory.formulas.widths import quantized


@dataclass(frozen=True)
class Block(Kept):
    """A block that runs. All answers are bytes."""

    # -- forward -------------------------------------------------------------------------------------------------------

    @cached_property
    def forward(self) -> int:
        """The fullest moment of a forward pass that keeps what the backward pass needs."""
        before = self.kept_bytes - self.mlp_kept + self._normed
        before += 0 if self.stream_kept or not self.model.causal else self.entering
        attention = self._through_attention(self._normed)
        return max(attention, self._through_mlp(before, keeps=True), self.kept_bytes + 2 * self.entering)

    @cached_property
    def quiet(self) -> int:
        """The fullest moment of a forward pass that keeps nothing but autocast's copies of weights."""
        beside = self.entering if self.model.causal else 0  # an encoder's norm gives the stream itself
        if self.model.parallel:
            beside = self.stream * self.widths.outer  # attention's result
        attention = self._through_attention(self._normed)
        return self.held_copies + max(attention, self._through_mlp(self._normed + beside, keeps=False))

    @cached_property
    def _normed(self) -> int:
        return self.stream * self.widths.normed

    def unpacked(self, linear: Linear) -> int:
        """A four-bit matrix while it is multiplied."""
        return self.widths.compute * linear.inputs * linear.outputs * quantized(self.model, self.recipe)

    def _running(self, linear: Linear, wide: int) -> int:
        """A linear layer and its adapter at work on numbers ``wide`` bytes wide, above what was there before."""
        widths, tokens = self.widths, self.tokens
        output = tokens * linear.outputs * (widths.inner if wide != widths.compute else widths.outer)
        unpacking = self.unpacked(linear)
        if unpacking and wide > widths.compute:  # its input is narrowed, its output widened again
            narrow = (
                tokens * linear.outputs * widths.compute if output > tokens * linear.outputs * widths.compute else 0
            )
            unpacking = max(unpacking, narrow) + tokens * linear.inputs * widths.compute
        if not self.adapted(linear):
            return output + unpacking
        # Without autocast and dropout the copy in the adapter's width is what is kept, and counted as that.
        passing = widths.adapter > wide and (self.recipe.autocasts or self.recipe.lora_dropout > 0)
        copies = self.copied(linear) + passing * tokens * linear.inputs * widths.adapter
        added = tokens * linear.outputs * widths.added
        return max(output + unpacking, output + copies + added + max(added, output))

    def _through_mlp(self, base: int, *, keeps: bool) -> int:
        """The fullest moment of the MLP in a forward pass, which finds ``base`` there."""
        model, inner = self.model, self.inner
        *inward, back = model.mlp_linears
        top = live = base
        for i, linear in enumerate(inward):
            top = max(top, live + self._running(linear, self.widths.normed))
            live += self.copied(linear) * keeps + inner * (linear.outputs // model.intermediate)
            if i == 0 and model.gated and (keeps or len(inward) == 1):
                live += inner  # the gate stays beside its activation
        top = max(top, live + self._activating(keeps))
        if keeps:
            live = base + self.mlp_kept - self.copied(back) - self.kept.get("mlp inputs", 0)
            live += 0 if self.kept.get("down inputs") else inner
        else:  # the product alone, or beside the two halves that one matrix gave
            live = base + inner * (3 if model.gated and len(inward) == 1 else 1)
        return max(top, live + self._running(back, self.widths.inner))

    def _activating(self, keeps: bool) -> int:
        """What the activation makes of its input: a tensor, or the steps of a GELU that is spelled out.

        These are 0.5 x, x**3, two sums, tanh, 1 + tanh and the product, of which four exist at a time. Where autocast
        cubes in fp32, what follows is fp32 too: 2 + 4 * 4 bytes per number if all is kept, less if not.
        """
        if self.activation != "gelu-python":
            return self.inner
        if self.cubed:
            return self.tokens * self.model.intermediate * (18 if keeps else 11)
        return 3 * self.inner

    def _through_attention(self, base: int) -> int:
        """The fullest moment of attention in a forward pass, which finds ``base`` there."""
        widths, queries = self.widths, self.queries
        *inward, back = self.model.attention_linears
        outputs = self.tokens * widths.inner * sum(linear.outputs for linear in inward)
        rotating = outputs + 3 * queries * widths.inner
        running = max(self._running(linear, widths.normed) for linear in inward)
        joined = outputs + queries * widths.compute + self._running(back, widths.compute)
        return base + max(rotating, running, joined, outputs + self._scoring())

    def _scoring(self) -> int:
        """Scores on the way to their softmax, with what a plain kernel copies: nothing where a kernel is fused."""
        model, narrow = self.model, self.widths.compute
        if self.kernel == EAGER:
            steps = 3 if model.model_type == "falcon" else 2  # Falcon keeps a name for the scores without their mask
            per_score = steps * narrow + bool(model.attention_dropout)
            if self._upcast:
                per_score = 8 + (narrow if narrow < 4 else 0)
            return 2 * self.queries * narrow + per_score * self.scores
        if self.kernel == PLAIN:
            per_score = 8 + 8 * bool(model.attention_dropout)
            return 12 * self.queries + per_score * self.scores + 4 * self.length**2
        return 0

    @cached_property
    def _upcast(self) -> bool:
        return self.layer.softmax_upcast or self.recipe.autocasts

    # -- backward ------------------------------------------------------------------------------------------------------

    @cached_property
    def backward(self) -> int:
        """The fullest moment of the backward pass, above all that the forward pass kept."""
        return max(self._arriving, self._multiplied, self._widened_gradient, self._back_through_attention())

    @cached_property
    def recomputed(self) -> int:
        """The fullest moment of a checkpointed block's backward pass, above its checkpoint."""
        there = self.entering if self.stream_kept else 0
        return max(self.forward, self.kept_bytes + self.backward) - there

    @cached_property
    def _product_kept(self) -> int:
        """The MLP's product, and an adapter's copy of it: given back as soon as the last layer is differentiated."""
        return self.kept.get("down inputs", 0) + self.copied(self.model.mlp_linears[-1])

    @cached_property
    def _last_gradient(self) -> int:
        """The gradient of the MLP's last matrix, where it learns; under autocast still in 16 bits."""
        last = self.model.mlp_linears[-1]
        return 0 if self.recipe.adapts else self.widths.compute * last.inputs * last.outputs

    @cached_property
    def _arriving(self) -> int:
        """The gradient of the MLP's product; beside an adapter it comes twice, once in the adapter's width."""
        last, inner = self.model.mlp_linears[-1], self.inner
        if not self.adapted(last):
            return inner + self.unpacked(last) + self._last_gradient
        numbers = self.tokens * last.inputs
        narrow = numbers * self.widths.compute if inner > numbers * self.widths.compute else 0
        third = 0 if self.copies else inner  # of a view the two are added up into a new tensor, of a cast in place
        sums = 2 * inner + max(self.unpacked(last), third, narrow) - self._product_kept
        return max(numbers * self.widths.adapter, sums)

    @cached_property
    def _multiplied(self) -> int:
        """The product's gradient and those of its factors, or of the steps of an activation that is spelled out."""
        steps = {"relu": 0, "gelu-python": 6 if self.cubed else 2}.get(self.activation, 1)
        factors = max(steps, 2 * self.model.gated)
        return self.inner * (1 + factors) - self._product_kept + self._last_gradient

    @cached_property
    def _widened_gradient(self) -> int:
        """The gradient at an fp32 adapter of the MLP's first layer: as it came, in fp32, and times the scale."""
        first, widths = self.model.mlp_linears[0], self.widths
        if not self.adapted(first) or widths.added <= widths.inner:
            return 0
        given_back = self.mlp_kept - self.copied(first)
        return self.tokens * first.outputs * (widths.inner + 2 * widths.added) - given_back

    def _back_through_attention(self) -> int:
        """Attention's backward pass, when the MLP has given everything back and left the gradients of its weights."""
        widths, narrow = self.widths, self.widths.compute
        learned = sum(linear.parameters for linear in self.model.mlp_linears) * (not self.recipe.adapts)
        base = widths.held * learned - self.mlp_kept + self.entering
        if self.kernel == EAGER:
            per_score = narrow * (1 if self.model.attention_dropout else 2)
            if self._upcast:
                per_score = 8 - (narrow if narrow < 4 else 0)
            return base + per_score * self.scores + self.queries * narrow
        if self.kernel == PLAIN:
            return base + 8 * self.scores
        accumulator = 4 if narrow < 4 else 0  # fused kernels sum the queries' gradients up in fp32
        return base + self.queries * (4 * narrow + accumulator)
