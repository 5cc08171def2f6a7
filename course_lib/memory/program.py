"""A training program as it is: a live model, a loss function, the shape of a batch; run once without numbers.

Where `trace` builds a model from a config, here a model exists already, with whatever was done to it, and its loss is a
function that nobody here has seen. A copy of the model is made whose tensors hold no numbers, at the cost of its Python
objects only, and one micro-batch goes forward and backward through it while every allocation is written down. The model
itself is not touched: what a forward pass changes in a module, it changes in the copy.

Two things remain visible to a program: its loss function is called once more, and what that call puts away somewhere
outside the model is a tensor without numbers.

Left out: optimizers other than AdamW in 32 and in 8 bits.
"""

from __future__ import annotations

import copy
import gc
import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from types import CodeType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensorMode
from torch.utils._pytree import tree_map_only

from course_lib import hardware
from course_lib.memory.trace.log import Log
from course_lib.memory.trace.record import Recorder

LIMIT = 50_000  # operations traced; a program of more is not worth the wait
QUANTIZED, BLOCK = 4096, 256  # weights of a tensor from which on its moments are in 8 bits, and of a block of them

Batch = Mapping[str, Any]  # tensors, and of a packed row the lengths in it
Loss = Callable[[Any, Any], Tensor]


@dataclass(frozen=True)
class Program:
    """What a run repeats: one micro-batch through the model and its loss, and the optimizer's step (AdamW).

    ``batch`` has the largest shape that will come; its values are not looked at. ``learned`` are the parameters that
    the optimizer gets (None: all that require gradients), ``precision`` is one of Accelerate's words.
    """

    model: nn.Module
    batch: Batch
    loss: Loss
    learned: tuple[Tensor, ...] | None = None
    precision: str = "no"
    device: str = "cpu"
    accumulate: int = 1
    processes: int = 1
    keeps_best: bool = False  # a copy of what is learned, for early stopping
    optimizer: str = "adamw"  # or "adamw-8bit"

    @property
    def optimized(self) -> list[Tensor]:
        """The parameters that the optimizer moves."""
        if self.learned is not None:
            return list(self.learned)
        return [p for p in self.model.parameters() if p.requires_grad]


class _TooLong(Exception):
    """A program of more operations than are traced."""


def trace(program: Program) -> Log:
    """The log of a program's step on tensors without numbers: load, forward, backward, step.

    Raises whatever the program raises, which with tensors whose values cannot be looked at may be anything.
    """
    with ExitStack() as stack:
        stack.enter_context(_undisturbed())
        mode = stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        known: dict[int, Any] = {}
        model = _hollow(program.model, program.device, mode, known)
        learned = [known[id(p)] for p in program.optimized if id(p) in known]
        batch = {name: _empty(value, program.device) for name, value in program.batch.items()}
        if program.accumulate > 1:  # the batch before has left gradients
            for p in model.parameters():
                p.grad = torch.empty_like(p) if p.requires_grad else None
        if program.precision != "no":  # outputs of a model in mixed precision come back in full
            model.register_forward_hook(lambda _module, _inputs, output: tree_map_only(Tensor, _full, output))
        recorder = stack.enter_context(_Bounded())
        _load(recorder, model)
        _step(recorder, program, model, batch)
        _optimize(recorder, [p for p in learned if p.grad is not None], program.optimizer)
        batch.clear()
        if program.accumulate == 1:
            for p in model.parameters():
                p.grad = None
        return _closed(recorder)


class _Bounded(Recorder):
    """A recorder that gives up on a program that does not end."""

    count = 0

    def __torch_dispatch__(self, *call: Any) -> Any:
        self.count += 1
        if self.count > LIMIT:
            raise _TooLong(f"it has more than {LIMIT} operations")
        return super().__torch_dispatch__(*call)


def _load(recorder: Recorder, model: nn.Module) -> None:
    recorder.cut("load")
    for tensor in [*model.parameters(), *model.buffers()]:
        recorder.part = "weights"
        recorder.see(tensor)
        for inner in _inner(tensor):
            recorder.see(inner)
        recorder.part = "gradients"
        if tensor.grad is not None:
            recorder.see(tensor.grad)


def _step(recorder: Recorder, program: Program, model: nn.Module, batch: Batch) -> None:
    """Forward and backward of one micro-batch."""
    recorder.cut("forward")
    recorder.part = "activations"
    for value in batch.values():
        if isinstance(value, Tensor):
            recorder.see(value)
    with _autocast(program):
        total = program.loss(model, batch)
    recorder.cut("backward")
    recorder.part = "temporary"
    (total * 1.0).backward()
    del total
    for p in model.parameters():
        if p.grad is not None:
            recorder.log.parts[recorder.see(p.grad)] = "gradients"


def standing(program: Program) -> Log:
    """The log of what stays from step to step, which is known without running anything: all but the activations."""
    recorder = Recorder()
    _load(recorder, program.model)
    recorder.cut("backward")
    gradients = [recorder.log.add(_bytes(p), "gradients") for p in program.optimized]
    _optimize(recorder, program.optimized, program.optimizer)
    for gradient in gradients:
        recorder.log.free(gradient)
    return _closed(recorder)


def _optimize(recorder: Recorder, learned: list[Tensor], optimizer: str) -> None:
    """AdamW's state, made at the first step: `_state`, tensor by tensor."""
    recorder.cut("step")
    for p in learned:
        for number in _state(p, optimizer):
            recorder.log.add(number, "optimizer")


def _state(p: Tensor, optimizer: str) -> tuple[int, ...]:
    """The bytes of the tensors that AdamW keeps for one: two moments and, in torch, a count of its steps.

    In 8 bits (bitsandbytes) a moment has one byte a weight and a float32 for each block of them, but small tensors are
    kept in full.
    """
    if optimizer == "adamw":
        return 4, _bytes(p), _bytes(p)
    if p.numel() < QUANTIZED:
        return 4 * p.numel(), 4 * p.numel()
    return 2 * (p.numel(), 4 * -(-p.numel() // BLOCK))


def _closed(recorder: Recorder) -> Log:
    """The log, and an end of watching: that all tensors go now is no part of the program."""
    recorder.close()
    recorder._watch.clear()
    return recorder.log


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _full(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _autocast(program: Program) -> AbstractContextManager[object]:
    if program.precision == "no":
        return nullcontext()
    kind = "cuda" if program.device == "cuda" else "cpu"
    return torch.autocast(kind, getattr(torch, hardware.PRECISIONS[program.precision]))


def _hollow(model: nn.Module, device: str, mode: FakeTensorMode, known: dict[int, Any]) -> nn.Module:
    """A copy of a model whose tensors hold no numbers; ``known`` gets the tensor in the place of each."""
    for tensor in [*model.parameters(), *model.buffers()]:
        if id(tensor) not in known:
            known[id(tensor)] = _hollow_tensor(tensor, device)
    with FakeCopyMode(mode):
        return copy.deepcopy(model, dict(known))


def _hollow_tensor(tensor: Tensor, device: str) -> Tensor:
    fresh = _empty(tensor, device)
    if isinstance(tensor, nn.Parameter):
        fresh = nn.Parameter(fresh, requires_grad=tensor.requires_grad)
        vars(fresh).update(vars(tensor))
        state = getattr(tensor, "quant_state", None)
        if state is not None:  # bitsandbytes: the scales of a quantized matrix
            fresh.quant_state = _hollow_state(state, device)  # type: ignore[attr-defined]
    return fresh


def _hollow_state(state: Any, device: str) -> Any:
    fresh = copy.copy(state)
    for name, value in vars(state).items():
        if isinstance(value, Tensor):
            setattr(fresh, name, _empty(value, device))
    if getattr(state, "state2", None) is not None:
        fresh.state2 = _hollow_state(state.state2, device)
    return fresh


def _inner(tensor: Tensor) -> Iterator[Tensor]:
    state = getattr(tensor, "quant_state", None)
    while state is not None:
        yield from (value for value in vars(state).values() if isinstance(value, Tensor))
        state = getattr(state, "state2", None)


def _empty(value: Any, device: str) -> Any:
    """A tensor of the same shape and type without numbers; anything else as it is."""
    if not isinstance(value, Tensor):
        return value
    return torch.empty(value.shape, dtype=value.dtype, device="cuda" if device == "cuda" else "cpu")


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Random numbers go on where they were, nothing is said, and garbage is collected later."""
    states, collects = (random.getstate(), np.random.get_state()), gc.isenabled()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    gc.disable()
    try:
        with torch.random.fork_rng(devices=list(devices)), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        if collects:
            gc.enable()


# -- what makes two programs the same ----------------------------------------------------------------------------------


def identity(program: Program) -> Any:
    """A value that is equal for programs that allocate the same."""
    model = program.model
    tensors = tuple((name, p.shape, p.dtype, p.requires_grad) for name, p in model.named_parameters())
    buffers = tuple((name, b.shape, b.dtype) for name, b in model.named_buffers())
    modules = tuple((type(m), _plain(m), _plain(getattr(m, "config", None))) for m in model.modules())
    batch = tuple((name, t.shape, t.dtype) for name, t in program.batch.items() if isinstance(t, Tensor))
    places = {id(p): k for k, p in enumerate(model.parameters())}
    learned = tuple(sorted(places.get(id(p), -1) for p in program.optimized))
    texts = tuple(program.batch.get("lengths", ()))
    rest = (texts, program.precision, program.device, program.accumulate > 1, program.optimizer)
    return (tensors, buffers, modules, batch, learned, _traits(program.loss), rest)


def _plain(thing: Any) -> tuple[tuple[str, Any], ...]:
    """The switches and numbers among the attributes of an object."""
    known = getattr(thing, "__dict__", {})
    return tuple(sorted((k, v) for k, v in known.items() if isinstance(v, bool | int | float | str)))


def _traits(value: Any, depth: int = 4) -> Any:
    """What tells one loss function from another: its code, and the plain values and functions that it holds on to."""
    if isinstance(value, bool | int | float | str | None | CodeType):
        return value
    if depth == 0:
        return type(value)
    code = getattr(value, "__code__", None)
    if code is None:
        return (type(value), _plain(value), _traits(getattr(value, "func", None), depth - 1))
    cells = [cell.cell_contents for cell in getattr(value, "__closure__", None) or () if _filled(cell)]
    held = [*cells, *(getattr(value, "__defaults__", None) or ())]
    return (code, tuple(_traits(inner, depth - 1) for inner in held))


def _filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True
