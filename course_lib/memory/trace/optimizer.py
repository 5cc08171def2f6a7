"""What each optimizer keeps and needs, as allocations.

Optimizers are not run on fake tensors: which state they make for a parameter is a line each, and running a step over
the hundreds of parameters of a deep model would take longer than the model itself.

    adamw            two moments in the parameter's precision and a step count; the fused kernel needs nothing else
    adamw-foreach    the same, and while it steps one more value per parameter (the root of the second moment)
    adamw-8bit       bitsandbytes: two bytes per parameter and two float32 per block of 256; small tensors as adamw
                     in float32 (Dettmers et al. 2022)
    paged-...        the same state in unified memory, which may leave the GPU: not counted on the GPU
    adafactor        one row and one column of factors for a matrix, and the weights' size (Shazeer & Stern 2018);
                     temporaries of one update
    sgd              one momentum
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from course_lib.memory.recipe import Recipe

if TYPE_CHECKING:
    from course_lib.memory.trace.record import Recorder

BLOCK = 256  # values that share a scale in an 8-bit state
SMALL = 4096  # tensors below this keep 32-bit state
PAGED = 100_000  # tensors from this size on have their state in unified memory
STEP = 4  # bytes of a step count


@dataclass(frozen=True)
class Learned:
    """A parameter that learns: the block it belongs to, its shape, bytes per value."""

    block: int
    shape: tuple[int, ...]
    width: int

    @property
    def values(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


def state(parameter: Learned, recipe: Recipe) -> list[int]:
    """Bytes of each tensor that the optimizer keeps on the GPU for a parameter, made at its first step."""
    values, held = parameter.values, parameter.values * parameter.width
    match recipe.optimizer:
        case "adamw":
            return [STEP, held, held]
        case "adamw-foreach":
            return [held, held]  # its step counts are on the host
        case "adamw-8bit" if values >= SMALL:
            scales = -(-values // BLOCK) * 4
            return [values, values, scales, scales]
        case "adamw-8bit":
            return [4 * values, 4 * values]
        case "paged-adamw-8bit" if values >= SMALL:
            scales = -(-values // BLOCK) * 4
            return [scales, scales] if values >= PAGED else [values, values, scales, scales]
        case "paged-adamw" | "paged-adamw-8bit":
            return [] if values >= PAGED else [4 * values, 4 * values]
        case "adafactor" if len(parameter.shape) > 1:
            rows, columns = values // parameter.shape[-1], values // parameter.shape[-2]
            return [rows * 4, columns * 4, STEP]
        case "adafactor":
            return [4 * values, STEP]
        case _:
            return [held]


def temporary(parameter: Learned, recipe: Recipe) -> int:
    """Bytes that a step needs besides, for a parameter."""
    if recipe.optimizer == "adamw-foreach":
        return parameter.values * parameter.width
    if recipe.optimizer == "adafactor":
        return 3 * parameter.values * 4  # the update, the factored estimate and a float32 copy
    return 0


def first_step(learned: list[Learned], recipe: Recipe, recorder: Recorder) -> None:
    """Write an optimizer's first step into the log, block by block; its later steps only lack the new state."""
    log, groups = recorder.log, _by_block(learned)
    for group in groups:
        recorder.cut("step", group[0].block, "state")
        for parameter in group:
            for size in state(parameter, recipe):
                log.add(size, "optimizer")
    at_once = recipe.optimizer == "adamw-foreach"  # the temporaries of all parameters are alive together
    held: list[list[int]] = []
    for group in groups:
        recorder.cut("step", group[0].block, "update")
        held.append([])
        for parameter in group:
            size = temporary(parameter, recipe)
            if size:
                held[-1].append(log.add(size, "temporary"))
            if size and not at_once:
                log.free(held[-1].pop())
    for group, numbers in zip(groups, held, strict=True):
        recorder.cut("step", group[0].block, "updated")
        for number in numbers:
            log.free(number)


def _by_block(learned: list[Learned]) -> list[list[Learned]]:
    """Neighbouring parameters of one block together."""
    return [list(group) for _, group in itertools.groupby(learned, key=lambda parameter: parameter.block)]
