"""A set of labelled texts, and samples of it that keep the shares of the classes.

A sample of n records takes the records in a fixed order and cuts after n. The k-th of the ``size`` records of a class
stands at ``(k + 1/2) / size`` of the way, so every cut has each class in its share, give or take one record, and a
larger sample contains every smaller one. The first record of each class stands at 0: no class is missing from a
sample that has room for all of them. Left out: weighting, and sampling with replacement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from course_lib.errors import CourseError


@dataclass(frozen=True)
class Records:
    """Texts with one label each; ``labels[i]`` is the position of the class of ``texts[i]`` in ``classes``."""

    texts: tuple[str, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    name: str = "records"

    def __post_init__(self) -> None:
        if len(self.texts) != len(self.labels):
            raise ValueError(f"{len(self.texts)} texts but {len(self.labels)} labels")

    def __len__(self) -> int:
        return len(self.texts)

    def counts(self) -> dict[str, int]:
        """How many records each class has, in the order of ``classes``, zeros included."""
        numbers = np.bincount(np.asarray(self.labels, dtype=np.int64), minlength=len(self.classes))
        return dict(zip(self.classes, numbers.tolist(), strict=True))

    def subset(self, indices: Sequence[int]) -> Records:
        """The records at these positions, in this order, with the same classes."""
        texts = tuple(self.texts[index] for index in indices)
        return Records(texts, tuple(self.labels[index] for index in indices), self.classes, self.name)

    def sample_indices(self, n: int, seed: int = 0) -> list[int]:
        """The positions, in ascending order, of n records drawn by class; for one seed a larger n only adds to them.

        All positions where n is at least the number of records; CourseError where n is not positive.
        """
        if n < 1:
            raise CourseError(
                f"A sample needs at least one record, but {n} of {self.name} were asked for: give 1 or more."
            )
        if n >= len(self):
            return list(range(len(self)))
        return sorted(stratified_order(self.labels, seed)[:n])

    def sample(self, n: int, seed: int = 0) -> Records:
        """n records drawn by class, in their original order; the records themselves where there are not more."""
        return self if n >= len(self) else self.subset(self.sample_indices(n, seed))


def stratified_order(labels: Sequence[int], seed: int) -> list[int]:
    """All positions in an order of which every beginning has the classes in their shares (see the module's text)."""
    random = np.random.default_rng(seed)
    found = np.asarray(labels, dtype=np.int64)
    share = np.empty(len(found))
    size = np.empty(len(found))
    for label in np.unique(found):
        members = random.permutation(np.flatnonzero(found == label))
        share[members] = (np.arange(len(members)) + 0.5) / len(members)
        share[members[0]] = 0
        size[members] = len(members)
    order: list[int] = np.lexsort((found, -size, share)).tolist()  # ties: the larger class first
    return order
