"""The calculator against sums by hand, and the guide's order."""

from __future__ import annotations

import math

import pytest

from course_lib.errors import CourseError
from course_lib.prompting import cost
from course_lib.prompting.guide import Situation, advise

PRICES = cost.Prices(
    per_million_in=2.0,
    per_million_out=10.0,
    per_million_embedded=0.1,
    per_label=0.5,
    gpu_per_hour=3.0,
    index_per_month=20.0,
)


def test_prompting_by_hand() -> None:
    way = cost.prompting(1000, 100, PRICES, examples=10, tests=90)
    assert way.per_answer == pytest.approx(0.002 + 0.001)
    assert way.once == 50.0  # 100 labels
    # 1000 answers a month for 10 months: 50 dollars over 10,000 answers are 0.005 each
    assert way.per_thousand(1000, months=10) == pytest.approx(1000 * (0.003 + 0.005))


def test_retrieval_by_hand() -> None:
    way = cost.retrieval(500, 50, PRICES, words=1_000_000, changed_per_month=0.5, tests=0)
    assert way.once == pytest.approx(0.135)  # 1.35 million tokens at 0.1 a million
    assert way.monthly == pytest.approx(20 + 0.0675)
    assert way.per_answer == pytest.approx(0.001 + 0.0005 + 0.000002)


def test_fine_tuning_by_hand() -> None:
    way = cost.fine_tuning(100, 20, PRICES, labels=400, gpu_hours=2, runs=5, per_year=2, tests=100)
    assert way.once == pytest.approx(250 + 30)  # 500 labels; 5 trainings of 6 dollars
    assert way.monthly == pytest.approx((30 + 100) / 6)  # twice a year: trainings and half the labels
    assert way.per_answer == pytest.approx(0.0002 + 0.0002)


def test_break_even_is_where_both_cost_the_same() -> None:
    prompt = cost.prompting(1500, 30, PRICES)
    tuned = cost.fine_tuning(100, 30, PRICES, labels=500, gpu_hours=1)
    volume = cost.break_even(prompt, tuned, months=12)
    assert prompt.per_thousand(volume) == pytest.approx(tuned.per_thousand(volume), rel=1e-6)
    assert prompt.per_thousand(volume / 2) < tuned.per_thousand(volume / 2)
    assert prompt.per_thousand(volume * 2) > tuned.per_thousand(volume * 2)
    assert cost.break_even(tuned, prompt) == volume


def test_break_even_can_be_always_or_never() -> None:
    better, worse = cost.Way("better", 1, 0, 0.1), cost.Way("worse", 2, 0, 0.2)
    assert cost.break_even(better, worse) == 0.0
    assert cost.break_even(better, cost.Way("same", 2, 0, 0.1)) in (0.0, math.inf)


def test_the_table_has_a_row_per_way_and_a_column_per_volume() -> None:
    rows = cost.table([cost.prompting(10, 1, PRICES, accuracy=0.5), cost.Way("free", 0, 0, 0)], volumes=(1000, 2000))
    assert list(rows[0]) == ["way", "accuracy", "at 1,000 a month", "at 2,000 a month"]
    assert rows[1] == {"way": "free", "at 1,000 a month": 0.0, "at 2,000 a month": 0.0}


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: cost.prompting(-1, 1),
        lambda: cost.fine_tuning(1, 1, labels=-5, gpu_hours=1),
        lambda: cost.retrieval(1, 1, words=math.inf),
        lambda: cost.Way("w", 1, 1, 1).per_thousand(0),
        lambda: cost.own_machine(1, utilisation=0),
        lambda: cost.break_even(cost.Way("a", 1, 1, 1), cost.Way("b", 1, 1, 1), months=0),
        lambda: Situation(labels=-1),
    ],
)
def test_numbers_that_mean_nothing_are_refused(wrong: object) -> None:
    with pytest.raises(CourseError):
        wrong()  # type: ignore[operator]


def test_the_guide_begins_with_a_test_set_and_gives_facts_to_retrieval() -> None:
    ways = [way for way, _ in advise(Situation(needs_facts=True)).steps]
    assert ways == ["test set", "retrieval", "prompt with examples"]


def test_the_guide_tunes_when_prompts_fail_or_the_volume_pays_and_asks_for_labels() -> None:
    assert [way for way, _ in advise(Situation(prompts_suffice=False, labels=10)).steps][-2:] == [
        "label more",
        "fine-tuning",
    ]
    busy = advise(Situation(answers_per_month=1e6, pays_from=1e5, labels=500, data_must_stay=True))
    assert busy.steps[-1][0] == "fine-tuning"
    assert "shorter prompts" in busy.steps[-1][1]
    assert busy.host == "own"
    assert "1. test set" in str(busy)
    assert "your own machines" in str(busy)
    assert [way for way, _ in advise(Situation(labels=500)).steps][-1] == "prompt with examples"
