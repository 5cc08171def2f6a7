"""Frozen blocks compute the same for a text every time; so compute it once.

With the first k of L blocks frozen, an epoch of training costs a forward pass through the k blocks and a forward and
backward pass through the rest, in proportion ``k + 3 (L - k)``. Keeping the states after block k leaves ``3 (L - k)``,
and one pass through the whole encoder fills the states of every level on its way up. It is exact as long as nothing
random happens below the cut, which is why frozen blocks run without dropout.

The price is memory: ``tokens x width x 4`` bytes a level. What does not fit into the budget is not kept, the lowest
levels first because they save least, and a rung that asks for such a level computes its frozen part again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from course_lib import hardware
from course_lib.batching import pad
from course_lib.classify.encoder import Encoder


@dataclass(frozen=True)
class Cost:
    """CPU seconds (all threads), wall seconds and peak bytes of some work."""

    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    peak_bytes: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.cpu_seconds + other.cpu_seconds,
            self.wall_seconds + other.wall_seconds,
            max(self.peak_bytes, other.peak_bytes),
        )

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.cpu_seconds - other.cpu_seconds, self.wall_seconds - other.wall_seconds, self.peak_bytes)

    def share(self, part: float) -> Cost:
        """The cost of a part of the work, by its share of the tokens; the peak stays."""
        return Cost(part * self.cpu_seconds, part * self.wall_seconds, self.peak_bytes)


@dataclass
class PrefixCache:
    """The states of some texts after each wanted block, filled in one pass on first use."""

    encoder: Encoder
    ids: Sequence[Tensor]
    levels: frozenset[int]  # wanted: level k is after k blocks
    budget: int  # bytes
    precision: str = "no"
    batch_size: int = 32
    _states: dict[int, list[Tensor]] = field(default_factory=dict)
    _costs: dict[int, Cost] = field(default_factory=dict)

    def states(self, level: int) -> list[Tensor] | None:
        """States (T_i, d) of every text after ``level`` blocks, or None where they are not kept."""
        if level in self.levels and not self._costs:
            self._fill()
        return self._states.get(level)

    def spent(self) -> Cost:
        """All that filling the cache has cost so far."""
        return self.cost(self.encoder.depth)

    def cost(self, level: int) -> Cost:
        """What it takes to get from the texts to this level."""
        return sum((self._costs.get(k, Cost()) for k in range(1, level + 1)), Cost())

    def level_bytes(self) -> int:
        """Bytes that one level takes."""
        return sum(len(row) for row in self.ids) * self.encoder.width * 4

    def _fill(self) -> None:
        room = self.budget // max(1, self.level_bytes())
        kept = sorted(self.levels, reverse=True)[:room]
        rows: list[Tensor] = list(self.ids)
        for level in range(1, max(self.levels) + 1):
            with hardware.Meter() as meter:
                rows = self._through(level, rows)
            self._costs[level] = Cost(meter.cpu_seconds, meter.wall_seconds, meter.peak_bytes)
            if level in kept:
                self._states[level] = rows

    def _through(self, level: int, rows: list[Tensor]) -> list[Tensor]:
        """All texts through block ``level`` (counted from 1)."""
        device = hardware.device()
        block = self.encoder.span(level - 1, level).eval().to(device)
        order = np.argsort([len(row) for row in rows], kind="stable")
        out: list[Tensor] = list(rows)
        with torch.no_grad(), hardware.autocast(self.precision, device):
            for start in range(0, len(order), self.batch_size):
                chosen = order[start : start + self.batch_size]
                inputs, mask = pad([rows[i] for i in chosen])
                states = block(inputs.to(device), mask.to(device)).float().cpu()
                for i, state in zip(chosen, states, strict=True):
                    out[i] = state[: len(rows[i])].clone()
        return out
