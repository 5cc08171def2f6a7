"""The allocator itself: two pools over one card, and the counters that ``torch.cuda.memory_stats`` reports."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass

from course_lib.errors import CourseError
from course_lib.memory.allocator.blocks import MIN_BLOCK, SMALL_SIZE, Block, Card, Pool, segment_size
from course_lib.memory.allocator.expandable import ExpandablePool


class OutOfMemory(CourseError):
    """The card has too little left, even after the cache was given back. All attributes are bytes.

    ``needed``: what was asked of the card; ``free``: what it had left; ``allocated`` and ``reserved``: as counted then;
    ``event``: which event of a `replay` it was (None outside of one).
    """

    def __init__(self, needed: int, free: int, allocated: int, reserved: int) -> None:
        self.needed, self.free, self.allocated, self.reserved = needed, free, allocated, reserved
        self.event: int | None = None
        super().__init__(
            f"Out of memory: {needed:,} more bytes are needed and the card has {free:,} left; tensors hold "
            f"{allocated:,} of the {reserved:,} bytes reserved. Make the run smaller, or take a larger card."
        )


@dataclass(frozen=True)
class Segment:
    """A contiguous range of reserved memory: where it begins, its bytes, and its blocks in order.

    ``blocks``: (address, bytes, whether a tensor lies in it); ``small``: it belongs to the small pool.
    """

    address: int
    size: int
    small: bool
    blocks: tuple[tuple[int, int, bool], ...]


class CachingAllocator:
    """The allocator of one card and one stream (``DeviceCachingAllocator``).

    ``capacity``: bytes that all segments may take together, that is the card's memory less the CUDA context (None: no
    limit). ``expandable``: as under ``PYTORCH_ALLOC_CONF=expandable_segments:True``.

    >>> cache = CachingAllocator()
    >>> cache.allocate(0, 3_000_000)
    >>> cache.allocated, cache.reserved
    (3000320, 20971520)
    >>> cache.free(0)
    >>> cache.allocated, cache.reserved
    (0, 20971520)
    """

    def __init__(self, capacity: int | None = None, expandable: bool = False) -> None:
        kind = ExpandablePool if expandable else Pool
        self.card = Card(capacity)
        self.allocated = 0  # bytes of blocks with a tensor in them: torch.cuda.memory_allocated()
        self.requested = 0  # bytes that these tensors asked for
        self.peak_allocated = 0
        self.retries = 0  # how often the whole cache was given back to find room: num_alloc_retries
        self._small, self._large = kind(self.card, small=True), kind(self.card, small=False)
        self._live: dict[int, Block | None] = {}

    @property
    def reserved(self) -> int:
        """Bytes taken from the card, as `torch.cuda.memory_reserved` counts them."""
        return self.card.reserved

    @property
    def peak_reserved(self) -> int:
        """The highest `reserved` since the start or since `reset_peaks`."""
        return self.card.peak_reserved

    def allocate(self, id: int, nbytes: int) -> None:
        """Give tensor ``id`` ``nbytes``: the best cached block, cut if much is left of it, or else of a new segment.

        Nothing is taken for zero bytes. Raises `OutOfMemory`, and ValueError for an id that lives or a negative size.
        """
        if id in self._live:
            raise ValueError(f"id {id} is allocated already")
        if nbytes <= 0:
            if nbytes < 0:
                raise ValueError(f"id {id} asks for {nbytes} bytes")
            self._live[id] = None
            return
        size = -(-nbytes // MIN_BLOCK) * MIN_BLOCK  # round_size(nbytes), inlined: this runs for every tensor of a trace
        pool = self._small if size <= SMALL_SIZE else self._large
        block = pool.cached(size) or self._fresh(pool, size)
        if block.size - size >= pool.keep:
            rest = block.cut(size)
            insort(pool.free, (rest.size, rest.address, rest))
        block.allocated, block.requested = True, nbytes
        self._live[id] = block
        self.requested += nbytes
        self.allocated += block.size
        if self.allocated > self.peak_allocated:
            self.peak_allocated = self.allocated

    def free(self, id: int) -> None:
        """Give the block of tensor ``id`` back to the cache; its segment stays reserved.

        Raises ValueError for an id that is not allocated.
        """
        if id not in self._live:
            raise ValueError(f"id {id} is not allocated")
        block = self._live.pop(id)
        if block is not None:
            self.allocated -= block.size
            self.requested -= block.requested
            block.allocated = False
            block.pool.add_merged(block)

    def empty_cache(self) -> None:
        """``release_cached_blocks``, `torch.cuda.empty_cache`: give back all segments in which no tensor lies."""
        self._large.release()
        self._small.release()

    def reset_peaks(self) -> None:
        """Count peaks from here on, as `torch.cuda.reset_peak_memory_stats` does."""
        self.peak_allocated, self.card.peak_reserved = self.allocated, self.card.reserved

    @property
    def segments(self) -> tuple[Segment, ...]:
        """What is reserved, by address, as `torch.cuda.memory_snapshot` lists it."""
        blocks = [block for block in self._live.values() if block is not None]
        blocks += [block for pool in (self._small, self._large) for _, _, block in pool.free]
        heads = [block for block in blocks if block.previous is None or not block.previous.mapped]
        return tuple(self._segment(head) for head in sorted(heads, key=lambda block: block.address))

    def _segment(self, head: Block) -> Segment:
        blocks = []
        block: Block | None = head
        while block is not None and block.mapped:
            blocks.append((block.address, block.size, block.allocated))
            block = block.next
        return Segment(head.address, sum(size for _, size, _ in blocks), head.pool is self._small, tuple(blocks))

    def _fresh(self, pool: Pool, size: int) -> Block:
        """``malloc`` where no cached block fits: ask the card, and once more with the cache emptied if need be."""
        block = pool.fresh(size)
        if block is None:
            # Between the two, release_available_cached_blocks frees nothing unless max_split_size_mb is set.
            self.empty_cache()
            self.retries += 1
            block = pool.fresh(size)
        if block is None:
            left = (self.card.capacity or 0) - self.reserved
            raise OutOfMemory(segment_size(size), left, self.allocated, self.reserved)
        return block
