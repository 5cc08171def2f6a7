"""The diary of a run: which bytes were asked for and given back, in which order, and in which part of the run.

Storages are numbered in the order in which they appear. Events are numbers too: ``i`` says that storage ``i`` was
allocated, ``~i`` (a negative number) that it was freed. The run is cut into *segments*: the embedding before the first
block, each block's forward and backward pass, the loss, the step. Segments are what makes a diary of four blocks
extendable to eighty (`extend`), and every segment belongs to one of the phases that people think in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

PHASES = ("load", "forward", "loss", "backward", "step")
OUTSIDE = -1  # the segment belongs to no block

PARTS = (
    "weights",
    "adapters",
    "gradients",
    "optimizer",
    "activations",
    "logits",
    "kv_cache",
    "temporary",
    "workspace",
)


@dataclass(frozen=True)
class Segment:
    """A stretch of events: the phase, the block (OUTSIDE before, between and after the blocks), a name, the events."""

    phase: str
    block: int
    name: str
    start: int
    end: int


@dataclass
class Log:
    """Sizes in bytes and part by storage, and the events of one pass through a run."""

    sizes: list[int] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    events: list[int] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    counts: dict[int, tuple[int, int]] = field(default_factory=dict)  # parameters by block: all, and those that learn

    @property
    def phases(self) -> list[tuple[int, str]]:
        """Where each phase begins: (index of its first event, name), phases that follow themselves merged."""
        starts: list[tuple[int, str]] = []
        for segment in self.segments:
            if not starts or starts[-1][1] != segment.phase:
                starts.append((segment.start, segment.phase))
        return starts

    @property
    def parameters(self) -> tuple[int, int]:
        """How many parameters there are, and how many learn."""
        return sum(a for a, _ in self.counts.values()), sum(b for _, b in self.counts.values())

    def add(self, size: int, part: str) -> int:
        """Allocate a storage; its number is returned."""
        self.sizes.append(size)
        self.parts.append(part)
        self.events.append(len(self.sizes) - 1)
        return len(self.sizes) - 1

    def free(self, number: int) -> None:
        """Give a storage back."""
        self.events.append(~number)


@dataclass(frozen=True)
class Peak:
    """The most bytes alive in a phase, by part."""

    bytes: int
    parts: dict[str, int]


def peaks(log: Log, alive: Iterable[int] = ()) -> tuple[dict[str, Peak], set[int]]:
    """The peak of each phase of a log that begins with some storages ``alive``, and what is alive at its end."""
    living = set(alive)
    held: dict[str, int] = defaultdict(int)
    for number in living:
        held[log.parts[number]] += log.sizes[number]
    total = sum(held.values())
    found: dict[str, Peak] = {}
    for segment in log.segments:
        top = found.get(segment.phase, Peak(-1, {}))
        if total > top.bytes:
            top = Peak(total, dict(held))
        for event in log.events[segment.start : segment.end]:
            number = event if event >= 0 else ~event
            size = log.sizes[number] if event >= 0 else -log.sizes[number]
            held[log.parts[number]] += size
            total += size
            (living.add if event >= 0 else living.discard)(number)
            if total > top.bytes:
                top = Peak(total, dict(held))
        found[segment.phase] = top
    return found, living
