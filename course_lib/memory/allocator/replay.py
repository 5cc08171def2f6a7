"""A log of allocations, run through the allocator: peaks of what is allocated and reserved, phase by phase."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from course_lib.memory.allocator.caching import CachingAllocator, OutOfMemory


@dataclass(frozen=True)
class Peaks:
    """Highest bytes ``allocated`` and ``reserved``, and the indices of the events that first brought them there."""

    allocated: int = 0
    reserved: int = 0
    allocated_at: int = 0
    reserved_at: int = 0


@dataclass(frozen=True)
class Replay:
    """What a log needs of a card, in bytes.

    ``peak_allocated``, ``peak_reserved``: over everything; ``peak_allocated_at``, ``peak_reserved_at``: indices of
    events; ``phases``: peaks of each phase by name, the highest of all its turns; ``retries``: how often the whole
    cache was given back to find room, each time with a pause; ``allocated``, ``reserved``: at the end.
    """

    peak_allocated: int
    peak_reserved: int
    peak_allocated_at: int
    peak_reserved_at: int
    phases: dict[str, Peaks]
    retries: int
    allocated: int
    reserved: int

    @property
    def released(self) -> bool:
        """Whether cached segments had to be given back to make room."""
        return self.retries > 0


def replay(
    sizes: Sequence[int],
    events: Sequence[int],
    phases: Sequence[tuple[int, str]] = (),
    *,
    steps: int = 1,
    step_from: int = 0,
    capacity: int | None = None,
    expandable: bool = False,
) -> Replay:
    """Run ``events`` through a `CachingAllocator` and note the peaks.

    ``sizes[id]``: bytes asked for; an event is an id (allocate it) or ``~id`` (free it). ``phases``: (index of its
    first event, name), in order; names may come back. The events from ``step_from`` on are one training step, run
    ``steps`` times. It has to end with what it began with: what it leaves behind (new gradients, say) takes the place
    of what it freed of the step before, so the two must be of the same sizes. ``capacity``, ``expandable``: as for
    `CachingAllocator`.

    Raises `OutOfMemory` with the index of the event in ``event``, and ValueError for a log that contradicts itself.

    >>> replay([3_000_000, 600], [0, 1, ~0], [(0, "forward"), (2, "backward")]).peak_reserved  # 20 MiB and 2 MiB
    23068672
    """
    bounds = [index for index, _ in phases]
    if bounds != sorted(bounds) or not all(0 <= index <= len(events) for index in (*bounds, step_from)) or steps < 1:
        raise ValueError("phases and the step have to begin at indices of events, in order, and steps is at least 1")
    if events and max(events) >= len(sizes):
        raise ValueError(f"id {max(events)} has no size")
    cache, count = CachingAllocator(capacity, expandable), len(sizes)
    top, named = Peaks(), dict[str, Peaks]()
    for first, run in _runs(sizes, events, steps, step_from):
        last = first + len(run)
        cuts = sorted({first, last, *(index for index in bounds if first < index < last)})
        for start, stop in pairwise(cuts):
            peaks = _peaks(cache, sizes, run[start - first : stop - first], start, count)
            top = _higher(top, peaks)
            name = next((name for index, name in reversed(phases) if index <= start), None)
            if name is not None:
                named[name] = _higher(named.get(name, Peaks()), peaks)
    at = (top.allocated_at, top.reserved_at)
    return Replay(top.allocated, top.reserved, *at, named, cache.retries, cache.allocated, cache.reserved)


def _peaks(cache: CachingAllocator, sizes: Sequence[int], events: Sequence[int], start: int, count: int) -> Peaks:
    """Run some events; the first has index ``start``. What is there before them counts."""
    card, allocate, free = cache.card, cache.allocate, cache.free
    allocated, reserved, allocated_at, reserved_at = cache.allocated, card.reserved, start, start
    for index, event in enumerate(events, start):
        if event < 0:
            free(~event)
            continue
        try:
            allocate(event, sizes[event % count])
        except OutOfMemory as error:
            error.event = index
            raise
        if cache.allocated > allocated:
            allocated, allocated_at = cache.allocated, index
        if card.reserved > reserved:
            reserved, reserved_at = card.reserved, index
    return Peaks(allocated, reserved, allocated_at, reserved_at)


def _higher(a: Peaks, b: Peaks) -> Peaks:
    allocated = max((a.allocated, -a.allocated_at), (b.allocated, -b.allocated_at))
    reserved = max((a.reserved, -a.reserved_at), (b.reserved, -b.reserved_at))
    return Peaks(allocated[0], reserved[0], -allocated[1], -reserved[1])


def _runs(
    sizes: Sequence[int], events: Sequence[int], steps: int, step_from: int
) -> Iterator[tuple[int, Sequence[int]]]:
    """The log, then the step again and again, each time with ids of its own: (index of the first event, events)."""
    yield 0, events
    if steps == 1:
        return
    step, count = events[step_from:], len(sizes)
    heirs = _heirs(sizes, events, step_from)
    for turn in range(1, steps):
        new, old = turn * count, (turn - 1) * count
        run: list[int] = []
        own: set[int] = set()
        for event in step:
            if event >= 0:
                own.add(event)
                run.append(event + new)
            elif ~event in own:
                own.discard(~event)
                run.append(~(~event + new))
            else:
                run.append(~(heirs[~event] + old))
        yield step_from, run


def _heirs(sizes: Sequence[int], events: Sequence[int], step_from: int) -> dict[int, int]:
    """For every id that the step frees without having allocated it: the one it leaves in its place, equal in size."""
    before = _live(events[:step_from])
    left = _live(events)
    own: set[int] = set()
    freed: set[int] = set()
    for event in events[step_from:]:
        if event >= 0:
            own.add(event)
        elif ~event not in own:
            freed.add(~event)
    # Both in the order of their allocation, so that equals follow each other as they do in the model.
    old = sorted((id for id in before if id in freed), key=sizes.__getitem__)
    new = sorted((id for id in left if id in own), key=sizes.__getitem__)
    if [sizes[id] for id in old] != [sizes[id] for id in new]:
        raise ValueError(
            "a step can be repeated only if what it leaves behind is as large as what it frees of the step before"
        )
    return dict(zip(old, new, strict=True))


def _live(events: Sequence[int]) -> dict[int, None]:
    """Ids that are allocated after the events, in the order of their allocation."""
    live: dict[int, None] = {}
    for event in events:
        if event >= 0:
            live[event] = None
        else:
            live.pop(~event, None)
    return live
