"""From allocated to reserved: a model of PyTorch's CUDA caching allocator.

A card gives memory out slowly (``cudaMalloc``), so PyTorch asks it for large *segments* and cuts them into *blocks*
itself. What live tensors need is **allocated**; what the process holds, and ``nvidia-smi`` shows on top of the CUDA
context, is **reserved**. The second is larger: sizes are rounded, segments are cut, and a freed block helps only a
request that fits into it. `replay` runs a log of allocations, traced without any card, through the same rules and tells
both.

The rules, each in the function that follows it, are those of ``DeviceCachingAllocator`` in PyTorch's
`c10/cuda/CUDACachingAllocator.cpp <https://github.com/pytorch/pytorch/blob/v2.13.0/c10/cuda/CUDACachingAllocator.cpp>`_
and of the constants in ``c10/core/AllocatorConfig.h``, with default settings. They did not change from torch 2.11 to
2.15: the tests hold counters of the published binaries, run on a CUDA runtime that hands out addresses without a card
behind them.

Left out: several streams, private pools (CUDA graphs), the settings ``max_split_size_mb``, ``roundup_power2_divisions``
and ``garbage_collection_threshold``, and where the driver puts a segment. Addresses rise here; free blocks of one size
are told apart by address alone, so on a card another of them may be taken.
"""

from course_lib.memory.allocator.blocks import (
    LARGE_SEGMENT,
    MIN_BLOCK,
    MIN_LARGE,
    ROUND_LARGE,
    SMALL_SEGMENT,
    SMALL_SIZE,
    round_size,
    segment_size,
)
from course_lib.memory.allocator.caching import CachingAllocator, OutOfMemory, Segment
from course_lib.memory.allocator.replay import Peaks, Replay, replay
from course_lib.memory.allocator.workspace import workspace_bytes

__all__ = [
    "LARGE_SEGMENT",
    "MIN_BLOCK",
    "MIN_LARGE",
    "ROUND_LARGE",
    "SMALL_SEGMENT",
    "SMALL_SIZE",
    "CachingAllocator",
    "OutOfMemory",
    "Peaks",
    "Replay",
    "Segment",
    "replay",
    "round_size",
    "segment_size",
    "workspace_bytes",
]
