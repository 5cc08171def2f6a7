"""Writing the diary: a dispatch mode that sees every tensor that an operation makes.

Fake tensors (torch.fx/FakeTensorMode) know their shape, type and device and hold no numbers, so a model of 70 billion
parameters runs here in a few hundred megabytes. What an operation returns is recorded when it appears and crossed out
when the last reference to its storage is gone, which is when PyTorch would give the bytes back. What an operation
allocates inside and frees before it returns is invisible to that; the few such places that matter are listed in
`INSIDE`.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from course_lib.memory.trace.log import OUTSIDE, Log, Segment


def _dequantized(args: tuple[Any, ...], output: Tensor) -> int:
    """bitsandbytes multiplies more than a few rows by unpacking the whole matrix first; shape is the third argument."""
    rows = args[0].numel() // args[0].shape[-1]
    return args[2][0] * args[2][1] * output.element_size() if rows > 8 else 0


INSIDE: dict[str, Callable[[tuple[Any, ...], Tensor], int]] = {"bitsandbytes::gemm_4bit": _dequantized}


def _adds_in_place(gradient: Any) -> bool:
    """Whether this is the engine of the backward pass, adding a gradient to one that came before.

    It does so in place where nobody else looks at the first one's storage, except for subclasses of tensors, as fake
    ones are (``can_accumulate_inplace`` in `input_buffer.cpp` of PyTorch).
    """
    if torch.is_grad_enabled() or not torch._C._current_autograd_node() or not isinstance(gradient, Tensor):
        return False
    return torch._C._storage_Use_Count(gradient.untyped_storage()._cdata) == 2  # the tensor's and Python's


class Recorder(TorchDispatchMode):
    """Records what appears and disappears while it is active. ``part`` names what is allocated from now on."""

    def __init__(self) -> None:
        super().__init__()
        self.log = Log()
        self.part = "weights"
        self.numbers: dict[int, int] = {}  # storage's address -> its number
        self._watch: dict[int, weakref.ref] = {}
        self._segment: tuple[str, int, str, int] | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.add.Tensor and _adds_in_place(args[0]):
            func = torch.ops.aten.add_.Tensor
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self.see(leaf)
        inside = INSIDE.get(func._schema.name)
        size = inside(args, result) if inside else 0
        if size:
            self.log.free(self.log.add(size, "temporary"))
        return result

    def see(self, tensor: Tensor) -> int:
        """The number of a tensor's storage, which is recorded now if it is new."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self.numbers:
            number = self.log.add(storage.nbytes(), self.part)
            self.numbers[key] = number
            self._watch[key] = weakref.ref(storage, lambda _: self._gone(key))
        return self.numbers[key]

    def _gone(self, key: int) -> None:
        self._watch.pop(key, None)
        number = self.numbers.pop(key, None)
        if number is not None:
            self.log.free(number)

    # -- segments ----------------------------------------------------------------------------------------------------

    def cut(self, phase: str, block: int = OUTSIDE, name: str = "") -> None:
        """End the current segment and begin another."""
        self.close()
        self._segment = (phase, block, name, len(self.log.events))

    def close(self) -> None:
        """End the current segment."""
        if self._segment:
            phase, block, name, start = self._segment
            self.log.segments.append(Segment(phase, block, name, start, len(self.log.events)))
            self._segment = None

    @contextmanager
    def calling(self, part: str) -> Iterator[None]:
        """Name what is allocated inside."""
        before, self.part = self.part, part
        try:
            yield
        finally:
            self.part = before
