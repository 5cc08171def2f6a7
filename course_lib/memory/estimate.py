"""What both engines answer with."""

from __future__ import annotations

from dataclasses import dataclass

from course_lib.memory.trace.log import Peak


@dataclass(frozen=True)
class Estimate:
    """What an engine found: each phase's peak, bytes of segments, parameters, and whether they fit the GPU."""

    engine: str
    phases: dict[str, Peak]
    segments: int
    total_params: int
    trainable_params: int
    fits: bool
