"""Bucketing: texts of similar length side by side, in an order that can be found again.

Texts differ in length, and a batch is as long as its longest text: in random batches of reviews, more than a third of
what a model computes is padding (lesson 03 measures it). Bucketing shuffles the records, sorts within pools of a few
dozen batches, cuts the pools into batches and shuffles those: half of the padding or more is gone, and the order is
still random. (A pool is at most a quarter of the records: if it were all of them, the same records would meet in every
epoch.) The order of an epoch depends on nothing but the seed and the epoch's number, so a resumed run finds its place
by counting.

Left out: packing several texts into one row (`packing`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from course_lib.errors import CourseError

IGNORE = -100  # the label that torch's cross-entropy leaves out
POOL = 32  # batches sorted together: enough to remove padding, few enough to stay random


@dataclass(frozen=True)
class Batches:
    """Records, how to put some of them into one batch, and the order in which an epoch visits them.

    ``lengths`` holds the number of tokens of each record; ``collate`` gets a list of items and returns a dictionary
    of tensors with a ``labels`` entry.
    """

    items: Sequence[Any]
    lengths: Sequence[int]
    collate: Callable[[list[Any]], dict[str, torch.Tensor]]
    batch_size: int
    seed: int = 0
    shuffle: bool = True
    bucket: bool = True  # False: the plain random batches that bucketing is compared with

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise CourseError(f"batch_size must be at least 1, not {self.batch_size}.")
        if self.seed < 0:
            raise CourseError(f"The seed must be at least 0, not {self.seed}.")
        if len(self.items) != len(self.lengths):
            raise ValueError(f"{len(self.items)} items, but {len(self.lengths)} lengths")

    def epoch(self, number: int, batch_size: int | None = None) -> list[list[int]]:
        """The batches of one epoch as lists of indices: every index exactly once."""
        size = batch_size or self.batch_size
        lengths = np.asarray(self.lengths)
        if not self.shuffle:
            order = np.argsort(lengths, kind="stable")
            return [order[start : start + size].tolist() for start in range(0, len(order), size)]
        random = np.random.default_rng([self.seed, number])
        order = random.permutation(len(lengths))
        batches = []
        pooled = size * max(1, min(POOL, len(order) // (4 * size))) if self.bucket else size
        for start in range(0, len(order), pooled):
            pool = order[start : start + pooled]
            pool = pool[np.argsort(lengths[pool], kind="stable")]
            batches += [pool[k : k + size].tolist() for k in range(0, len(pool), size)]
        random.shuffle(batches)
        return batches

    def fetch(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        """The batch made of these records."""
        return self.collate([self.items[index] for index in indices])


def pad(rows: Sequence[torch.Tensor], value: float = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows (T_i, ...) to one tensor (B, T, ...) filled up with ``value``, and its mask (B, T) of ones and zeros."""
    longest = max(len(row) for row in rows)
    out = rows[0].new_full((len(rows), longest, *rows[0].shape[1:]), value)
    mask = torch.zeros(len(rows), longest, dtype=torch.long)
    for k, row in enumerate(rows):
        out[k, : len(row)] = row
        mask[k, : len(row)] = 1
    return out, mask


def mean_pool(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean of the states (B, T, d) over the tokens of each text: (B, d)."""
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1)


def label_count(batch: dict[str, torch.Tensor]) -> int:
    """How many labels of a batch count for the loss."""
    return int((batch["labels"] != IGNORE).sum())


def padding_share(batches: Batches, epoch: int = 0) -> float:
    """The part of all computed positions that is padding, between 0 and 1."""
    lengths = np.asarray(batches.lengths)
    computed = sum(len(batch) * lengths[batch].max() for batch in batches.epoch(epoch))
    return float(1 - lengths.sum() / computed)
