"""What it costs to train on a set of conversations once, before it is tried.

Time is spent on every token that a model reads, learned or not, and on those that fill a batch up to its longest
conversation and mean nothing. Packed, with the conversations one after the other in a row, there are none of these:

    padding share = 1 - sum(lengths) / sum(longest of each batch x conversations in it)

FLOPs and hours are those of `memory.plan` for steps of the length that a token meets on average: the attention of a
long conversation costs each of its tokens more, so lengths are weighted with themselves.

Left out: batches sorted by length, which pad little without packing.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from course_lib.records.inspection import Lengths

BATCH = 8


@dataclass(frozen=True)
class Price:
    """One pass over the data: its tokens, those that are learned, the share of padding, and time on one GPU.

    ``hours`` leave padding out (the data packed); ``padded_hours`` are with it. ``basis`` says what they rest on.
    """

    tokens: int
    learned: int
    padding: float
    batch: int
    model: str
    method: str
    precision: str
    gpu: str
    flops: float
    hours: float
    basis: str

    @property
    def padded_hours(self) -> float:
        """Hours where random batches are padded to their longest conversation."""
        return self.hours / (1 - self.padding)

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values."""
        return asdict(self) | {"padded_hours": self.padded_hours}


def padding_share(lengths: Sequence[int], batch: int = BATCH, seed: int = 0) -> float:
    """The share of padding in random batches of this many conversations.

    >>> padding_share([10, 10, 10, 10], batch=2), padding_share([10, 30], batch=2)
    (0.0, 0.333...)
    """
    order = random.Random(seed).sample(list(lengths), len(lengths))
    groups = [order[start : start + batch] for start in range(0, len(order), batch)]
    return 1 - sum(order) / sum(max(group) * len(group) for group in groups)


def price(lengths: Lengths, model: Any, gpu: str = "t4", method: str = "lora", name: str = "") -> Price:
    """The price of one epoch of training a model (a preset, a folder or a config) on conversations of these lengths.

    Lengths beyond the limit count as cut. Raises CourseError for models and GPUs that are not known.
    """
    from course_lib.memory.gpus import gpu as gpu_named
    from course_lib.memory.plan import plan
    from course_lib.memory.recipe import Recipe
    from course_lib.memory.subject import subject

    what, card = subject(model), gpu_named(gpu)
    longest = lengths.limit or what.architecture.positions or max(lengths.tokens)
    kept = [min(count, longest) for count in lengths.tokens]
    total = sum(kept)
    typical = max(1, round(sum(count * count for count in kept) / total))
    precision = "bf16" if card.capability >= (8, 0) else "fp16-mixed" if method == "full" else "fp16"
    recipe = Recipe(method=method, precision=precision, micro_batch=BATCH, seq_len=typical)
    planned = plan(what, recipe, card, engine="formulas")
    steps = total / (BATCH * typical)
    return Price(
        tokens=total,
        learned=sum(min(count, longest) for count in lengths.learned),
        padding=padding_share(kept),
        batch=BATCH,
        model=name or what.name,
        method=method,
        precision=precision,
        gpu=card.title,
        flops=planned.flops * steps,
        hours=planned.seconds * steps / 3600,
        basis=planned.seconds_basis,
    )
