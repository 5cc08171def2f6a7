"""The model of PyTorch's caching allocator: every rule by hand, PyTorch's expectations, its published binaries."""

from __future__ import annotations

import itertools
import random
import zlib
from collections.abc import Iterator
from typing import Protocol

import pytest

from course_lib.errors import CourseError
from course_lib.memory.allocator import CachingAllocator, OutOfMemory, replay, round_size, workspace_bytes

KIB, MIB = 1 << 10, 1 << 20
BOTH = pytest.mark.parametrize("expandable", [False, True])


def filled(*sizes: int, capacity: int | None = None, expandable: bool = False) -> CachingAllocator:
    """An allocator with tensors 0, 1, ... of these sizes."""
    cache = CachingAllocator(capacity, expandable)
    for id, size in enumerate(sizes):
        cache.allocate(id, size)
    return cache


def blocks(cache: CachingAllocator) -> list[list[int]]:
    """Of every segment: its blocks in MiB, free ones negative."""
    return [[size // MIB if used else -size // MIB for _, size, used in segment.blocks] for segment in cache.segments]


# --- sizes ---


@pytest.mark.parametrize(("asked", "given"), [(1, 512), (511, 512), (512, 512), (513, 1024), (1_000_000, 1_000_448)])
@BOTH
def test_a_tensor_gets_a_multiple_of_512_bytes(asked: int, given: int, expandable: bool) -> None:
    # 1,000,000 / 512 = 1953.125, and 1954 x 512 = 1,000,448
    cache = filled(asked, expandable=expandable)
    assert (cache.requested, cache.allocated, round_size(asked)) == (asked, given, given)


@BOTH
def test_a_tensor_without_elements_takes_nothing(expandable: bool) -> None:
    cache = filled(0, expandable=expandable)
    assert (cache.allocated, cache.reserved) == (0, 0)
    cache.free(0)
    assert cache.segments == ()


@pytest.mark.parametrize(
    ("asked", "reserved"),
    [
        (1, 2 * MIB),  # small pool
        (MIB, 2 * MIB),  # the largest small request
        (MIB + 1, 20 * MIB),  # large pool, below 10 MiB
        (10 * MIB - 512, 20 * MIB),
        (10 * MIB - 511, 10 * MIB),  # rounded to 10 MiB first, so no longer below
        (10 * MIB + 1, 12 * MIB),  # the next multiple of 2 MiB
        (100 * MIB, 100 * MIB),
    ],
)
def test_the_size_of_a_new_segment_depends_on_the_request_alone(asked: int, reserved: int) -> None:
    assert filled(asked).reserved == reserved


@pytest.mark.parametrize(
    ("asked", "reserved"), [(1, 2), (3 * MIB, 20), (15 * MIB, 20), (21 * MIB, 40), (100 * MIB, 100)]
)
def test_an_expandable_segment_grows_by_2_mib_for_small_and_20_mib_for_large_requests(
    asked: int, reserved: int
) -> None:
    assert filled(asked, expandable=True).reserved == reserved * MIB


# --- segments, blocks, best fit ---


def test_two_tensors_of_1_mib_share_a_segment_and_a_third_takes_another() -> None:
    # test_mempool_with_allocator in PyTorch's test/test_cuda.py expects 1, 1 and 2 segments.
    assert [len(filled(*[MIB] * n).segments) for n in (1, 2, 3)] == [1, 1, 2]


def test_a_segment_of_20_mib_is_shared_by_requests_below_10_mib() -> None:
    # 6 + 6 + 6 = 18 MiB; the fourth does not fit into the 2 MiB left, and takes the next segment.
    assert blocks(filled(*[6 * MIB] * 4)) == [[6, 6, 6, -2], [6, -14]]


def test_the_two_pools_do_not_help_each_other() -> None:
    cache = filled(5 * MIB, 1000)  # 15 MiB are free in the large pool, yet the small tensor takes a small segment
    assert cache.reserved == 22 * MIB
    assert [segment.small for segment in cache.segments] == [False, True]


@pytest.mark.parametrize(
    ("asked", "left"),
    [
        (11 * MIB, 0),  # 12 - 11 = 1 MiB, which is not more than 1 MiB: the tensor keeps all 12
        (11 * MIB - 512, MIB + 512),  # more than 1 MiB is left: split
    ],
)
def test_a_large_block_is_split_if_more_than_1_mib_is_left(asked: int, left: int) -> None:
    cache = filled(12 * MIB)
    cache.free(0)
    cache.allocate(1, asked)
    assert cache.requested == asked
    assert cache.allocated == 12 * MIB - left
    assert cache.reserved == 12 * MIB


def test_a_small_block_is_split_if_512_bytes_are_left() -> None:
    cache = filled(MIB, MIB - 512)
    assert [size for _, size, _ in cache.segments[0].blocks] == [MIB, MIB - 512, 512]
    cache.allocate(2, 100)
    assert cache.reserved == 2 * MIB


def test_expandable_segments_split_off_512_bytes_of_large_blocks_too() -> None:
    cache = filled(20 * MIB - 512, expandable=True)
    assert [size for _, size, _ in cache.segments[0].blocks] == [20 * MIB - 512, 512]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
@BOTH
def test_freed_neighbours_become_one_block_in_whatever_order_they_go(order: tuple[int, ...], expandable: bool) -> None:
    cache = filled(*[4 * MIB] * 4, expandable=expandable)
    for id in order:
        cache.free(id)
    assert blocks(cache) == [[-20]]
    cache.allocate(9, 20 * MIB)
    assert (cache.allocated, cache.reserved) == (20 * MIB, 20 * MIB)


def test_a_request_takes_the_smallest_block_that_is_large_enough() -> None:
    cache = filled(16 * MIB, 12 * MIB, 14 * MIB)
    for id in range(3):
        cache.free(id)
    cache.allocate(3, 11 * MIB)  # the one of 12, of which it keeps the last MiB too
    cache.allocate(4, 13 * MIB)  # the one of 14
    assert blocks(cache) == [[-16], [12], [14]]


def test_of_equal_blocks_the_lowest_address_is_taken() -> None:
    cache = filled(12 * MIB, 12 * MIB, 12 * MIB)
    for id in (2, 1, 0):
        cache.free(id)
    cache.allocate(3, 12 * MIB)
    assert blocks(cache) == [[12], [-12], [-12]]


# --- fragmentation, and what expandable segments do about it ---


def test_memory_is_lost_where_no_free_block_fits() -> None:
    # Two segments of 16 MiB are free, 32 MiB in all, but 30 MiB fit into neither: 16 + 16 + 30 = 62 MiB reserved.
    cache = filled(16 * MIB, 16 * MIB)
    cache.free(0)
    cache.free(1)
    cache.allocate(2, 30 * MIB)
    assert (cache.allocated, cache.reserved) == (30 * MIB, 62 * MIB)


def test_an_expandable_segment_does_not_lose_it() -> None:
    # 16 MiB need one granule of 20; the next 16 begin in its last 4 MiB and need a second: 40 MiB, one piece when free.
    cache = filled(16 * MIB, 16 * MIB, expandable=True)
    assert blocks(cache) == [[16, 16, -8]]
    cache.free(0)
    cache.free(1)
    cache.allocate(2, 30 * MIB)
    assert blocks(cache) == [[30, -10]]


@pytest.mark.parametrize(("expandable", "reserved"), [(False, 48 + 56), (True, 60)])
def test_longer_batches_leave_segments_behind_that_are_too_short(expandable: bool, reserved: int) -> None:
    # Four tensors of 12 MiB, then four of 14: none of the 12 fits, so 4 x 12 + 4 x 14 = 104 MiB for 56. Expandable: 48
    # MiB are three granules of 20, in which 56 MiB find room.
    sizes = [12 * MIB] * 4 + [14 * MIB] * 4
    run = replay(sizes, [0, 1, 2, 3, ~0, ~1, ~2, ~3, 4, 5, 6, 7], expandable=expandable)
    assert (run.peak_allocated, run.peak_reserved) == (56 * MIB, reserved * MIB)


def test_empty_granules_between_tensors_go_back_to_the_card() -> None:
    # 50 MiB, of which the second 45 MiB are free again: granules 0 to 20 and 40 to 60 hold something, 20 to 40 does
    # not.
    cache = filled(5 * MIB, 40 * MIB, 5 * MIB, expandable=True)
    cache.free(1)
    cache.empty_cache()
    assert cache.reserved == 40 * MIB
    assert blocks(cache) == [[5, -15], [-5, 5, -10]]
    cache.allocate(3, 30 * MIB)  # 15 + 20 + 5 lie together once the granule is mapped again, as the lowest that fits
    assert cache.reserved == 60 * MIB
    assert blocks(cache) == [[5, 30, -10, 5, -10]]


# --- a full card ---


def test_a_full_card_gives_the_cache_back_and_tries_again() -> None:
    cache = filled(16 * MIB, 16 * MIB, capacity=60 * MIB)
    cache.free(0)
    cache.free(1)
    cache.allocate(2, 30 * MIB)  # 32 + 30 > 60, so both free segments go first
    assert (cache.reserved, cache.peak_reserved, cache.retries) == (30 * MIB, 32 * MIB, 1)


def test_segments_with_a_tensor_in_them_cannot_be_given_back() -> None:
    cache = filled(6 * MIB, 6 * MIB, capacity=48 * MIB)
    cache.free(1)  # 14 MiB of its segment are free, but it is split
    with pytest.raises(
        OutOfMemory, match=r"31,457,280 more bytes are needed and the card has 29,360,128 left"
    ) as caught:
        cache.allocate(2, 30 * MIB)
    error = caught.value
    assert (error.needed, error.free) == (30 * MIB, 28 * MIB)
    assert (error.allocated, error.reserved) == (6 * MIB, 20 * MIB)
    assert isinstance(error, CourseError)
    cache.allocate(2, 28 * MIB)  # what failed left nothing behind
    assert cache.reserved == 48 * MIB


@BOTH
def test_a_capacity_that_is_met_exactly_is_enough(expandable: bool) -> None:
    cache = filled(20 * MIB, 20 * MIB, capacity=40 * MIB, expandable=expandable)
    assert cache.retries == 0
    with pytest.raises(OutOfMemory):
        cache.allocate(2, 512)


# --- misuse ---


def test_a_log_that_contradicts_itself_is_an_error() -> None:
    cache = filled(100)
    with pytest.raises(ValueError, match="id 7 is not allocated"):
        cache.free(7)
    with pytest.raises(ValueError, match="id 0 is allocated already"):
        cache.allocate(0, 100)
    with pytest.raises(ValueError, match="id 1 asks for -5 bytes"):
        cache.allocate(1, -5)
    cache.free(0)
    with pytest.raises(ValueError, match="id 0 is not allocated"):
        cache.free(0)
    cache.allocate(0, 100)  # ids may come back
    with pytest.raises(ValueError, match="id 2 has no size"):
        replay([1, 1], [0, 1, 2])


# --- what PyTorch's tests expect ---


@pytest.mark.parametrize(
    ("nbytes", "segments", "reserved", "after", "reserved_expandable", "after_expandable"),
    [
        (512, 1, 2, 2, 2, 2),
        (MIB, 2, 4, 2, 4, 2),
        (MIB + 512, 1, 20, 20, 20, 20),
        (10 * MIB - 512, 2, 40, 20, 40, 40),
        (10 * MIB + 512, 3, 36, 12, 40, 20),
    ],
)
def test_the_numbers_of_pytorchs_test_of_graph_memory(
    nbytes: int, segments: int, reserved: int, after: int, reserved_expandable: int, after_expandable: int
) -> None:
    """``test_graph_memory_stats_and_use_result_after_destroy_graph`` in PyTorch's test/test_cuda.py, in MiB.

    Its graph runs ``b = a.clone()`` and five times ``b = b.clone() + 1`` in a pool of its own; ``after`` is what is
    left when the cache is emptied while ``b`` lives.
    """
    for expandable, before, then in [(False, reserved, after), (True, reserved_expandable, after_expandable)]:
        cache = filled(nbytes, expandable=expandable)
        for b in range(0, 15, 3):
            cache.allocate(b + 1, nbytes)  # b.clone()
            cache.allocate(b + 3, nbytes)  # + 1
            cache.free(b + 1)
            cache.free(b)
        assert cache.reserved == before * MIB
        assert expandable or len(cache.segments) == segments
        cache.empty_cache()
        assert cache.reserved == then * MIB


def test_a_linear_layer_leaves_a_cublas_workspace_behind() -> None:
    # github.com/pytorch/pytorch/issues/95668: Linear(1, 1) on an A10G, then memory_allocated() is 8,519,680.
    cache = filled(4, 4, 4, workspace_bytes((8, 6)), 4)  # weight, bias, input, workspace, output
    for id in (0, 1, 2, 4):
        cache.free(id)
    assert cache.allocated == 8_519_680 == (2 * 4096 + 8 * 16) * KIB
    assert cache.reserved == 22 * MIB  # 8.125 MiB are cut from a segment of 20


@pytest.mark.parametrize(
    ("capability", "mib"), [((7, 0), 8.125), ((7, 5), 8.125), ((8, 9), 8.125), ((9, 0), 32), ((12, 0), 32)]
)
def test_cublas_gets_32_mib_from_hopper_on(capability: tuple[int, int], mib: float) -> None:
    assert workspace_bytes(capability) == mib * MIB


# --- what its published binaries count ---


class Machine(Protocol):
    allocated: int

    @property
    def reserved(self) -> int: ...
    def allocate(self, id: int, nbytes: int) -> None: ...
    def free(self, id: int) -> None: ...
    def empty_cache(self) -> None: ...


def numbers(seed: int) -> Iterator[int]:
    """A linear congruential generator: the same everywhere and for ever."""
    while True:
        seed = (seed * 6364136223846793005 + 1442695040888963407) % 2**64
        yield seed >> 33


def drive(machine: Machine, seed: int, events: int = 3000) -> tuple[int, int]:
    """Allocate and free at random; give the failures, and a checksum of (allocated, reserved) after every event."""
    draw = numbers(seed)
    live: list[int] = []
    failures = checksum = 0
    for id in range(events):
        action = next(draw) % 1000
        if action == 0:
            machine.empty_cache()
        elif action < 450 and live:
            machine.free(live.pop(next(draw) % len(live)))
        else:
            top = 1 << (9 + next(draw) % 17)
            size = [top, top + 1, top - 1, 1 + next(draw) % top, 3 * top // 2][next(draw) % 5]
            try:
                machine.allocate(id, size)
                live.append(id)
            except OutOfMemory:
                failures += 1
        checksum = zlib.crc32(b"%d %d;" % (machine.allocated, machine.reserved), checksum)
    return failures, checksum


RECORDED: list[tuple[int, int | None, bool, tuple[int, int, int, int, int, int]]] = [
    (1, None, False, (1_143_298_560, 1_233_125_376, 57, 0, 0, 1_920_324_381)),
    (2, None, False, (1_050_373_120, 1_113_587_712, 43, 0, 0, 3_436_342_799)),
    (3, None, False, (718_536_704, 788_529_152, 38, 0, 0, 4_061_193_528)),
    (4, 600, False, (611_708_416, 629_145_600, 31, 34, 31, 3_910_355_116)),
    (5, 300, False, (296_210_944, 314_572_800, 15, 98, 95, 2_900_190_386)),
    (6, 120, False, (123_019_776, 125_829_120, 12, 236, 235, 4_145_449_991)),
    (1, None, True, (1_137_627_136, 1_254_096_896, 2, 0, 0, 2_525_680_310)),
    (2, None, True, (1_042_784_256, 1_096_810_496, 2, 0, 0, 1_165_808_710)),
    (3, None, True, (709_446_656, 801_112_064, 2, 0, 0, 635_347_053)),
    (4, 600, True, (595_586_048, 620_756_992, 2, 24, 21, 1_910_991_780)),
    (5, 300, True, (286_954_496, 314_572_800, 4, 96, 95, 1_831_170_570)),
    (6, 120, True, (115_887_616, 125_829_120, 2, 203, 203, 478_425_561)),
]


@pytest.mark.parametrize(("seed", "capacity", "expandable", "recorded"), RECORDED)
def test_every_counter_equals_that_of_the_published_binaries(
    seed: int, capacity: int | None, expandable: bool, recorded: tuple[int, ...]
) -> None:
    """Counters of libc10_cuda.so from the wheels of torch 2.11.0, 2.13.0 and 2.15.0 (cp311, Linux), which agree.

    The library ran against a CUDA runtime that hands out rising addresses and fails beyond the capacity (in MiB), over
    the events of `drive`: peak allocated, peak reserved, segments at the end, retries, failures, checksum.
    """
    cache = CachingAllocator(capacity and capacity * MIB, expandable)
    failures, checksum = drive(cache, seed)
    counters = (cache.peak_allocated, cache.peak_reserved, len(cache.segments), cache.retries, failures, checksum)
    assert counters == recorded


# --- invariants ---


@pytest.mark.parametrize("seed", range(6))
@BOTH
def test_blocks_tile_segments_and_counters_agree_with_them_at_every_moment(seed: int, expandable: bool) -> None:
    draw = random.Random(seed)
    cache, live = CachingAllocator(200 * MIB if seed % 2 else None, expandable), dict[int, int]()
    for id in range(600):
        if live and draw.random() < 0.45:
            gone = draw.choice(list(live))
            cache.free(gone)
            del live[gone]
        else:
            size = int(2 ** draw.uniform(3, 25))
            try:
                cache.allocate(id, size)
                live[id] = size
            except OutOfMemory:
                assert seed % 2
        if draw.random() < 0.01:
            cache.empty_cache()
        check(cache, live)
    for id in live:
        cache.free(id)
    assert all(len(segment.blocks) == 1 for segment in cache.segments)
    assert cache.allocated == cache.requested == 0
    cache.empty_cache()
    assert (cache.reserved, cache.segments) == (0, ())


def check(cache: CachingAllocator, live: dict[int, int]) -> None:
    end = 0
    for segment in cache.segments:
        assert segment.address >= end
        end = segment.address
        for address, size, _ in segment.blocks:
            assert address == end
            assert size > 0
            assert size % 512 == 0
            end += size
        assert end == segment.address + segment.size
        assert segment.size % (2 * MIB) == 0
        for (_, _, left), (_, _, right) in itertools.pairwise(segment.blocks):
            assert left or right  # two free neighbours would have been joined
    used = [size for segment in cache.segments for _, size, allocated in segment.blocks if allocated]
    assert len(used) == len(live)
    assert cache.allocated == sum(used) >= cache.requested == sum(live.values())
    assert cache.reserved == sum(segment.size for segment in cache.segments) >= cache.allocated
    assert cache.peak_reserved >= cache.reserved
    assert cache.peak_allocated >= cache.allocated
    assert cache.card.capacity is None or cache.reserved <= cache.card.capacity


# --- replay ---


def test_a_replay_tells_the_peaks_of_each_phase_and_when_they_were() -> None:
    sizes = [4 * MIB, 18 * MIB, 30 * MIB, 1000]
    events = [0, 1, 2, ~2, ~1, 3]
    run = replay(sizes, events, [(0, "load"), (1, "forward"), (3, "backward")])
    # 4 MiB of a segment of 20; 18 and 30 in segments of their own; back to 4, and a small segment of 2
    assert (run.peak_allocated, run.peak_allocated_at) == (52 * MIB, 2)
    assert (run.peak_reserved, run.peak_reserved_at) == (70 * MIB, 5)
    assert {name: (peaks.allocated // MIB, peaks.reserved // MIB) for name, peaks in run.phases.items()} == {
        "load": (4, 20),
        "forward": (52, 68),
        "backward": (52, 70),  # what lies there when a phase begins counts
    }
    assert (run.allocated, run.reserved, run.retries, run.released) == (4 * MIB + 1024, 70 * MIB, 0, False)


def test_a_phase_that_comes_back_has_the_peak_of_its_highest_turn() -> None:
    run = replay([MIB, 2 * MIB], [0, ~0, 1, ~1], [(0, "a"), (1, "b"), (2, "a"), (3, "b")])
    assert run.phases["a"].allocated == run.phases["b"].allocated == 2 * MIB
    assert run.phases["a"].allocated_at == 2


def test_a_peak_that_is_reached_again_is_told_where_it_was_first() -> None:
    run = replay([MIB], [0, ~0, 0, ~0])
    assert (run.peak_allocated_at, run.peak_reserved_at) == (0, 0)


def test_what_comes_before_the_first_phase_counts_for_the_whole_alone() -> None:
    run = replay([8 * MIB, MIB], [0, ~0, 1], [(2, "step")])
    assert run.peak_allocated == 8 * MIB
    assert run.phases["step"].allocated == MIB


def test_a_step_that_is_repeated_can_need_more_than_the_first() -> None:
    # 0 is what the step before left (a segment of 12 MiB). The step takes 30 MiB, gives them back, cuts 11 MiB out of
    # them that stay (2), and lets 0 go. The next finds 12 and 19 MiB free, but no 30, and takes another segment: 12 +
    # 30 + 30. From then on there is always one of 30 free.
    sizes, events = [11 * MIB, 30 * MIB, 11 * MIB], [0, 1, ~1, 2, ~0]
    reserved = [replay(sizes, events, step_from=1, steps=steps).peak_reserved // MIB for steps in (1, 2, 3, 10)]
    assert reserved == [42, 72, 72, 72]


def test_what_a_step_frees_of_the_step_before_is_what_that_left_in_its_place() -> None:
    # Gradients of two sizes (0, 1), let go before new ones (3, 2) come: at every turn those of the turn before go.
    sizes, events = [30 * MIB, 50 * MIB, 50 * MIB, 30 * MIB], [0, 1, ~1, ~0, 3, 2]
    run = replay(sizes, events, [(0, "first"), (2, "again")], step_from=2, steps=7)
    assert (run.peak_allocated, run.peak_reserved, run.allocated) == (80 * MIB, 80 * MIB, 80 * MIB)
    assert run.phases["again"].allocated_at == 2  # both were there when it began


def test_a_step_that_leaves_more_behind_than_it_takes_away_cannot_be_repeated() -> None:
    with pytest.raises(ValueError, match="as large as what it frees"):
        replay([5, 600, 5], [0, 1, ~0], step_from=1, steps=2)


def test_a_step_that_ends_as_it_began_is_repeated_with_the_same_peaks() -> None:
    sizes, events = [MIB, 3 * MIB, 5 * MIB], [0, 1, 2, ~1, ~2]
    assert replay(sizes, events, step_from=1, steps=50) == replay(sizes, events)


def test_a_replay_stops_at_the_event_that_finds_no_room_and_counts_releases() -> None:
    with pytest.raises(OutOfMemory) as caught:
        replay([16 * MIB, 30 * MIB], [0, 1], capacity=40 * MIB)
    assert caught.value.event == 1
    run = replay([16 * MIB, 30 * MIB], [0, ~0, 1], capacity=40 * MIB)
    assert (run.retries, run.released, run.peak_reserved) == (1, True, 30 * MIB)


@pytest.mark.parametrize(
    "wrong", [{"phases": [(2, "b"), (1, "a")]}, {"phases": [(9, "a")]}, {"steps": 0}, {"step_from": 4}]
)
def test_phases_and_steps_have_to_begin_inside_the_log(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="have to begin at indices of events"):
        replay([1, 1], [0, 1], **wrong)  # type: ignore[arg-type]


def test_an_empty_log_needs_nothing() -> None:
    run = replay([], [], [(0, "load")])
    assert (run.peak_allocated, run.peak_reserved, run.phases) == (0, 0, {})


def test_peaks_can_be_counted_anew() -> None:
    cache = filled(30 * MIB, 1000)
    cache.free(0)
    cache.empty_cache()
    cache.reset_peaks()
    assert (cache.peak_allocated, cache.peak_reserved) == (1024, 2 * MIB)
