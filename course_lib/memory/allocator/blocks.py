"""Segments from the card, cut into blocks: sizes, neighbours and the search for the best free block."""

from __future__ import annotations

from bisect import bisect_left, insort

MIN_BLOCK = 512  # kMinBlockSize: every size is rounded up to a multiple of it
SMALL_SIZE = 1 << 20  # kSmallSize: the largest request that the small pool serves
SMALL_SEGMENT = 2 << 20  # kSmallBuffer: what the small pool asks of the card
LARGE_SEGMENT = 20 << 20  # large_segment_size: what a request between 1 and 10 MiB asks of the card
MIN_LARGE = 10 << 20  # kMinLargeAlloc: from here on a request asks for a segment of its own size,
ROUND_LARGE = 2 << 20  # kRoundLarge: rounded up to a multiple of this


def round_size(nbytes: int) -> int:
    """``round_size``: bytes of the block that a request of ``nbytes`` (> 0) gets, the next multiple of 512.

    >>> round_size(1), round_size(512), round_size(513)
    (512, 512, 1024)
    """
    return -(-nbytes // MIN_BLOCK) * MIN_BLOCK


def segment_size(size: int) -> int:
    """``get_allocation_size``: bytes asked of the card for a block of ``size`` bytes when no cached block fits.

    >>> [segment_size(mib << 20) >> 20 for mib in (1, 2, 9, 10, 11)]
    [2, 20, 20, 10, 12]
    """
    if size <= SMALL_SIZE:
        return SMALL_SEGMENT
    if size < MIN_LARGE:
        return LARGE_SEGMENT
    return -(-size // ROUND_LARGE) * ROUND_LARGE


class Card:
    """What the driver knows: bytes ``reserved`` of a ``capacity`` (None: no limit), their peak, the next address."""

    def __init__(self, capacity: int | None = None) -> None:
        self.capacity = capacity
        self.reserved = self.peak_reserved = self.address = 0

    def take(self, size: int) -> bool:
        """Reserve ``size`` bytes, or nothing (False) if less is left."""
        if self.capacity is not None and self.reserved + size > self.capacity:
            return False
        self.reserved += size
        self.peak_reserved = max(self.peak_reserved, self.reserved)
        return True

    def addresses(self, size: int) -> int:
        """The first of ``size`` addresses that nobody had before; they rise with every call."""
        self.address += size
        return self.address - size


class Block:
    """A piece of a segment: its neighbours by address, and whether a tensor lies in it (``Block`` in the source).

    ``mapped`` is False for addresses of an expandable segment that no memory stands behind; ``requested`` is what the
    tensor asked for, in bytes.
    """

    __slots__ = ("address", "allocated", "mapped", "next", "pool", "previous", "requested", "size")

    def __init__(self, pool: Pool, address: int, size: int, mapped: bool = True) -> None:
        self.pool, self.address, self.size, self.mapped = pool, address, size, mapped
        self.allocated, self.requested = False, 0
        self.previous: Block | None = None
        self.next: Block | None = None

    def link(self, previous: Block | None, following: Block | None) -> None:
        """Stand between two blocks, or at an end of the segment (None)."""
        self.previous, self.next = previous, following
        if previous is not None:
            previous.next = self
        if following is not None:
            following.previous = self

    def cut(self, size: int) -> Block:
        """Keep the first ``size`` bytes and return the rest as a block behind them."""
        rest = Block(self.pool, self.address + size, self.size - size, self.mapped)
        rest.link(self, self.next)
        self.size = size
        return rest


class Pool:
    """The small or the large half of the cache: free blocks, ordered by size and then address
    (``BlockComparatorSize``).

    ``keep`` is the rule ``should_split``: at least so many bytes left over become a free block of their own. Fewer stay
    with the tensor, and count as allocated.
    """

    __slots__ = ("card", "free", "keep")

    def __init__(self, card: Card, small: bool) -> None:
        self.card = card
        self.keep = MIN_BLOCK if small else SMALL_SIZE + 1
        self.free: list[tuple[int, int, Block]] = []

    def add(self, block: Block) -> None:
        """Take a block in."""
        insort(self.free, (block.size, block.address, block))

    def remove(self, block: Block) -> None:
        """Let a block go."""
        del self.free[bisect_left(self.free, (block.size, block.address))]

    def add_merged(self, block: Block) -> None:
        """``free_block`` and ``try_merge_blocks``: take a block in, as one with what is free on either side of it."""
        before, after = block.previous, block.next
        if before is not None and not before.allocated and before.mapped == block.mapped:
            self.remove(before)
            block.address = before.address
            block.size += before.size
            block.link(before.previous, after)
        if after is not None and not after.allocated and after.mapped == block.mapped:
            self.remove(after)
            block.size += after.size
            block.link(block.previous, after.next)
        self.add(block)

    def cached(self, size: int) -> Block | None:
        """``get_free_block``: the smallest free block of at least ``size`` bytes, the lowest of equals, or None."""
        at = bisect_left(self.free, (size,))
        return self.free.pop(at)[2] if at < len(self.free) else None

    def fresh(self, size: int) -> Block | None:
        """``alloc_block``: a segment from the card as one block for ``size`` bytes; None if too little is left."""
        size = segment_size(size)
        return Block(self, self.card.addresses(size), size) if self.card.take(size) else None

    def release(self) -> None:
        """``release_blocks``: give the segments back that are free from end to end."""
        kept = [entry for entry in self.free if entry[2].previous is not None or entry[2].next is not None]
        self.card.reserved -= sum(size for size, _, _ in self.free) - sum(size for size, _, _ in kept)
        self.free = kept
