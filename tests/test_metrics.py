"""Figures and their uncertainty against numbers derived by hand and against other libraries."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import f1_score

from course_lib.metrics.classification import accuracy, f1_interval, macro_f1, paired_test, wilson_interval


def test_accuracy_is_the_share_of_right_predictions() -> None:
    assert accuracy([0, 1, 1, 2], [0, 1, 0, 2]) == 0.75


def test_macro_f1_by_hand() -> None:
    # truth      0 0 0 1 1 2
    # predicted  0 0 1 1 2 2
    # class 0: TP 2, FP 0, FN 1: F1 = 4 / 5
    # class 1: TP 1, FP 1, FN 1: F1 = 2 / 4
    # class 2: TP 1, FP 1, FN 0: F1 = 2 / 3
    assert macro_f1([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 2, 2], 3) == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3)


def test_macro_f1_counts_a_class_that_is_never_hit_and_leaves_out_one_that_is_nowhere() -> None:
    # class 0: TP 2, FP 1, FN 0: F1 = 4 / 5; class 1: TP 0: F1 = 0; class 2 is neither predicted nor true
    assert macro_f1([0, 0, 1], [0, 0, 0], 3) == pytest.approx((4 / 5 + 0) / 2)


@pytest.mark.parametrize("seed", range(8))
def test_macro_f1_is_that_of_scikit_learn(seed: int) -> None:
    draw = np.random.default_rng(seed)
    classes, n = int(draw.integers(2, 7)), int(draw.integers(5, 200))
    truth, predicted = draw.integers(0, classes, n), draw.integers(0, classes, n)
    assert macro_f1(truth, predicted, classes) == pytest.approx(f1_score(truth, predicted, average="macro"), abs=1e-12)


def test_the_wilson_interval_by_hand() -> None:
    # 8 of 10 with z = 2: p = 0.8, z^2/n = 0.4, so the factor is 1.4 and the middle (0.8 + 0.2) / 1.4 = 5/7;
    # half = 2 sqrt(0.8 * 0.2 / 10 + 4 / 400) / 1.4 = 2 sqrt(0.026) / 1.4 = 0.230350
    low, high = wilson_interval(8, 10, z=2)
    assert low == pytest.approx(5 / 7 - 0.230350, abs=1e-6)
    assert high == pytest.approx(5 / 7 + 0.230350, abs=1e-6)


@pytest.mark.parametrize(("successes", "trials"), [(0, 7), (7, 7), (1, 30), (123, 456), (460, 500)])
def test_the_wilson_interval_is_that_of_scipy(successes: int, trials: int) -> None:
    expected = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    assert wilson_interval(successes, trials, z=1.959964) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_the_wilson_interval_stays_between_0_and_1_and_says_something_where_nothing_failed() -> None:
    # 10 of 10: p = 1, so the interval ends at 1 and begins at 1 / (1 + z^2 / 10) = 1 / 1.38416
    assert wilson_interval(10, 10) == pytest.approx((1 / 1.38416, 1.0))
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.38416 / 1.38416))


@pytest.mark.parametrize(("successes", "trials"), [(1, 0), (-1, 5), (6, 5)])
def test_the_wilson_interval_refuses_what_is_no_proportion(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="is no proportion"):
        wilson_interval(successes, trials)


def test_the_wilson_interval_contains_the_truth_about_19_times_in_20() -> None:
    draw = np.random.default_rng(0)
    intervals = [wilson_interval(int(k), 50) for k in draw.binomial(50, 0.9, 4000)]
    covered = np.mean([low <= 0.9 <= high for low, high in intervals])
    assert 0.93 < covered < 0.985


def two_classes(draw: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels of two classes, 30% of them of class 1, and predictions of which 80% are right."""
    truth = (draw.random(n) < 0.3).astype(int)
    return truth, np.where(draw.random(n) < 0.8, truth, 1 - truth)


def test_the_bootstrap_interval_contains_the_truth_about_19_times_in_20() -> None:
    # Of 1000 records 240 are true positives of class 1, 140 false positives, 60 false negatives, 560 true negatives:
    # F1 of class 1 = 480 / (480 + 140 + 60) = 12/17, of class 0 = 1120 / (1120 + 60 + 140) = 28/33.
    truth = (12 / 17 + 28 / 33) / 2
    draw = np.random.default_rng(0)
    intervals = [f1_interval(*two_classes(draw, 300), 2, draws=400, seed=k) for k in range(400)]
    covered = np.mean([low <= truth <= high for low, high in intervals])
    assert 0.91 < covered < 0.985


def test_the_bootstrap_interval_is_that_of_resampling_record_by_record() -> None:
    draw = np.random.default_rng(1)
    truth, predicted = two_classes(draw, 200)
    chosen = draw.integers(0, 200, (2000, 200))
    scores = [macro_f1(truth[rows], predicted[rows], 2) for rows in chosen]
    assert f1_interval(truth, predicted, 2, draws=4000) == pytest.approx(np.percentile(scores, [2.5, 97.5]), abs=0.01)


def test_the_bootstrap_interval_is_the_same_for_the_same_seed_and_narrower_with_more_records() -> None:
    draw = np.random.default_rng(2)
    few, many = two_classes(draw, 100), two_classes(draw, 10_000)
    assert f1_interval(*few, 2, seed=5) == f1_interval(*few, 2, seed=5)
    # Ten times the width, because the width goes with one over the root of the number of records.
    (low, high), (lower, higher) = f1_interval(*few, 2), f1_interval(*many, 2)
    assert 6 < (high - low) / (higher - lower) < 16


def test_the_bootstrap_interval_of_a_perfect_classifier_is_a_point() -> None:
    assert f1_interval([0, 1, 2, 2], [0, 1, 2, 2], 3) == (1.0, 1.0)


def differing(only_first: int, only_second: int, both: int = 5, neither: int = 4) -> tuple[list[int], ...]:
    """Truth and two predictions of which so many are right in only one."""
    first = [1] * only_first + [0] * only_second + [1] * both + [0] * neither
    second = [0] * only_first + [1] * only_second + [1] * both + [0] * neither
    return [1] * len(first), first, second


def test_the_paired_test_by_hand() -> None:
    # 1 against 5: six coins, at most one head: (1 + 6) / 64, doubled 14 / 64
    assert paired_test(*differing(1, 5)) == pytest.approx(14 / 64)
    # 0 against 8: one of 256, doubled
    assert paired_test(*differing(0, 8)) == pytest.approx(2 / 256)
    # 2 against 2: (1 + 4 + 6) / 16 doubled is more than everything: 1
    assert paired_test(*differing(2, 2)) == 1.0
    assert paired_test(*differing(0, 0)) == 1.0


def test_the_paired_test_favours_neither_classifier_and_ignores_where_both_agree() -> None:
    truth, first, second = differing(3, 11)
    assert paired_test(truth, first, second) == paired_test(truth, second, first)
    assert paired_test(*differing(3, 11, both=0, neither=400)) == paired_test(*differing(3, 11))


@pytest.mark.parametrize(("a", "b"), [(0, 1), (3, 10), (40, 61), (700, 800), (1480, 1520), (20, 6000)])
def test_the_paired_test_is_the_binomial_test_of_scipy(a: int, b: int) -> None:
    assert paired_test(*differing(a, b)) == pytest.approx(binomtest(a, a + b).pvalue, rel=1e-9)
