"""What every rung of the ladder works on: the same records, the same encoder, the same settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from torch import Tensor

from course_lib import hardware
from course_lib.batching import Batches
from course_lib.classify.encoder import Encoder, collate
from course_lib.classify.prefix import Cost, PrefixCache
from course_lib.records import Records

if TYPE_CHECKING:
    from course_lib.tiers import Tier

CACHE_SHARE = 0.25  # of the free memory
RATE_TIMES_WIDTH = 0.04


@dataclass(frozen=True)
class LadderConfig:
    """Settings of all rungs.

    The rate of the pretrained weights was the best of 1e-4, 2e-4 and 4e-4 for training all layers on part of an early
    version of the reviews; the others are usual values and were not searched for.
    """

    batch_size: int = 16
    epochs: int = 3
    learning_rate: float | None = None  # of pretrained weights; None: 0.04 / width, 1e-4 for 384 and 5e-5 for 768
    head_rate: float = 1e-3  # new weights: they start from noise
    head_epochs: int = 30
    head_hidden: int = 128
    layer_decay: float = 0.75  # layer-wise: each block learns this much slower than the one above
    lora_rank: int = 8
    lora_rate: float = 1e-3
    rnn_epochs: int = 8
    rnn_width: int = 64
    rnn_rate: float = 3e-3
    precision: str = "auto"
    cache: bool = True
    seed: int = 0

    @classmethod
    def for_tier(cls, tier: Tier, seed: int = 0) -> LadderConfig:
        """The settings of a tier."""
        names = {f.name for f in dataclasses.fields(cls)}
        return cls(**{k: v for k, v in dataclasses.asdict(tier).items() if k in names}, seed=seed)


@dataclass
class Task:
    """Training and test records, an encoder and settings; tokens and cached states are made once, on first use."""

    train: Records
    test: Records
    encoder: Encoder
    config: LadderConfig = LadderConfig()
    _shared: tuple[PrefixCache, list[int]] | None = field(
        default=None, repr=False
    )  # the cache of a larger task, and our places in it

    @cached_property
    def ids(self) -> list[Tensor]:
        """Token ids of the training texts, then of the test texts."""
        return self.encoder.tokenize([*self.train.texts, *self.test.texts])

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.train.classes)

    @property
    def learning_rate(self) -> float:
        """The rate of the pretrained weights: wider encoders want smaller steps."""
        return self.config.learning_rate or RATE_TIMES_WIDTH / self.encoder.width

    @cached_property
    def precision(self) -> str:
        """The precision that every rung computes in."""
        return hardware.detect().precision if self.config.precision == "auto" else self.config.precision

    @cached_property
    def cache(self) -> PrefixCache:
        """The states of all texts after each block."""
        if self._shared:
            return self._shared[0]
        budget = int(hardware.detect().ram_free * CACHE_SHARE) if self.config.cache else 0
        levels = frozenset(range(1, self.encoder.depth + 1))
        return PrefixCache(self.encoder, self.ids, levels, budget, self.precision)

    @cached_property
    def places(self) -> list[int]:
        """Where this task's texts, training then test, stand in the cache."""
        return self._shared[1] if self._shared else list(range(len(self.ids)))

    def states(self, level: int) -> tuple[list[Tensor], list[Tensor]] | None:
        """States after ``level`` blocks of the training and of the test texts; None where they are not kept."""
        rows = self.cache.states(level) if level > 0 and self.config.cache else None
        if rows is None:
            return None
        mine = [rows[place] for place in self.places]
        return mine[: len(self.train)], mine[len(self.train) :]

    def prefix_cost(self, level: int) -> Cost:
        """What computing the states of this level for this task's texts has cost; nothing if they are not kept."""
        if self.states(level) is None:
            return Cost()
        tokens = sum(len(self.cache.ids[place]) for place in self.places)
        return self.cache.cost(level).share(tokens / sum(map(len, self.cache.ids)))

    def sample(self, size: int) -> Task:
        """The same task with fewer training records, sharing the cached states."""
        chosen = self.train.sample_indices(size, self.config.seed)
        tests = self.places[len(self.train) :]
        shared = (self.cache, [self.places[k] for k in chosen] + tests)
        return Task(self.train.subset(chosen), self.test, self.encoder, self.config, shared)

    def batches(self, rows: Sequence[Tensor], labels: Sequence[int], shuffle: bool = True) -> Batches:
        """Batches of (ids or states, label) in buckets of similar length."""
        return Batches(
            list(zip(rows, labels, strict=True)),
            [len(row) for row in rows],
            collate,
            self.config.batch_size,
            seed=self.config.seed,
            shuffle=shuffle,
        )
