"""One device's view of a run that is shared: the log of a whole run, with what the device does not hold taken out.

What is split depends on the method (`arithmetic.sharding` has the table and the sources): optimizer state under zero1,
gradients too under zero2, weights too under zero3 and fsdp. Two things are added that closed formulas forget:

* weights that are split have to be gathered before a block can run. The block in use and the next one, which is fetched
  ahead, are there whole; what lies outside the blocks stays from the first block to the last gradient;
* gradients of a block exist whole until they have been added up over devices, and shrink to a share only then.

Under ddp everything is whole, and gradients are copied into buckets to be sent. With ``offload`` the split parts lie in
the memory of the host. Left out: buckets of a fixed size (DeepSpeed's), and activations, which are each device's own.
"""

from __future__ import annotations

from collections import defaultdict

from course_lib.memory.arithmetic import sharding
from course_lib.memory.recipe import Recipe
from course_lib.memory.trace.log import OUTSIDE, Log, Segment

HELD = {"weights": "weights", "adapters": "weights", "gradients": "gradients", "optimizer": "optimizer"}


def share(log: Log, recipe: Recipe) -> Log:
    """The log of one of ``recipe.devices`` devices; the same log where nothing is shared."""
    if recipe.sharding == "none" or (recipe.devices == 1 and not recipe.offload):
        return log
    return _Writer(log, recipe).write()


class _Writer:
    def __init__(self, log: Log, recipe: Recipe) -> None:
        self.whole, self.recipe = log, recipe
        self.split = sharding.SPLIT[recipe.sharding]
        # Traced in 16 bits under these two; of mixed precision the shares are in 32.
        mixed = recipe.precision.endswith("-mixed") and "weights" in self.split
        self.wider = set() if not mixed else {"weights"} if recipe.adapts else {"weights", "gradients", "optimizer"}
        self.log = Log(counts=log.counts)
        self.numbers: dict[int, int] = {}  # storage of the whole log -> storage of this one
        self.gathered: dict[int, int] = {}  # block -> storage of its gathered weights
        self.weights: dict[int, int] = defaultdict(int)  # block -> bytes of its weights
        self.made: set[int] = set()  # storages that the backward pass makes
        for segment in log.segments:
            events = log.events[segment.start : segment.end]
            if segment.phase == "backward":
                self.made.update(event for event in events if event >= 0)
            if segment.phase == "load":
                self.weights[segment.block] += sum(log.sizes[e] for e in events)

    def write(self) -> Log:
        segments = self.whole.segments
        for i, segment in enumerate(segments):
            start = len(self.log.events)
            if "weights" in self.split and segment.phase in ("forward", "loss", "backward"):
                self._gather(segment, segments[i + 1 :])
            for event in self.whole.events[segment.start : segment.end]:
                self._allocate(event) if event >= 0 else self.log.free(self.numbers.pop(~event))
            if segment.phase == "backward" and "gradients" in self.split:
                self._reduce(segment)
            self._close(segment, segments[i + 1 : i + 2])
            self.log.segments.append(Segment(segment.phase, segment.block, segment.name, start, len(self.log.events)))
        return self.log

    def _allocate(self, number: int) -> None:
        size, part = self.whole.sizes[number], self.whole.parts[number]
        whole = part == "gradients" and number in self.made  # until it has been added up
        if HELD.get(part) in self.split and not whole:
            size = self._mine(size, part)
        self.numbers[number] = self.log.add(size, part)

    def _mine(self, size: int, part: str) -> int:
        whole = size * 2 if part in self.wider else size
        return 0 if self.recipe.offload else -(-whole // self.recipe.devices)

    def _gather(self, segment: Segment, later: list[Segment]) -> None:
        """Fetch what the segment needs, and ahead of time what the next block does."""
        ahead = next((s.block for s in later if s.block != OUTSIDE and s.phase == segment.phase), OUTSIDE)
        for block in (OUTSIDE, segment.block, ahead):
            if block not in self.gathered:
                self.gathered[block] = self.log.add(self.weights[block], "temporary")

    def _reduce(self, segment: Segment) -> None:
        """The gradients that a segment made become this device's share of them."""
        for event in self.whole.events[segment.start : segment.end]:
            if event >= 0 and self.whole.parts[event] == "gradients" and event in self.numbers:
                mine = self.log.add(self._mine(self.whole.sizes[event], "gradients"), "gradients")
                self.log.free(self.numbers[event])
                self.numbers[event] = mine

    def _close(self, segment: Segment, following: list[Segment]) -> None:
        """Let go of gathered weights, and after loading make the buckets of ddp."""
        if segment.block != OUTSIDE and segment.block in self.gathered:
            self.log.free(self.gathered.pop(segment.block))
        if segment.phase == "backward" and all(s.phase != "backward" for s in following):
            for number in self.gathered.values():
                self.log.free(number)
            self.gathered.clear()
        if segment.phase == "load" and all(s.phase != "load" for s in following) and self.recipe.sharding == "ddp":
            gradients = sum(
                size for size, part in zip(self.whole.sizes, self.whole.parts, strict=True) if part == "gradients"
            )
            if gradients:
                self.log.add(gradients, "gradients")
