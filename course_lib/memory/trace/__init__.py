"""What a run will allocate, found by running it on tensors that hold no numbers."""

from __future__ import annotations

import contextlib
from typing import Any

from course_lib.memory.recipe import Recipe
from course_lib.memory.trace.extend import Layout, NotRepeating, extend
from course_lib.memory.trace.log import OUTSIDE, PARTS, PHASES, Log, Peak, Segment, peaks


def trace(
    config: Any,
    recipe: Recipe,
    *,
    causal: bool = True,
    whole: bool = False,
    capability: tuple[int, int] | None = (8, 0),
) -> Log:
    """The log of a run of the model of a transformers config: load, and one step including the optimizer's first.

    A few blocks are traced and the log continued to the whole depth; ``whole`` traces every block.
    ``capability`` is that of the GPU whose kernels would run; None means this processor.
    """
    from course_lib.memory.trace.build import period
    from course_lib.memory.trace.run import record

    depth, repeat = config.num_hidden_layers, period(config)
    for first in () if whole else (repeat, 2 * repeat):
        last = recipe.blocks + repeat if recipe.method == "last-n" else repeat
        last += (depth - first - last) % repeat
        layout = Layout(depth, repeat, first, last)
        if layout.traced >= depth:
            break
        with contextlib.suppress(NotRepeating):
            return extend(record(config, recipe, layout.traced, causal=causal, capability=capability), layout)
    return record(config, recipe, None, causal=causal, capability=capability)


__all__ = ["OUTSIDE", "PARTS", "PHASES", "Layout", "Log", "NotRepeating", "Peak", "Segment", "extend", "peaks", "trace"]
