"""One training step (or one generation) of a traced model, cut into segments."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.checkpoint import checkpoint

from course_lib.memory.recipe import Recipe
from course_lib.memory.trace import optimizer
from course_lib.memory.trace.build import DTYPES, Traced, build, materialize, quietly, recomputing, states
from course_lib.memory.trace.gpu import OnGPU
from course_lib.memory.trace.log import OUTSIDE, Log
from course_lib.memory.trace.optimizer import Learned
from course_lib.memory.trace.record import Recorder


def record(
    config: Any, recipe: Recipe, layers: int | None, *, causal: bool, capability: tuple[int, int] | None = (8, 0)
) -> Log:
    """The log of one run of a model of so many blocks (None: all of them), first step included.

    ``capability`` is the compute capability of the GPU whose kernels would run; None: this processor's.
    """
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(quietly())
        stack.enter_context(_no_collection())
        stack.enter_context(_one_sequence_per_row())
        traced = build(config, recipe, layers, causal=causal)
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        if capability:
            stack.enter_context(OnGPU(capability))
        materialize(traced.model)
        recorder = stack.enter_context(Recorder())
        run = _Run(traced, recipe, recorder)
        run.load()
        if recipe.trains:
            run.train()
        else:
            run.infer()
        recorder.close()
        return recorder.log


@contextmanager
def _no_collection() -> Iterator[None]:
    """Storages must die when their last reference goes, not when the garbage collector happens to come by."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def _one_sequence_per_row() -> Iterator[None]:
    """transformers looks into the positions for rows of several sequences; fake positions cannot be looked at."""
    from transformers import masking_utils

    with patch.object(masking_utils, "find_packed_sequence_indices", lambda *_, **__: None):
        yield


class _Run:
    def __init__(self, traced: Traced, recipe: Recipe, recorder: Recorder) -> None:
        self.traced, self.recipe, self.recorder = traced, recipe, recorder
        self.phase = "load"
        within = {id(p): i for i, block in enumerate(traced.blocks) for p in block.parameters()}
        self.places = {id(p): within.get(id(p), OUTSIDE) for p in traced.model.parameters()}  # parameter -> its block
        self.left: Tensor | None = None  # the loss of the step before, in programs that keep it

    def cut(self, phase: str, block: int = OUTSIDE, name: str = "") -> None:
        self.phase = phase
        self.recorder.cut(phase, block, name)

    # -- load --------------------------------------------------------------------------------------------------------

    def load(self) -> None:
        """Every tensor of the model, in the order of its modules, those of a block in the block's segment."""
        place: dict[int, int] = {id(m): i for i, block in enumerate(self.traced.blocks) for m in block.modules()}
        current: int | None = None
        counted: set[int] = set()
        for module in self.traced.model.modules():
            tensors = [*module.parameters(recurse=False), *module.buffers(recurse=False), *states(module)]
            if not tensors:
                continue
            block = place.get(id(module), OUTSIDE)
            if block != current:
                self.cut("load", block, "head" if current not in (None, OUTSIDE) and block == OUTSIDE else "weights")
                current = block
            self._count(module, block, counted)
            for tensor in tensors:
                self.recorder.part = "adapters" if self._added(tensor) else "weights"
                self.recorder.see(tensor)

    def _count(self, module: nn.Module, block: int, counted: set[int]) -> None:
        """Add a module's own parameters to the block's; four bits are a parameter, and a shared matrix counts once."""
        total, learned = self.recorder.log.counts.get(block, (0, 0))
        for p in module.parameters(recurse=False):
            if id(p) not in counted:
                counted.add(id(p))
                state = getattr(p, "quant_state", None)
                values = state.shape.numel() if state is not None else p.numel()
                total, learned = total + values, learned + p.numel() * p.requires_grad
        self.recorder.log.counts[block] = (total, learned)

    def _added(self, tensor: Tensor) -> bool:
        return self.recipe.adapts and tensor.requires_grad

    # -- training ----------------------------------------------------------------------------------------------------

    def train(self) -> None:
        again = self.recipe.accumulate > 1 or self.traced.lingers
        for k in range(2 if again else 1):
            if k:  # gradients are there already: what the first micro-batch did is not what has the peak
                self._forget()
            self._one()
        self._step()

    def _forget(self) -> None:
        """Drop the first micro-batch from the log, except for the gradients that it left and what else lingers."""
        recorder = self.recorder
        if self.recipe.accumulate == 1:
            self._zero()
        kept = {recorder.see(p.grad) for _, p in self.traced.learned if p.grad is not None}
        loaded = max(s.end for s in recorder.log.segments if s.phase == "load")
        recorder.close()
        alive: dict[int, int] = {}  # storage -> the block whose pass made it
        for segment in recorder.log.segments:
            for event in recorder.log.events[segment.start : segment.end] if segment.start >= loaded else ():
                if event >= 0:
                    alive[event] = segment.block
                else:
                    alive.pop(~event, None)
        events = recorder.log.events[:loaded]
        segments = [s for s in recorder.log.segments if s.phase == "load"]
        recorder.log.events, recorder.log.segments = events, segments
        for block in [*range(len(self.traced.blocks)), OUTSIDE]:
            self.cut("forward", block, "gradients")
            for _, p in self.traced.learned:
                if self.places[id(p)] == block and p.grad is not None:
                    number = recorder.see(p.grad)
                    recorder.log.parts[number] = "gradients"
                    recorder.log.events.append(number)
            recorder.log.events.extend(n for n, home in alive.items() if home == block and n not in kept)

    def _zero(self) -> None:
        for _, p in self.traced.learned:
            p.grad = None

    def _one(self) -> None:
        """Forward and backward of one micro-batch."""
        recipe, recorder = self.recipe, self.recorder
        recorder.part = "activations"
        self.cut("forward", OUTSIDE, "before")
        ids = torch.zeros(recipe.micro_batch, recipe.seq_len, dtype=torch.long)
        labels = ids.clone() if self.traced.causal else torch.zeros(recipe.micro_batch, dtype=torch.long)
        with self._watching():
            with _autocast(recipe):
                loss = self._loss(ids, labels)
            self.left = loss if self.traced.lingers else None  # what the step before left goes only now
            self.cut("backward", OUTSIDE, "before")
            recorder.part = "temporary"
            loss.backward()
            self.cut("backward", OUTSIDE, "done")  # what hangs on the loss goes with it, whichever block made it
            del loss
        for _, p in self.traced.learned:
            if p.grad is not None:
                recorder.log.parts[recorder.see(p.grad)] = "gradients"

    def _loss(self, ids: Tensor, labels: Tensor) -> Tensor:
        if self.traced.loss:
            return self.traced.loss(ids, labels)
        if self.recipe.chunked_loss and self.traced.causal:
            return self._chunked(ids, labels)
        result = self.traced.model(input_ids=ids, labels=labels)
        return result.loss

    def _chunked(self, ids: Tensor, labels: Tensor) -> Tensor:
        """The loss with the logits of one chunk alive at a time, in the forward pass and in the backward pass."""
        head = self.traced.head
        model: Any = self.traced.model
        model = model.get_base_model() if hasattr(model, "get_base_model") else model
        base = model.get_decoder()
        hidden = base(input_ids=ids).last_hidden_state
        self.cut("loss", OUTSIDE, "")
        self.recorder.part = "logits"
        hidden, targets = hidden.flatten(0, 1), labels.flatten()

        def part(h: Tensor, t: Tensor) -> Tensor:
            logits = head(h)
            return F.cross_entropy(logits.float() if self.recipe.upcast_logits else logits, t, reduction="sum")

        chunks = zip(hidden.split(self.recipe.chunked_loss), targets.split(self.recipe.chunked_loss), strict=True)
        losses = [checkpoint(part, h, t, **recomputing()) for h, t in chunks]
        return torch.stack(losses).sum()

    @contextmanager
    def _watching(self) -> Iterator[None]:
        """Hooks that say which block the run is in."""
        hooks = []
        last = len(self.traced.blocks) - 1

        def entering(i: int) -> Any:
            def hook(_: nn.Module, args: Any, kwargs: Any = None) -> None:
                if self.phase != "forward":
                    return  # a block that is computed again belongs to the backward pass
                if i == 0:
                    self._on_gradient(args[0] if args else kwargs["hidden_states"], OUTSIDE, "after")
                self.cut("forward", i)

            return hook

        def leaving(i: int) -> Any:
            def hook(_: nn.Module, args: Any, output: Any) -> None:
                if self.phase != "forward":
                    return
                self._on_gradient(output[0] if isinstance(output, tuple) else output, i, "")
                if i == last:
                    self.cut("forward", OUTSIDE, "after")

            return hook

        def counting(*_: Any) -> None:
            if self.phase == "forward":
                self.cut("loss")
                self.recorder.part = "logits"

        for i, block in enumerate(self.traced.blocks):
            hooks.append(block.register_forward_pre_hook(entering(i), with_kwargs=True))
            hooks.append(block.register_forward_hook(leaving(i)))
        hooks.append(self.traced.head.register_forward_pre_hook(counting))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _on_gradient(self, tensor: Tensor, block: int, name: str) -> None:
        """Begin a backward segment when the gradient of a tensor is complete."""
        if tensor.requires_grad:
            tensor.register_hook(lambda _: self.cut("backward", block, name))

    def _step(self) -> None:
        """The optimizer's first step; its later ones only lack the allocation of the state."""
        learned = [Learned(self.places[id(p)], tuple(p.shape), p.element_size()) for _, p in self.traced.learned]
        optimizer.first_step(learned, self.recipe, self.recorder)
        self.cut("step", OUTSIDE, "zero")
        self._zero()
        self.left = self.traced.loss = None

    # -- inference ---------------------------------------------------------------------------------------------------

    def infer(self) -> None:
        """Reading the prompt, then the last of the generated tokens, when the cache is longest."""
        from transformers import DynamicCache

        recipe, recorder, model = self.recipe, self.recorder, self.traced.model
        with torch.no_grad(), self._watching(), _autocast(recipe):
            recorder.part = "activations"
            self.cut("forward", OUTSIDE, "before")
            ids = torch.zeros(recipe.micro_batch, recipe.seq_len, dtype=torch.long)
            if not self.traced.causal:
                model(input_ids=ids)
                return
            cache = DynamicCache(config=model.config)
            last = {"past_key_values": cache, "use_cache": True, "logits_to_keep": 1}
            model(input_ids=ids, **last)
            self._mark(cache)
            if recipe.new_tokens > 1:
                self._grow(cache, recipe.new_tokens - 2)
                self.cut("forward", OUTSIDE, "the last token")
                recorder.part = "activations"
                model(input_ids=ids[:, :1], **last)
                self._mark(cache)

    def _grow(self, cache: Any, tokens: int) -> None:
        """What the tokens between the first and the last add to the cache, block by block as a decoder does it."""
        for i, layer in enumerate(cache.layers):
            self.cut("forward", i, "in between")
            batch, heads, _, width = layer.keys.shape
            cache.update(*(layer.keys.new_empty(batch, heads, tokens, width) for _ in range(2)), i)
        self._mark(cache)

    def _mark(self, cache: Any) -> None:
        for layer in cache.layers:
            for tensor in (layer.keys, layer.values):
                self.recorder.log.parts[self.recorder.see(tensor)] = "kv_cache"


@contextmanager
def _autocast(recipe: Recipe) -> Iterator[None]:
    """The recipe's autocast. peft asks whether CUDA's is on, so that is said as well where a GPU is meant."""
    if not recipe.autocasts:
        yield
        return
    before = torch.is_autocast_enabled("cuda")
    torch.set_autocast_enabled("cuda", bool(OnGPU.active))
    try:
        with torch.autocast("cpu", DTYPES[recipe.compute]):
            yield
    finally:
        torch.set_autocast_enabled("cuda", before)
