"""From a diary of a few blocks to the diary of all of them.

The blocks of a transformer are the same program with other weights, so block 57 asks for and gives back what block 1
does. That holds event by event, not peak by peak: which phase has the peak changes with depth, so peaks of shallow
models must not be drawn out as lines. Here the diary itself is continued. With p blocks to a repetition (1, or 2 where
every other block looks through a window), the traced model has

    the first blocks | p | p | the last blocks

and the two middle groups must agree in every event, counted from the block they stand in. If they do, the first of them
is written down as often as the deep model has it. If not, the caller takes more first blocks (the first one may make
something that all the others use) or the whole depth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from course_lib.memory.trace.log import OUTSIDE, Log, Segment

Place = tuple[str, str]  # phase and name of a segment
Event = tuple[str, int, str] | tuple[Place, int, int]  # ("allocate", bytes, part), or (where allocated, block, ordinal)


class NotRepeating(Exception):
    """The middle blocks of a traced model differ from each other."""


@dataclass(frozen=True)
class Layout:
    """How many blocks are traced and how many there are: ``first`` + 2 * ``period`` + ``last`` of ``depth``."""

    depth: int
    period: int = 1
    first: int = 1
    last: int = 1

    @property
    def traced(self) -> int:
        """How many blocks are traced."""
        return self.first + 2 * self.period + self.last

    def template(self, block: int) -> int:
        """The traced block that a block of the deep model looks like."""
        if block < self.first:
            return block
        if block >= self.depth - self.last:
            return block - (self.depth - self.traced)
        return self.first + (block - self.first) % self.period

    def copies(self, traced: int) -> list[int]:
        """The blocks of the deep model that a block of the first middle group stands for."""
        return list(range(traced, self.depth - self.last, self.period))


def extend(log: Log, layout: Layout) -> Log:
    """The log of the whole depth. Raises NotRepeating when the middle blocks are not the same program."""
    segments = _relative(log)
    _check(segments, layout)
    deep = _Writer(segments, layout).write()
    deep.counts = {block: log.counts.get(layout.template(block), (0, 0)) for block in range(layout.depth)}
    deep.counts[OUTSIDE] = log.counts.get(OUTSIDE, (0, 0))
    return deep


def _relative(log: Log) -> list[tuple[Segment, list[Event]]]:
    """Each segment with its events, frees told by where the storage was allocated instead of by its number."""
    home: dict[int, tuple[Place, int, int]] = {}
    counts: dict[tuple[Place, int], int] = {}
    result = []
    for segment in log.segments:
        place = (segment.phase, segment.name)
        events: list[Event] = []
        for event in log.events[segment.start : segment.end]:
            if event >= 0:
                ordinal = counts.get((place, segment.block), 0)
                counts[place, segment.block] = ordinal + 1
                home[event] = (place, segment.block, ordinal)
                events.append(("allocate", log.sizes[event], log.parts[event]))
            else:
                events.append(home[~event])
        result.append((segment, events))
    return result


def _check(segments: list[tuple[Segment, list[Event]]], layout: Layout) -> None:
    p = layout.period
    if (layout.depth - layout.last - layout.first) % p:
        raise NotRepeating
    seen = {(s.phase, s.name, s.block): (s, events) for s, events in segments if s.block != OUTSIDE}
    for (phase, name, block), (segment, events) in seen.items():
        if layout.first <= block < layout.first + p:
            twin = seen.get((phase, name, block + p))
            if twin is None or _from(segment, events) != _from(*twin):
                raise NotRepeating


def _from(segment: Segment, events: list[Event]) -> list[Event]:
    """Events with blocks counted from the segment's own."""
    shifted: list[Event] = []
    for event in events:
        if isinstance(event[0], tuple) and event[1] != OUTSIDE:
            shifted.append((event[0], event[1] - segment.block, event[2]))
        else:
            shifted.append(event)
    return shifted


class _Writer:
    def __init__(self, segments: list[tuple[Segment, list[Event]]], layout: Layout) -> None:
        self.segments, self.layout, self.log = segments, layout, Log()
        self.numbers: dict[tuple[Place, int, int], int] = {}
        self.counts: dict[tuple[Place, int], int] = {}

    def write(self) -> Log:
        for stack in self._stacks():
            first = stack[0][0]
            if first.block == OUTSIDE:
                self._segment(first, stack[0][1], OUTSIDE)
                continue
            templates = {segment.block: (segment, events) for segment, events in stack}
            rising = len(stack) < 2 or stack[1][0].block > first.block
            blocks = [b for b in range(self.layout.depth) if self.layout.template(b) in templates]
            for block in blocks if rising else reversed(blocks):
                segment, events = templates[self.layout.template(block)]
                self._segment(segment, events, block)
        return self.log

    def _stacks(self) -> Iterator[list[tuple[Segment, list[Event]]]]:
        """Runs of segments: the blocks of one pass together, everything else alone."""
        stack: list[tuple[Segment, list[Event]]] = []
        for segment, events in self.segments:
            same = stack and segment.block != OUTSIDE and stack[-1][0].block != OUTSIDE
            if same and (segment.phase, segment.name) == (stack[-1][0].phase, stack[-1][0].name):
                stack.append((segment, events))
                continue
            if stack:
                yield stack
            stack = [(segment, events)]
        if stack:
            yield stack

    def _segment(self, segment: Segment, events: list[Event], block: int) -> None:
        place, start = (segment.phase, segment.name), len(self.log.events)
        gone = {event for event in events if event[0] != "allocate"}
        for event in events:
            if event[0] == "allocate":
                ordinal = self.counts.get((place, block), 0)
                self.counts[place, block] = ordinal + 1
                self.numbers[place, block, ordinal] = self.log.add(event[1], event[2])
            else:
                for home in self._homes(event, segment, block, gone):
                    self.log.free(self.numbers.pop(home))
        self.log.segments.append(Segment(segment.phase, block, segment.name, start, len(self.log.events)))

    def _homes(self, event: Event, segment: Segment, block: int, gone: set[Event]) -> list[tuple[Place, int, int]]:
        """Which storages of the deep model a freed storage of the traced one stands for.

        What is freed outside the blocks for both middle groups is freed for all; what is freed for one of them only
        belongs to the block next to the outside: the first of the middle, or the last.
        """
        place, home, ordinal = event
        assert isinstance(place, tuple)
        assert isinstance(ordinal, int)
        if home == OUTSIDE:
            return [(place, OUTSIDE, ordinal)]
        if segment.block != OUTSIDE:
            return [(place, block + home - segment.block, ordinal)]
        p, shift = self.layout.period, self.layout.depth - self.layout.traced
        start = self.layout.first
        if start <= home < start + p and (place, home + p, ordinal) in gone:
            return [(place, copy, ordinal) for copy in self.layout.copies(home)]
        if start + p <= home < start + 2 * p and (place, home - p, ordinal) in gone:
            return []
        return [(place, home if home < start + p else home + shift, ordinal)]
