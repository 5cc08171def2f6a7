"""Asked before every training run: will this program, on this machine, have enough memory?

What is about to run is a live model and a loss function that nobody here has seen, so there is no architecture to put
into formulas. Instead that very program is run once on tensors that hold no numbers (`trace`): a copy of the model
whose weights are such tensors, and a batch of the largest shape. The model itself, its gradients and the random numbers
stay as they are; the loss function, though, is called once more than there are batches, and where it looks at values
(there are none) only weights, gradients and the optimizer's state are known beforehand.

    needed  = peak of live bytes - what the model holds already    (on a GPU: the allocator's segments for them)
    refused if needed > available: free main memory, or what other tensors and programs leave of the GPU

On a processor that is a lower bound. The C library's allocator keeps pieces between tensors that it cannot use again:
fine-tuning MiniLM (22 million weights) took 1.3 to 2.1 times the bytes that its tensors had at once, and within 3% of
them with MALLOC_MMAP_THRESHOLD_=65536, which gives each large tensor pages of its own and costs time.

An answer takes a few tenths of a second for a model of a few blocks, and is kept for the next run of the same program.
Recurrent networks, whose trace would be as long as their texts, are traced at two short lengths and continued from
there on a line.
Left out: what an evaluation needs, memory that is no tensor.
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
from course_lib.memory.cutting import fewer_texts, longest_of, shorter_texts, texts_of
from course_lib.memory.gpus import GPU, this_machine
from course_lib.memory.program import Program, identity, standing, trace
from course_lib.memory.recipe import Recipe
from course_lib.memory.trace.log import Log, Peak, peaks
from course_lib.memory.traced import reserved, steady

VARIABLE = "COURSE_MEMORY"  # "ignore" leaves the check out whatever a run's settings say
KEPT = 64  # answers kept
HELD = 2  # resident memory of a run on a processor, measured: 1.3 to 2.1 times the bytes of its tensors (glibc 2.36)
LOOPED = (4, 8)  # lengths at which recurrent networks are traced
SHORTEST = 16  # tokens: no advice to cut texts below that


@dataclass(frozen=True)
class Forecast:
    """What a run will need, all in bytes; ``phases`` has the live bytes by part at each phase's own peak."""

    phases: dict[str, dict[str, int]]
    needed_bytes: int  # beyond what the process holds already
    available_bytes: int  # free for this process, beyond what it holds
    base_bytes: int  # held by the process before: resident memory, or tensors on the GPU
    resident_bytes: int  # of the model's tensors on the device before
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
    def added_bytes(self) -> int:
        """The most live bytes beyond what the model holds already: what a meter around the run should show."""
        return max(0, self.peak_bytes - self.resident_bytes)

    @property
    def fits(self) -> bool:
        """Whether what is needed is there."""
        return self.needed_bytes <= self.available_bytes

    def line(self) -> str:
        """The forecast in a sentence."""
        said = f"needs {self._needs()}, {size(self.available_bytes)} are free"
        if self.unknown:
            said += f"; activations come on top and are not known, because {self.unknown}"
        elif self.device != "cuda" and HELD * self.needed_bytes > self.available_bytes:
            said += f", which may be too little: the system's allocator can hold {HELD} times what is in use"
        return said

    def refusal(self) -> str:
        """Why the run cannot start, and what to change."""
        return (
            f"This training needs {self._needs()}, and only {size(self.available_bytes)} are free."
            f" {'; '.join(self.advice)}. TrainConfig(memory='ignore') tries it as it is."
        )

    def _needs(self) -> str:
        parts = dict(self.parts)
        parts["weights"] = max(0, parts.get("weights", 0) - self.resident_bytes)
        most = sorted(parts.items(), key=lambda item: -item[1])[:3]
        said = ", ".join(f"{part} {size(number)}" for part, number in most if number)
        place = "more GPU memory" if self.device == "cuda" else "more memory"
        least = "" if self.device == "cuda" and not self.unknown else "at least "
        return f"{least}{size(self.needed_bytes)} {place} ({said})"


def plan_fit(program: Program) -> Forecast:
    """What a training run of this program will need, against what is free now; with advice where it does not fit.

    Never raises because of the program: where it cannot be traced, ``unknown`` says why.
    """
    room = _room(program)
    forecast = _forecast(program, room)
    if forecast.fits:
        return forecast
    return replace(forecast, advice=tuple(_advice(program, forecast, room)))


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
    """What a program takes: the peak of each phase once the optimizer has its state."""

    phases: dict[str, Peak]
    log: Log
    unknown: str = ""


def _room(program: Program) -> _Room:
    here = sum(_storages(program.model, program.device).values())
    if program.device != "cuda":
        import psutil

        free = hardware.memory()[1] // (hardware.number(os.environ, "LOCAL_WORLD_SIZE") or program.processes)
        return _Room(free, int(psutil.Process().memory_info().rss), here, None)
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
    needed = max(sum(parts.values()) for parts in phases.values()) - room.model
    if room.card:  # its allocator serves this run from what other tensors leave, and knows of the scratch space
        beside = sum(extra.values()) - extra["workspace"]
        card = replace(room.card, usable=room.card.usable - (room.held - room.model) - beside)
        needed = reserved([found.log], Recipe(), card)[0] + beside - room.model
    return Forecast(
        phases=phases,
        needed_bytes=max(0, needed),
        available_bytes=room.free,
        base_bytes=room.held,
        resident_bytes=room.model,
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
    longest = longest_of(program.batch)
    try:
        if longest >= 2 * LOOPED[1] and program.device != "cuda" and _loops(program.model):
            short, longer = (_at(program, longest, length) for length in LOOPED)
            return _continued(short, longer, longest)
        return _peaks(trace(program))
    except Exception as error:  # whatever a program does, it must not be kept from running
        return replace(_peaks(standing(program)), unknown=_reason(error))


def _peaks(log: Log) -> _Footprint:
    first, alive = peaks(log)
    again, _ = peaks(steady(log), alive)
    return _Footprint({n: max(p, again.get(n, p), key=lambda peak: peak.bytes) for n, p in first.items()}, log)


def _loops(model: nn.Module) -> bool:
    """Whether a model goes through its texts token by token, so that a trace takes as long as they are."""
    return any(isinstance(module, nn.RNNBase) for module in model.modules())


def _at(program: Program, longest: int, length: int) -> _Footprint:
    return _peaks(trace(replace(program, batch=shorter_texts(program.batch, length))))


def _continued(short: _Footprint, longer: _Footprint, length: int) -> _Footprint:
    """The footprint at a length, on the line through those at two short ones."""
    steps = (length - LOOPED[1]) / (LOOPED[1] - LOOPED[0])
    found = {}
    for name, peak in longer.phases.items():
        before = short.phases[name].parts
        parts = {part: round(n + steps * (n - before.get(part, 0))) for part, n in peak.parts.items()}
        found[name] = Peak(sum(parts.values()), parts)
    return _Footprint(found, longer.log)


def _reason(error: Exception) -> str:
    """Why a program could not be traced, in a few words."""
    name = type(error).__name__
    if name in ("DataDependentOutputException", "DynamicOutputShapeException"):
        return "the program looks at the values of tensors"
    said = str(error).strip().partition("\n")[0]
    return f"the program failed on tensors without numbers ({name}{': ' if said else ''}{said[:80]})"


# -- advice ------------------------------------------------------------------------------------------------------------


def _advice(program: Program, forecast: Forecast, room: _Room) -> Iterator[str]:
    """Single changes that make a run fit, each with what it then needs; and one for what learns, where that is much."""
    found: set[str] = set()
    for kind, change, other in _changes(program) if not forecast.unknown else ():
        if kind in found:  # the mildest of its kind that fits was there already
            continue
        answer = _forecast(other, room)
        if answer.fits and not answer.unknown:
            found.add(kind)
            yield f"{change} takes {size(answer.needed_bytes)}"
    kept = {part: max(p.get(part, 0) for p in forecast.phases.values()) for part in ("gradients", "optimizer")}
    if not found or 3 * sum(kept.values()) > forecast.needed_bytes:
        yield (
            f"training fewer weights (only the last blocks, or LoRA) saves most of the {size(sum(kept.values()))} of"
            " gradients and optimizer state"
        )


def _changes(program: Program) -> Iterator[tuple[str, str, Program]]:
    """Programs that need less than this one: of each kind the mildest first, with its description."""
    batch = program.batch
    rows, longest = texts_of(batch), longest_of(batch)
    if program.precision == "no" and hardware.detect().precision != "no":
        precision = hardware.detect().precision
        yield "precision", f"precision={precision!r}", replace(program, precision=precision)
    for fewer in _halves(rows, 1):
        more = program.accumulate * -(-rows // fewer)
        other = replace(program, batch=fewer_texts(batch, fewer), accumulate=more)
        yield "batch", f"batch_size={fewer} with accumulate={more}", other
    for shorter in _halves(longest, SHORTEST):
        other = replace(program, batch=shorter_texts(batch, shorter))
        yield "length", f"a limit of {shorter} tokens a text", other


def _halves(number: int, least: int) -> Iterator[int]:
    while number // 2 >= least:
        number //= 2
        yield number


# -- words -------------------------------------------------------------------------------------------------------------


def size(number: float) -> str:
    """Bytes for people.

    >>> size(3 * 2**29), size(5 * 2**20)
    ('1.5 GiB', '5 MiB')
    """
    return hardware.gib(number) if number >= 2**30 else f"{number / 2**20:.0f} MiB"
