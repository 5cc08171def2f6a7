"""Asked before every training run: will this program, on this machine, have enough memory?

What is about to run is a live model and a loss function that nobody here has seen, so there is no architecture to put
into formulas. Instead that very program is run once on tensors that hold no numbers (`trace`): a copy of the model
whose weights are such tensors, and a batch of the largest shape. The model itself, its gradients and the random numbers
stay as they are; the loss function, though, is called once more than there are batches, and where it looks at values
(there are none) only weights, gradients and the optimizer's state are known beforehand.

    needed  = peak of live bytes - what the model holds already    (on a GPU: the allocator's segments for them)
    refused if needed > available: free main memory, or what other tensors and programs leave of the GPU

An answer takes a few tenths of a second for a model of a few blocks and is kept for the next run of the same program.
Left out: what an evaluation needs, memory that is no tensor, recurrent networks of many hundred steps (each is traced).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from course_lib import hardware
from course_lib.memory.allocator import workspace_bytes
from course_lib.memory.gpus import GPU, this_machine
from course_lib.memory.recipe import Recipe
from course_lib.memory.program import Batch, Program, identity, trace
from course_lib.memory.trace.log import Log, Peak, peaks
from course_lib.memory.traced import reserved, steady

VARIABLE = "COURSE_MEMORY"  # "ignore" leaves the check out whatever a run's settings say
KEPT = 64  # answers kept
SHORTEST = 16  # tokens: no advice to cut texts below that


@dataclass(frozen=True)
class Forecast:
    """What a run will need, all in bytes; ``phases`` has the live bytes by part at each phase's own peak."""

    phases: dict[str, dict[str, int]]
    needed_bytes: int  # beyond what the model holds on the device already, and what the process held before
    base_bytes: int  # held by the process before: resident memory, or tensors on the GPU
    available_bytes: int  # free for this process, beyond what it holds
    added_bytes: int  # live bytes beyond the model's that are on the device: what a meter should show
    unknown: str = ""  # why the activations are not known and not in these numbers
    device: str = "cpu"
    advice: tuple[str, ...] = field(default=())

    @property
    def peak_bytes(self) -> int:
        """The most live bytes of the run's tensors, its weights included."""
        return max(sum(parts.values()) for parts in self.phases.values())

    @property
    def parts(self) -> dict[str, int]:
        """The live bytes by part at the peak."""
        return max(self.phases.values(), key=lambda parts: sum(parts.values()))

    @property
    def fits(self) -> bool:
        """Whether what is needed is there."""
        return self.needed_bytes <= self.available_bytes

    def line(self) -> str:
        """The forecast in a sentence.

        The parts are those of the whole peak; of these the weights are there already.
        """
        place = "GPU memory" if self.device == "cuda" else "memory"
        parts = ", ".join(f"{part} {size(number)}" for part, number in _largest(self.parts))
        what = f"needs {size(self.needed_bytes)} more {place} of {size(self.available_bytes)} free ({parts})"
        return f"{what}; activations are not known: {self.unknown}" if self.unknown else what

    def refusal(self) -> str:
        """Why the run cannot start and what to change."""
        place = "GPU memory" if self.device == "cuda" else "memory"
        parts = ", ".join(f"{part} {size(number)}" for part, number in _largest(self.parts))
        change = "; ".join(self.advice) or "take a smaller model"
        return (
            f"This training needs {size(self.needed_bytes)} more {place} ({parts}), and {size(self.available_bytes)} are"
            f" free: {change}; or try it as it is with TrainConfig(memory='ignore')."
        )


def plan_fit(program: Program, *, accumulate: int | None = None) -> Forecast:
    """What a training run of this program will need, against what is free now; with advice where it does not fit.

    Never raises because of the program: where it cannot be traced, ``unknown`` says why. ``accumulate`` is what the
    advice multiplies, where it is not the program's own.
    """
    room = _room(program)
    forecast = _forecast(program, room)
    if forecast.fits:
        return forecast
    return replace(forecast, advice=tuple(_advice(program, forecast, room, accumulate or program.accumulate)))


def switched_off(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether ``COURSE_MEMORY=ignore`` says that nobody wants to know."""
    return environment.get(VARIABLE, "").strip().lower() == "ignore"


# -- from a footprint to a forecast ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Room:
    """The device now: bytes free, bytes that the process holds, bytes of these that are the model's; the card."""

    free: int
    held: int
    model: int
    card: GPU | None


@dataclass(frozen=True)
class _Footprint:
    """What a program takes: the peak of each phase once the optimizer has its state, and the allocator's segments."""

    phases: dict[str, Peak]
    log: Log
    unknown: str


def _room(program: Program) -> _Room:
    here = sum(_storages(program.model, program.device).values())
    if program.device != "cuda":
        import psutil

        return _Room(hardware.memory()[1], int(psutil.Process().memory_info().rss), here, None)
    card, held = this_machine(), int(torch.cuda.memory_allocated())
    return _Room(card.usable - card.context - held, held, here, card)


def _forecast(program: Program, room: _Room) -> Forecast:
    found = _footprint(program)
    extra = _beside(program)
    phases = {}
    for name, peak in found.phases.items():
        parts = dict(peak.parts)
        for part, number in extra.items():
            if name != "load" and number:
                parts[part] = parts.get(part, 0) + number
        phases[name] = {part: number for part, number in parts.items() if number}
    added = max(sum(parts.values()) for parts in phases.values()) - room.model
    needed = added
    if room.card:
        # The allocator serves this run from what other tensors leave of the card.
        others = room.held - room.model
        card = replace(room.card, usable=room.card.usable - others - sum(extra.values()))
        segments, fits = reserved([found.log], Recipe(), card)
        needed = segments + sum(extra.values()) - room.model
        needed = min(needed, room.free) if fits else max(needed, room.free + 1)
    return Forecast(
        phases=phases,
        needed_bytes=max(0, needed),
        base_bytes=room.held,
        available_bytes=room.free,
        added_bytes=max(0, added),
        unknown=found.unknown,
        device=program.device,
    )


def _beside(program: Program) -> dict[str, int]:
    """What is there besides the traced step: other batches, copies of what is learned, scratch space of the GPU."""
    learned = sum(p.numel() * p.element_size() for p in program.optimized)
    batch = sum(t.numel() * t.element_size() for t in program.batch.values() if isinstance(t, Tensor))
    return {
        "activations": batch * (program.accumulate - 1),  # the batches of a step are fetched together
        "weights": learned if program.keeps_best else 0,
        "gradients": learned if program.processes > 1 else 0,  # the buckets in which processes exchange them
        "workspace": 2 * workspace_bytes(torch.cuda.get_device_capability()) if program.device == "cuda" else 0,
    }


def _storages(model: nn.Module, device: str) -> dict[int, int]:
    """Bytes by storage of the parameters and buffers of a model that are on a device."""
    tensors = (t for t in [*model.parameters(), *model.buffers()] if t.device.type == device)
    return {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}


# -- the trace ---------------------------------------------------------------------------------------------------------

_answers: dict[Any, _Footprint] = {}


def _footprint(program: Program) -> _Footprint:
    """The traced program, from the last answers where it is among them."""
    key = identity(program)
    if key not in _answers:
        while len(_answers) >= KEPT:
            _answers.pop(next(iter(_answers)))
        _answers[key] = _traced(program)
    return _answers[key]


def _traced(program: Program) -> _Footprint:
    try:
        log, unknown = trace(program), ""
    except Exception as error:  # whatever a program does, it must not be kept from running
        log, unknown = trace(program, runs=False), _reason(error)
    first, alive = peaks(log)
    again, _ = peaks(steady(log), alive)
    return _Footprint({n: max(p, again.get(n, p), key=lambda peak: peak.bytes) for n, p in first.items()}, log, unknown)


def _reason(error: Exception) -> str:
    """Why a program could not be traced, in a few words."""
    name = type(error).__name__
    if name in ("DataDependentOutputException", "DynamicOutputShapeException"):
        return "the program looks at the values of tensors"
    said = str(error).strip().partition("\n")[0]
    return f"the program failed on tensors without numbers ({name}{': ' if said else ''}{said[:80]})"


# -- advice ------------------------------------------------------------------------------------------------------------


def _advice(program: Program, forecast: Forecast, room: _Room, accumulate: int) -> Iterator[str]:
    """Single changes that make a run fit, each with what it then needs; and what takes most where none does."""
    found = False
    if not forecast.unknown:
        for change, other in _changes(program, accumulate):
            answer = _forecast(other, room)
            if answer.fits and not answer.unknown:
                found = True
                yield f"{change} needs {size(answer.needed_bytes)}"
    kept = {part: max(p.get(part, 0) for p in forecast.phases.values()) for part in ("gradients", "optimizer")}
    if not found or 3 * sum(kept.values()) > forecast.needed_bytes:
        yield (
            f"train fewer weights (the last blocks only, or LoRA): gradients and optimizer state take"
            f" {size(sum(kept.values()))}"
        )


def _changes(program: Program, accumulate: int) -> Iterator[tuple[str, Program]]:
    """Programs that need less than this one: the mildest of each kind that fits is for the caller to find."""
    batch = program.batch
    rows = max((t.shape[0] for t in batch.values() if isinstance(t, Tensor) and t.dim()), default=1)
    longest = max((t.shape[1] for t in batch.values() if isinstance(t, Tensor) and t.dim() > 1), default=1)
    if program.precision == "no" and hardware.detect().precision != "no":
        yield f"precision={hardware.detect().precision!r}", replace(program, precision=hardware.detect().precision)
    for fewer in _halves(rows, 1):
        change = f"batch_size={fewer} with accumulate={accumulate * -(-rows // fewer)}"
        yield change, replace(program, batch=_cut(batch, 0, rows, fewer))
    for shorter in _halves(longest, SHORTEST):
        yield f"a limit of {shorter} tokens a text", replace(program, batch=_cut(batch, 1, longest, shorter))


def _halves(number: int, least: int) -> Iterator[int]:
    while number // 2 >= least:
        number //= 2
        yield number


def _cut(batch: Batch, dim: int, old: int, new: int) -> dict[str, Any]:
    """The batch with ``new`` of its ``old`` rows or columns."""
    return {
        name: t.narrow(dim, 0, new) if isinstance(t, Tensor) and t.dim() > dim and t.shape[dim] == old else t
        for name, t in batch.items()
    }


# -- words -------------------------------------------------------------------------------------------------------------


def size(number: float) -> str:
    """Bytes for people.

    >>> size(3 * 2**29), size(5 * 2**20)
    ('1.5 GiB', '5 MiB')
    """
    return hardware.gib(number) if number >= 2**30 else f"{number / 2**20:.0f} MiB"


def _largest(parts: Mapping[str, int]) -> list[tuple[str, int]]:
    """The three largest parts."""
    return sorted(parts.items(), key=lambda item: -item[1])[:3]
