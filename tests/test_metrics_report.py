"""Intervals that contain the truth, tests that agree with scipy, and reports on many tasks."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from scipy.stats import permutation_test

from course_lib.errors import CourseError
from course_lib.metrics.classification import paired_test, wilson_interval
from course_lib.metrics.interval import (
    bootstrap_interval,
    macro_interval,
    mean_interval,
    paired_difference,
    sign_test,
)
from course_lib.metrics.report import METRICS, TaskReport, check, compare, form, score

CREATE = "CREATE TABLE t (a TEXT, b INTEGER); INSERT INTO t VALUES ('x', 1), ('y', 2), ('z', 3);"
RECORDS = [
    {"task": "odd one out", "metric": "exact", "output": "drum", "choices": "fig, drum, plum"},
    {"task": "sums", "metric": "numeric", "output": "12"},
    {"task": "odd one out", "metric": "exact", "output": "boat", "choices": ["boat", "pear"]},
    {"task": "headline", "metric": "rouge", "output": "Heron seen at the mill"},
    {"task": "headline", "metric": "rouge", "output": "Mill sold", "form": "line"},
    {"task": "queries", "metric": "sql", "create": CREATE, "output": "SELECT a FROM t WHERE b > 1"},
    {"task": "facts", "metric": "f1", "output": "the old mill"},
    {"task": "names", "metric": "contains", "output": "Ada Marsh", "form": "text"},
    {"task": "fields", "metric": "format", "output": "name: Ada; age: 7", "form": "fields: name, age"},
]
PERFECT = [record["output"] for record in RECORDS]
MIXED = [
    "Drum.",  # right, a choice
    "It is 11.",  # wrong, and not a number alone
    "the boat",  # neither right nor a choice
    "A heron at the mill",  # heron at the mill: 4 of 5 and of 5: 4/5
    "Mill\nsold",  # right, in two lines
    "```sql\nSELECT a FROM t WHERE b >= 2\n```",  # right
    "a mill",  # mill of mill and old mill: 2/3
    "Written by Ada Marsh",  # right
    "age: 7",  # not in form
]
EXPECTED = [1, 0, 0, 4 / 5, 1, 1, 2 / 3, 1, 0]


# -- intervals -------------------------------------------------------------------------------------------------------


def test_the_interval_of_zeros_and_ones_is_wilsons():
    for right, n in ((0, 1), (1, 1), (7, 9), (30, 30), (120, 400)):
        scores = [1.0] * right + [0.0] * (n - right)
        assert mean_interval(scores) == pytest.approx(wilson_interval(right, n))


def test_the_interval_of_other_scores_by_hand():
    # Four scores of 1/2. With 0, 0, 1, 1 the variance is 4 * (1/4) / 8 = 1/8, half of p (1 - p) = 1/4:
    # as if there were 8 items.
    assert mean_interval([0.5] * 4) == pytest.approx(wilson_interval(4, 8))


@pytest.mark.parametrize("n", [5, 12, 40, 150])
@pytest.mark.parametrize("shape", ["even", "mostly right", "near the middle"])
def test_the_interval_of_a_mean_contains_the_truth_at_least_19_times_in_20(n, shape):
    draw = np.random.default_rng(n)
    scores, truth = {
        "even": (draw.random((1000, n)), 0.5),
        "mostly right": (np.where(draw.random((1000, n)) < 0.9, 1.0, draw.random((1000, n))), 0.95),
        "near the middle": (draw.beta(9, 9, (1000, n)), 0.5),
    }[shape]
    intervals = [mean_interval(some) for some in scores]
    assert np.mean([low <= truth <= high for low, high in intervals]) > 0.93
    assert all(0 <= low <= some.mean() <= high <= 1 for some, (low, high) in zip(scores, intervals, strict=True))


def test_the_bootstrap_interval_is_that_of_the_normal_distribution_for_many_items():
    scores = np.random.default_rng(0).random(2000)
    half = 1.96 * scores.std() / np.sqrt(2000)
    low, high = bootstrap_interval(scores)
    assert (low, high) == pytest.approx((scores.mean() - half, scores.mean() + half), abs=half / 10)
    assert bootstrap_interval(scores, draws=300, seed=4) == bootstrap_interval(scores, draws=300, seed=4)
    assert mean_interval(scores) == pytest.approx((low, high), abs=half / 10)


def test_the_bootstrap_interval_contains_the_truth_about_19_times_in_20():
    draw = np.random.default_rng(1)
    intervals = [bootstrap_interval(draw.beta(2, 1, 60), draws=500, seed=k) for k in range(600)]
    assert 0.91 < np.mean([low <= 2 / 3 <= high for low, high in intervals]) < 0.98


def test_where_all_scores_are_equal_the_interval_says_that_others_may_not_be():
    # 10 of 10: z^2 / (10 + z^2) = 3.8416 / 13.8416 of other items may be at the bounds
    share = 3.8416 / 13.8416
    assert bootstrap_interval([1.0] * 10) == pytest.approx((1 - share, 1.0))
    assert bootstrap_interval([0.25] * 10) == pytest.approx((0.25 * (1 - share), 0.25 + 0.75 * share))
    assert bootstrap_interval([0.0] * 10, least=-1.0) == pytest.approx((-share, share))


def test_the_interval_over_tasks_by_hand_and_in_simulation():
    # halves of 0.03 and 0.04: sqrt(0.03^2 + 0.04^2) = 0.05, over two tasks 0.025
    assert macro_interval([0.4, 0.8], [(0.37, 0.43), (0.76, 0.84)]) == pytest.approx((0.575, 0.625))
    draw, sizes, rates = np.random.default_rng(2), (12, 30, 80), (0.5, 0.8, 0.97)
    covered = 0
    for _ in range(500):
        scores = [(draw.random(n) < rate).astype(float) for n, rate in zip(sizes, rates, strict=True)]
        low, high = macro_interval([some.mean() for some in scores], [mean_interval(some) for some in scores])
        covered += low <= np.mean(rates) <= high
    assert 0.93 < covered / 500 < 0.99


@pytest.mark.parametrize("scores", [[], np.array([])])
def test_no_scores_are_a_mistake(scores):
    for function in (mean_interval, bootstrap_interval, sign_test):
        with pytest.raises(CourseError, match="at least one"):
            function(scores)


@pytest.mark.parametrize("scores", [[0.5, float("nan")], [2.0], [-0.1, 1.0]])
def test_what_is_no_score_is_noticed(scores):
    with pytest.raises(ValueError, match="score"):
        mean_interval(scores)


# -- two models on the same items ------------------------------------------------------------------------------------


def test_the_sign_test_by_hand():
    # 3, 2 and 1 can be added up to 6, 4, 2, 0, 0, -2, -4, -6: two of eight ways are as far from 0 as 6
    assert sign_test([3, 2, 1]) == 2 / 8
    assert sign_test([3, -2, 1]) == 6 / 8
    assert sign_test([3, -2, -1]) == sign_test([0, 0]) == 1.0
    assert sign_test([3, 0, 2, 0, 1]) == 2 / 8  # an item without a difference says nothing


@pytest.mark.parametrize("seed", range(12))
def test_the_sign_test_is_the_permutation_test_of_scipy(seed):
    draw = np.random.default_rng(seed)
    first, second = draw.random((2, int(draw.integers(2, 12))))
    expected = permutation_test(
        (first, second), lambda one, other: np.mean(one - other), permutation_type="samples", n_resamples=np.inf
    )
    assert sign_test(first - second) == pytest.approx(expected.pvalue, abs=1e-12)
    assert paired_difference(first, second).p == sign_test(first - second)


def test_ways_that_are_equal_but_for_rounding_count_as_equal():
    # 0.1 + 0.2 and 0.3 are not the same floating-point numbers: 0.3 - 0.1 - 0.2 is 0 all the same
    values = [0.3, -0.1, -0.2]
    whole = [3, -1, -2]
    for signs in itertools.product((1, -1), repeat=3):
        signed = [a * b for a, b in zip(signs, values, strict=True)]
        assert sign_test(signed) == sign_test([a * b for a, b in zip(signs, whole, strict=True)])


def test_with_many_items_the_sign_test_draws_and_comes_near_the_exact_one():
    draw = np.random.default_rng(3)
    values = draw.normal(0.3, 1, 40)
    found = sign_test(values, draws=20_000)
    # for many items the sum of random signs is nearly normal
    from scipy.stats import norm

    assert found == pytest.approx(2 * norm.sf(abs(values.sum()) / np.sqrt((values**2).sum())), abs=0.02)
    assert sign_test(np.ones(60)) == pytest.approx(1 / 5001)  # never 0
    assert sign_test(values) == sign_test(values)


def test_of_zeros_and_ones_p_is_that_of_mcnemar():
    draw = np.random.default_rng(4)
    for n in (5, 14, 300):
        first, second = draw.integers(0, 2, (2, n)).astype(float)
        found = paired_difference(first, second)
        assert found.p == pytest.approx(paired_test(np.ones(n), first, second))
        if n < 17:
            assert found.p == pytest.approx(sign_test(first - second))


def test_equal_models_are_told_apart_one_time_in_twenty():
    draw = np.random.default_rng(5)
    found = []
    for k in range(400):
        hard = draw.random(25)
        first, second = (np.clip(hard + draw.normal(0, 0.2, 25), 0, 1) for _ in range(2))
        found.append(paired_difference(first, second, draws=400, seed=k))
    assert 0.02 < np.mean([one.p < 0.05 for one in found]) < 0.09
    assert 0.88 < np.mean([one.low <= 0 <= one.high for one in found]) < 0.98


@pytest.mark.parametrize("n", [8, 30, 200])
def test_the_interval_of_a_difference_of_right_answers_contains_the_truth(n):
    draw, covered = np.random.default_rng(n), 0
    for _ in range(600):
        first = (draw.random(n) < 0.8).astype(float)
        second = np.where(draw.random(n) < 0.9, first, draw.integers(0, 2, n))
        found = paired_difference(first, second)
        covered += found.low <= 0.8 - (0.9 * 0.8 + 0.1 * 0.5) <= found.high
    assert covered / 600 > 0.93


def test_the_interval_of_a_difference_by_hand():
    # 8 items, the first alone is right in 3, the second alone in 1. With half an item more in each of the four
    # outcomes: n = 10, mean 2 / 10, variance (4 + 1) / 10 - 0.04 = 0.46, half = 1.96 sqrt(0.046) = 0.420373
    first, second = [1, 1, 1, 0, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1, 0, 0]
    found = paired_difference(first, second)
    assert found.difference == 0.25
    assert (found.low, found.high) == pytest.approx((0.2 - 0.420373, 0.2 + 0.420373), abs=1e-6)
    assert found.p == pytest.approx(10 / 16)  # four coins, at most one head, doubled


def test_models_that_never_differ_are_not_proven_equal():
    for scores in ([1.0] * 10, [0.5] * 10):
        found = paired_difference(scores, scores)
        assert found.difference == 0
        assert found.low < -0.1 < 0.1 < found.high
        assert found.p == 1.0


def test_scores_of_other_items_cannot_be_paired():
    with pytest.raises(CourseError, match="2 scores cannot be paired with 3"):
        paired_difference([1, 0], [1, 0, 1])


# -- records and reports ---------------------------------------------------------------------------------------------


def test_every_record_is_scored_by_its_own_metric():
    assert {record["metric"] for record in RECORDS} == set(METRICS)
    assert [score(*pair) for pair in zip(RECORDS, MIXED, strict=True)] == pytest.approx(EXPECTED)
    assert [score(*pair) for pair in zip(RECORDS, PERFECT, strict=True)] == [1] * len(RECORDS)


def test_the_form_of_a_record_is_its_own_or_follows_from_its_choices_or_output():
    assert [form(record) for record in RECORDS] == [
        "choice: fig | drum | plum", "number", "choice: boat | pear", "line", "line", "sql", "line", "text",
        "fields: name, age",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"metric": "bleu", "output": "x"}, "'bleu': write one of exact"),
        ({"output": "x"}, "write one of exact"),
        ({"metric": "exact"}, "needs the field 'output'"),
        ({"metric": "sql", "output": "SELECT 1"}, "needs the field 'create'"),
        ({"metric": "sql", "output": "SELEC 1", "create": ""}, "cannot be run"),
        ({"metric": "format", "output": "x", "form": "poem"}, "no form 'poem'"),
    ],
)
def test_a_record_that_cannot_be_scored_is_named_by_its_number(record, said):
    with pytest.raises(CourseError, match=said):
        score(record, "x")
    for judge in (lambda records: TaskReport.of(records, ["x", "x"]), check):
        with pytest.raises(CourseError, match=f"^Record 2: .*{said}"):
            judge([{"metric": "exact", "output": "x"}, record])


def test_records_whose_own_answer_is_wrong_are_found_before_training():
    check(RECORDS)
    check([{"metric": "numeric", "output": "3 * 4 = 12.\nSo it is 12."}])
    with pytest.raises(CourseError, match="Record 1: its own output is not right by the metric 'numeric'"):
        check([{"metric": "numeric", "output": "twelve"}])
    with pytest.raises(CourseError, match="Record 1: its own output is not in the form it asks for"):
        check([{"metric": "exact", "output": "bad", "choices": ["good", "fair"]}])


def test_a_report_has_a_row_per_task_and_their_mean():
    report = TaskReport.of(RECORDS, MIXED, "mixed")
    rows = {row.task: row for row in report.rows()}
    assert list(rows) == ["odd one out", "sums", "headline", "queries", "facts", "names", "fields"]
    assert (rows["odd one out"].n, rows["odd one out"].score, rows["odd one out"].in_form) == (2, 0.5, 0.5)
    assert (rows["headline"].score, rows["headline"].in_form) == (pytest.approx(0.9), 0.5)
    assert (rows["queries"].score, rows["queries"].in_form) == (1.0, 1.0)
    assert (rows["sums"].in_form, rows["sums"].metric) == (0.0, "numeric")
    assert all(0 <= row.low <= row.score <= row.high <= 1 for row in (*rows.values(), report.macro()))
    # every task counts the same: (1/2 + 0 + 9/10 + 1 + 2/3 + 1 + 0) / 7
    assert report.macro().score == pytest.approx((1 / 2 + 9 / 10 + 1 + 2 / 3 + 1) / 7)
    assert report.macro().n == 9


def test_a_report_is_written_as_json_and_as_a_table():
    report = TaskReport.of(RECORDS, MIXED, "mixed")
    content = json.loads(json.dumps(report.to_json()))
    assert TaskReport.from_json(content) == report
    assert content["rows"][-1]["task"] == "all tasks"
    lines = report.markdown().splitlines()
    assert len(lines) == 2 + 7 + 1
    assert lines[4].startswith("| headline | rouge | 90.0% |")


@pytest.mark.parametrize(("records", "predictions"), [([], []), (RECORDS, PERFECT[1:])])
def test_a_report_needs_a_prediction_for_every_record(records, predictions):
    with pytest.raises(CourseError, match="one for each"):
        TaskReport.of(records, predictions)


def test_two_reports_are_compared_task_by_task_and_over_all():
    changes = compare(TaskReport.of(RECORDS, PERFECT), TaskReport.of(RECORDS, MIXED))
    by_task = {change.task: change for change in changes}
    assert list(by_task)[-1] == "all tasks"
    assert by_task["odd one out"].difference == 0.5
    assert by_task["headline"].difference == pytest.approx(0.1)
    assert by_task["queries"].difference == 0
    last = by_task["all tasks"]
    assert last.first == 1.0
    assert last.difference == pytest.approx(last.first - last.second)
    assert last.low < last.difference < last.high
    # Five items differ, all to one side: 2 of 32 ways
    assert last.p == pytest.approx(2 / 32)
    turned = compare(TaskReport.of(RECORDS, MIXED), TaskReport.of(RECORDS, PERFECT))
    assert [change.difference for change in turned] == pytest.approx([-change.difference for change in changes])
    assert turned[-1].p == last.p


def test_reports_on_other_records_are_not_compared():
    changed = [{**RECORDS[0], "output": "fig"}, *RECORDS[1:]]
    with pytest.raises(CourseError, match="not on the same records"):
        compare(TaskReport.of(RECORDS, MIXED), TaskReport.of(changed, MIXED))
    with pytest.raises(CourseError, match="not on the same records"):
        compare(TaskReport.of(RECORDS, MIXED), TaskReport.of(RECORDS[::-1], MIXED[::-1]))


def test_a_better_model_is_found_better():
    draw = np.random.default_rng(6)
    records = [{"task": f"task {k % 3}", "metric": "exact", "output": "yes", "number": k} for k in range(150)]
    good, bad = (["yes" if right else "no" for right in draw.random(150) < rate] for rate in (0.85, 0.5))
    last = compare(TaskReport.of(records, good), TaskReport.of(records, bad))[-1]
    assert last.low > 0
    assert last.p < 0.001
