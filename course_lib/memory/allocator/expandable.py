"""Expandable segments: one range of addresses for each pool, with memory put behind it in granules as it is needed.

Free blocks then join across what would have been the ends of segments, and a request one byte larger than anything
before grows the segment by a granule instead of leaving an old segment behind ("Note [Expandable Segments]" in the
source). The price: memory comes and goes in whole granules, 2 MiB in the small pool and 20 MiB in the large one.
"""

from __future__ import annotations

from bisect import bisect_left, insort

from course_lib.memory.allocator.blocks import LARGE_SEGMENT, MIN_BLOCK, SMALL_SEGMENT, Block, Card, Pool

# Addresses of a segment: 9/8 of the card's memory in PyTorch. Any number that is never used up does the same.
_ADDRESSES = LARGE_SEGMENT << 30


class ExpandablePool(Pool):
    """A pool that takes memory by the granule (``ExpandableSegment``) and splits off whatever is left."""

    __slots__ = ("granule", "unmapped")

    def __init__(self, card: Card, small: bool) -> None:
        super().__init__(card, small)
        self.keep = MIN_BLOCK
        self.granule = SMALL_SEGMENT if small else LARGE_SEGMENT
        self.unmapped: list[tuple[int, Block]] = []  # by address (BlockComparatorAddress)

    def add(self, block: Block) -> None:
        """Take a block in, where its kind belongs."""
        if block.mapped:
            super().add(block)
        else:
            insort(self.unmapped, (block.address, block))

    def remove(self, block: Block) -> None:
        """Let a block go."""
        if block.mapped:
            super().remove(block)
        else:
            del self.unmapped[bisect_left(self.unmapped, (block.address,))]

    def cached(self, size: int) -> Block | None:
        """``get_free_block``: the best fit, where a block before unmapped addresses counts with these."""
        free, at = self.free, bisect_left(self.free, (size,))
        if at == len(free):
            return None
        while at + 1 < len(free) and _expandable_size(free[at + 1][2]) < _expandable_size(free[at][2]):
            at += 1
        return free.pop(at)[2]

    def fresh(self, size: int) -> Block | None:
        """``try_allocate_expandable_block``: map granules next to free ones until ``size`` bytes hang together."""
        block = self._candidate(size)
        if not block.mapped and not self._map(block, min(block.size, size)):
            return None
        while block.size < size:
            assert block.next is not None  # the candidate's room was counted
            following = block.next
            if not self._map(following, min(size - block.size, following.size)):
                return None
            block = following
        self.remove(block)
        return block

    def release(self) -> None:
        """``release_blocks``: unmap every granule in which no tensor lies."""
        for _, _, block in list(self.free):
            self._unmap(block)

    def _candidate(self, size: int) -> Block:
        """``find_expandable_block``: the lowest block from which ``size`` addresses on are free, mapped or not."""
        for _, unmapped in self.unmapped:
            before = unmapped.previous
            start = unmapped if before is None or before.allocated else before
            room = 0
            block: Block | None = start
            while room < size and block is not None and not block.allocated:
                room += block.size
                block = block.next
            if room >= size:
                return start
        segment = Block(self, self.card.addresses(_ADDRESSES), _ADDRESSES, mapped=False)
        self.add(segment)
        return segment

    def _map(self, block: Block, size: int) -> bool:
        """``map_block``: put memory behind ``size`` bytes of an unmapped block; False if the card has too little."""
        size = -(-size // self.granule) * self.granule
        if not self.card.take(size):
            return False
        self.remove(block)
        if size < block.size:
            self.add(block.cut(size))
        block.mapped = True
        self.add_merged(block)
        return True

    def _unmap(self, block: Block) -> None:
        """``unmap_block``: give the granules back that lie wholly inside a free block."""
        first = -(-block.address // self.granule) * self.granule
        last = (block.address + block.size) // self.granule * self.granule
        if first >= last:
            return
        self.remove(block)
        if last < block.address + block.size:
            self.add(block.cut(last - block.address))
        if block.address < first:
            before, block = block, block.cut(first - block.address)
            self.add(before)
        block.mapped = False
        self.add_merged(block)
        self.card.reserved -= last - first


def _expandable_size(block: Block) -> int:
    """Bytes that a free block could grow to without moving (``expandable_size`` in the source)."""
    return block.size + (block.next.size if block.next is not None and not block.next.mapped else 0)
