"""What GPUs have: memory that is really usable, bandwidth, rates, and what an hour costs.

Three numbers are smaller than the box says. A "16 GB" T4 reports 14.56 GiB: error correction and the driver keep the
rest. Of those, a process holds 0.1 to 0.5 GiB for its CUDA context before its first tensor. And rates are printed with
"sparsity", which doubles them and which nobody has: here are the dense ones.

    free for tensors = usable - context

`assets/gpus.toml` has the table, with the message or data sheet behind every number. `this_machine` is what the course
runs on: the real card, completed from the table where its kind is known, or the main memory.

Left out: links between GPUs, clocks under load, AMD and Apple.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from course_lib import hardware
from course_lib.memory import tables

GIB = 2**30
# Resident memory of Python 3.11 with torch 2.13 and transformers 5.23 imported, on Linux: 0.24 GiB.
PROCESS = int(0.24 * GIB)
UNKNOWN_CONTEXT = int(0.5 * GIB)  # the largest of the table: for a card that is not in it


@dataclass(frozen=True)
class GPU:
    """One kind of GPU, or the main memory of a machine without one. Sizes are in bytes; 0 means not known."""

    name: str
    title: str
    memory: int  # as sold
    usable: int  # what torch reports as the total
    context: int  # held by a process besides its tensors
    bandwidth: float = 0.0  # bytes per second
    fp32: float = 0.0  # FLOP per second, dense, without tensor cores
    fp16: float = 0.0  # with tensor cores where there are any
    bf16: float = 0.0  # 0: not in hardware
    capability: tuple[int, int] = (0, 0)
    watts: float = 0.0
    dollars_per_hour: float = 0.0  # on demand; an assumption, dated in `price_source`
    source: str = ""  # of `usable`
    context_source: str = ""
    rates_source: str = ""
    price_source: str = ""
    device: tuple[str, ...] = ()  # how torch's name of the card begins or what it contains
    also: tuple[str, ...] = ()

    @property
    def is_cuda(self) -> bool:
        """Whether this is a CUDA card, with an allocator and a context of its own; main memory is none."""
        return self.capability > (0, 0)

    @property
    def free(self) -> int:
        """Bytes that are there for tensors."""
        return self.usable - self.context

    def rate(self, precision: str) -> float:
        """FLOP per second at which matrices are multiplied in "fp32", "fp16" or "bf16"; 0 where unknown.

        Where bf16 is not in hardware it is emulated in fp32.
        """
        found = {"fp32": self.fp32, "fp16": self.fp16, "bf16": self.bf16}[precision]
        return found or self.fp32


@functools.cache
def gpus() -> Mapping[str, GPU]:
    """All GPUs by name, in the order of the table."""
    return MappingProxyType({name: _gpu(name, entry) for name, entry in tables.read("gpus.toml").items()})


def gpu(name: str) -> GPU:
    """The GPU of this name, whatever its case. Raises CourseError naming what comes near.

    >>> round(gpu("T4").free / 2**30, 2)  # GiB of 16
    14.43
    """
    wanted = name.strip().lower()
    for entry in gpus().values():
        if wanted in (entry.name, *entry.also):
            return entry
    raise tables.unknown("GPU", name, gpus())


def this_machine() -> GPU:
    """What a run here has: the CUDA card, or the main memory that this process may use.

    ``usable`` is what is there now: without what other processes hold, and with what this one holds already.
    """
    found = hardware.detect()
    if found.device != "cuda" or found.gpu_total is None or found.gpu_free is None:
        return main_memory(found, _resident())
    import torch

    return real_card(found, int(torch.cuda.memory_reserved()))


def main_memory(found: hardware.Hardware, resident: int) -> GPU:
    """The memory of a machine without a CUDA GPU, of which this process holds ``resident`` bytes."""
    return GPU(
        name="cpu",
        title=f"main memory ({found.cpu})",
        memory=found.ram_total,
        usable=min(found.ram_total, found.ram_free + resident),
        context=PROCESS,
        source="the system's free memory, or the limit of the container",
    )


def real_card(found: hardware.Hardware, reserved: int) -> GPU:
    """The card of this machine, of which torch holds ``reserved`` bytes in this process."""
    total, free = found.gpu_total or 0, found.gpu_free or 0
    known = recognise(found.device_name, total)
    entry = known or GPU(
        name=found.device_name.lower().replace(" ", "-"),
        title=found.device_name,
        memory=total,
        usable=total,
        context=UNKNOWN_CONTEXT,
        capability=found.capability or (0, 0),
    )
    others = max(0, total - free - reserved - entry.context)
    return dataclasses.replace(entry, usable=total - others, source="this machine")


def recognise(device_name: str, total: int) -> GPU | None:
    """The entry for a card that torch calls ``device_name`` and that has ``total`` bytes; None if there is none.

    The longest name that fits counts ("NVIDIA A10G" is no "NVIDIA A10"), and of cards of one name the one whose memory
    is within a tenth.
    """
    fitting = [
        (len(part), entry)
        for entry in gpus().values()
        for part in entry.device
        if part in device_name and abs(entry.usable - total) < 0.1 * entry.usable
    ]
    return max(fitting, key=lambda pair: pair[0])[1] if fitting else None


def _gpu(name: str, entry: dict[str, Any]) -> GPU:
    """One entry of the table in the units of the dataclass."""
    sizes: dict[str, Any] = {key: round(entry.pop(f"{key}_gib") * GIB) for key in ("memory", "usable", "context")}
    rates: dict[str, Any] = {key: entry.pop(key) * 1e12 for key in ("fp32", "fp16", "bf16")}
    major, minor = entry.pop("capability")
    return GPU(
        name=name,
        capability=(major, minor),
        device=tuple(entry.pop("device")),
        also=tuple(entry.pop("also", ())),
        bandwidth=entry.pop("bandwidth") * 1e9,
        dollars_per_hour=entry.pop("dollars"),
        **sizes,
        **rates,
        **entry,
    )


def _resident() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)
