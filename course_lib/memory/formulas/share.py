"""One device's view of a moment, where several devices share the work; `course_lib.memory.sharding` does it to a log.

What a method splits shrinks to a share. Gradients that have just been made (``fresh``) are whole until they have been
added up over the devices. Split weights are gathered before they are used: what lies outside the blocks, the block at
work, and the next one on its way.
"""

from __future__ import annotations

from dataclasses import dataclass

from course_lib.memory.arithmetic.sharding import SPLIT
from course_lib.memory.formulas.state import State
from course_lib.memory.recipe import Recipe

Moment = dict[str, int]
PARTS = {"weights": "weights", "adapters": "weights", "gradients": "gradients", "optimizer": "optimizer"}


@dataclass(frozen=True)
class Share:
    """What one of the recipe's devices holds."""

    state: State
    recipe: Recipe

    def of(self, moment: Moment, phase: str) -> Moment:
        """The moment's bytes on this device.

        A moment may have two notes among its parts: ``fresh`` gradients in bytes, and how many ``blocks`` are at work
        or about to be (2 where it does not say).
        """
        moment = dict(moment)
        fresh, blocks = moment.pop("fresh", 0), moment.pop("blocks", 2)
        recipe = self.recipe
        split = SPLIT[recipe.sharding] if recipe.devices > 1 or recipe.offload else frozenset()
        shared = {part: self._mine(part) if PARTS.get(part) in split else 1.0 for part in moment}
        mine = {part: round(size * shared[part]) for part, size in moment.items()}
        if fresh:
            mine["gradients"] = mine.get("gradients", 0) + fresh
        if "weights" in split and phase in ("forward", "loss", "backward"):
            mine["temporary"] = mine.get("temporary", 0) + self._gathered(blocks)
        if recipe.sharding == "ddp" and recipe.devices > 1:
            mine["gradients"] = mine.get("gradients", 0) + self.state.gradients  # buckets to send them in
        return mine

    def _mine(self, part: str) -> float:
        """The share of a part that this device holds: in fp32 where the model is of mixed precision."""
        recipe = self.recipe
        if recipe.offload:
            return 0.0
        wider = recipe.precision.endswith("-mixed") and "weights" in SPLIT[recipe.sharding]
        wider = wider and (part == "weights" or not recipe.adapts)
        return (2 if wider else 1) / recipe.devices

    def _gathered(self, blocks: int) -> int:
        state = self.state
        adapters = (state.adapters - state.outside_adapters) // max(1, state.model.layers)
        return state.outside_weights + state.outside_adapters + blocks * (state.block_weights + adapters)
