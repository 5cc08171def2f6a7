"""How good a classifier is, how sure we are, and whether it beats another one.

An accuracy measured on n records is itself uncertain by about ``1 / sqrt(n)``: 3 points at 400 records. So every
figure here comes with a 95% interval, and two classifiers are compared on the records that only one of them gets
right, which is far sharper than comparing two intervals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

Labels = Sequence[int] | np.ndarray


def accuracy(truth: Labels, predicted: Labels) -> float:
    """The share of records whose label is predicted right."""
    return float(np.mean(np.asarray(truth) == np.asarray(predicted)))


def macro_f1(truth: Labels, predicted: Labels, classes: int) -> float:
    """The mean over classes of F1 = 2TP / (2TP + FP + FN); a class that is nowhere, predicted or true, is left out."""
    return float(_macro_f1(_confusion(np.asarray(truth), np.asarray(predicted), classes)[None])[0])


def wilson_interval(successes: float, trials: float, z: float = 1.96) -> tuple[float, float]:
    """The 95% interval of a proportion that also holds near 0 and 1 (Wilson 1927).

    ``(p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)``
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials is no proportion")
    p, factor = successes / trials, 1 + z**2 / trials
    middle = p + z**2 / (2 * trials)
    half = z * math.sqrt(p * (1 - p) / trials + z**2 / (4 * trials**2))
    return max(0.0, (middle - half) / factor), min(1.0, (middle + half) / factor)


def f1_interval(
    truth: Labels, predicted: Labels, classes: int, draws: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """The 95% percentile interval of macro-F1 over ``draws`` resamples of the records (Efron's bootstrap).

    Resampling n records with replacement is a multinomial draw over the cells of the confusion matrix, so no record
    is touched: ``draws`` matrices are drawn at once.
    """
    cells = _confusion(np.asarray(truth), np.asarray(predicted), classes).astype(float)
    total = int(cells.sum())
    drawn = np.random.default_rng(seed).multinomial(total, cells.ravel() / total, size=draws)
    low, high = np.percentile(_macro_f1(drawn.reshape(draws, classes, classes)), [2.5, 97.5])
    return float(low), float(high)


def paired_test(truth: Labels, first: Labels, second: Labels) -> float:
    """The exact McNemar test: how likely is a difference at least this large if both classifiers are equally good?

    Among the records that exactly one of the two gets right, each is then equally often the one: a fair coin. Returns
    the two-sided p-value; 1.0 when they never differ.
    """
    right_first = np.asarray(first) == np.asarray(truth)
    right_second = np.asarray(second) == np.asarray(truth)
    only_first, only_second = int((right_first & ~right_second).sum()), int((~right_first & right_second).sum())
    n, k = only_first + only_second, min(only_first, only_second)
    ways, tail = 1, 0  # to throw i heads, and at most k heads, with n coins: exact, in whole numbers
    for i in range(k + 1):
        tail += ways
        ways = ways * (n - i) // (i + 1)
    return min(1.0, 2 * tail / 2**n)


def _confusion(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts (classes, classes): row = true class, column = predicted class."""
    return np.bincount(truth * classes + predicted, minlength=classes**2).reshape(classes, classes)


def _macro_f1(counts: np.ndarray) -> np.ndarray:
    """Macro-F1 of a stack of confusion matrices (draws, classes, classes) -> (draws,)."""
    hits = np.diagonal(counts, axis1=1, axis2=2).astype(float)
    occurs = counts.sum(axis=2) + counts.sum(axis=1)  # 2TP + FP + FN
    scores = np.divide(2 * hits, occurs, out=np.full_like(hits, np.nan), where=occurs > 0)
    return np.nanmean(scores, axis=1)
