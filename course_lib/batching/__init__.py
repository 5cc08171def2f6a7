"""Batches that waste little and can be found again.

Texts differ in length, and a tensor is as long as its longest text: in random batches, a third of what a model computes
and more is padding (lesson 03 measures it). There are two ways out, and both are here:

- `batches`: **bucketing** puts texts of similar length side by side; half of the padding or more is gone;
- `packing` puts the texts of a batch one behind the other into a single row, in which none sees another; there is no
  padding left.
"""

from course_lib.batching.batches import IGNORE, POOL, Batches, label_count, mean_pool, pad, padding_share
from course_lib.batching.packing import Item, packed, padded

__all__ = [
    "IGNORE",
    "POOL",
    "Batches",
    "Item",
    "label_count",
    "mean_pool",
    "packed",
    "pad",
    "padded",
    "padding_share",
]
