"""How sure a mean score is, and whether one model is better than another on the same items.

A mean over n items would come out otherwise on n other items. `mean_interval` says by how much with a formula that
holds for few items and near 0 and 1, where every item is right or none. The bootstrap (Efron 1979) asks the items
themselves: it draws n of them again and again, each as often as it comes, and takes the middle 95% of the means. It
needs no formula, holds for anything that can be computed, and is too narrow for fewer than some fifty items.

Two models are compared on the differences per item, for what makes an item hard is hard for both. If neither were
better, each difference would as well have had the other sign: the p-value is the share of all ways to set the signs
that give a sum at least as large (Fisher 1935). Left out: many comparisons at once (each is wrong in one of twenty),
and items that depend on each other, such as several questions about one text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from course_lib.errors import CourseError
from course_lib.metrics.classification import paired_test, wilson_interval

Scores = Sequence[float] | np.ndarray
Interval = tuple[float, float]
Z = 1.96
DRAWS = 5000
EXACT = 16  # differences whose signs are all tried: 65,536 ways
AT_ONCE = 2**22  # numbers drawn at a time: 32 MiB


class Difference(NamedTuple):
    """How much better the first is: the difference of the means, its 95% interval, and p (see `sign_test`)."""

    difference: float
    low: float
    high: float
    p: float


def mean_interval(scores: Scores) -> Interval:
    """The 95% interval of the mean of scores between 0 and 1, for any number of items.

    Of zeros and ones it is Wilson's. Other scores with the same mean p vary less, as if there were more items: as many
    times as their variance goes into ``p (1 - p)`` (Kish's effective size). Two zeros and two ones are added before the
    variance is taken, so that few items which happen to agree do not leave an interval of no width.
    """
    values = _checked(scores)
    if values.min() < 0 or values.max() > 1:
        raise ValueError("these scores are not between 0 and 1")
    n, p = len(values), float(values.mean())
    padded = np.concatenate((values, [0.0, 0.0, 1.0, 1.0]))
    middle = float(padded.mean())
    size = n * max(1.0, middle * (1 - middle) / float(padded.var()))
    low, high = wilson_interval(min(p * size, size), size)
    return min(low, p), max(high, p)  # at 0 and 1 rounding may set them apart


def summary(name: str, scores: Scores) -> dict[str, float]:
    """The mean under this name, with low and high, its 95% interval."""
    low, high = mean_interval(scores)
    return {name: float(np.mean(scores)), "low": low, "high": high}


def bootstrap_interval(
    scores: Scores, draws: int = DRAWS, seed: int = 0, least: float = 0.0, most: float = 1.0
) -> Interval:
    """The middle 95% of the means of ``draws`` resamples of the scores; ``least`` and ``most`` bound a score.

    Where all scores are equal, drawing again shows nothing; then ``z^2 / (n + z^2)`` of all items may be at the bounds,
    as many as Wilson's interval leaves possible. The same seed gives the same interval.
    """
    values = _checked(scores)
    n = len(values)
    if values.min() == values.max():
        other = Z**2 / (n + Z**2)
        return float(values[0] - other * (values[0] - least)), float(values[0] + other * (most - values[0]))
    random, rows = np.random.default_rng(seed), max(1, AT_ONCE // n)
    means = [values[random.integers(0, n, (min(rows, draws - done), n))].mean(axis=1) for done in range(0, draws, rows)]
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return float(low), float(high)


def macro_interval(means: Sequence[float], intervals: Sequence[Interval]) -> Interval:
    """The 95% interval of the mean of several means measured on different items, each with its own interval.

    Distances to the ends add up like standard errors (Zou and Donner 2008), on each side by itself:
    ``low = mean - sqrt(sum((mean_t - low_t)^2)) / T``, and so for high.
    """
    middle, count = float(np.mean(means)), len(means)
    down = math.hypot(*(mean - low for mean, (low, _) in zip(means, intervals, strict=True)))
    up = math.hypot(*(high - mean for mean, (_, high) in zip(means, intervals, strict=True)))
    return middle - down / count, middle + up / count


def paired_difference(first: Scores, second: Scores, draws: int = DRAWS, seed: int = 0) -> Difference:
    """Compare scores between 0 and 1 of two models on the same items.

    The interval is the bootstrap's over the differences; where all scores are 0 or 1 it is Agresti and Min's (2005),
    which adds half an item to each of the four outcomes, and p is McNemar's exact one. Raises CourseError when the
    numbers of items differ.
    """
    one, other = _checked(first), _checked(second)
    if len(one) != len(other):
        raise CourseError(f"{len(one)} scores cannot be paired with {len(other)}: measure both on the same items.")
    differences = one - other
    if np.isin(np.concatenate((one, other)), (0.0, 1.0)).all():
        return Difference(
            float(differences.mean()), *_agresti_min(differences), paired_test(np.ones(len(one)), one, other)
        )
    low, high = bootstrap_interval(differences, draws, seed, -1.0, 1.0)
    return Difference(float(differences.mean()), low, high, sign_test(differences, draws, seed))


def sign_test(differences: Scores, draws: int = DRAWS, seed: int = 0) -> float:
    """How likely a sum at least this far from 0 is, if every difference could as well have had the other sign.

    Exact up to 16 differences that are not 0. With more, ``draws`` ways are tried, and the one that was observed counts
    as one of them, so that p is never 0 (Phipson and Smyth 2010).
    """
    values = _checked(differences)
    values = values[values != 0]
    enough = abs(values.sum()) - 1e-9 * np.abs(values).sum()  # equal but for rounding is equal
    if len(values) <= EXACT:
        sums = np.zeros(1)
        for value in values:
            sums = np.concatenate((sums + value, sums - value))
        return float(np.mean(np.abs(sums) >= enough))
    random, rows, found = np.random.default_rng(seed), max(1, AT_ONCE // len(values)), 1
    for done in range(0, draws, rows):
        signs = random.integers(0, 2, (min(rows, draws - done), len(values)), dtype=np.int8)
        found += int((np.abs((2 * signs - 1) @ values) >= enough).sum())
    return found / (draws + 1)


def _agresti_min(differences: np.ndarray) -> Interval:
    n = len(differences) + 2
    middle = float(differences.sum()) / n
    half = Z * math.sqrt(((float((differences**2).sum()) + 1) / n - middle**2) / n)
    return max(-1.0, middle - half), min(1.0, middle + half)


def _checked(scores: Scores) -> np.ndarray:
    values = np.asarray(scores, dtype=float)
    if not len(values):
        raise CourseError("There are no scores to compare: give at least one item.")
    if not np.isfinite(values).all():
        raise ValueError("a score is not a number")
    return values
