"""Own model or hosted: every formula against a figure derived by hand."""

from __future__ import annotations

import math

import pytest

from course_lib import decide
from course_lib.decide import Prices
from course_lib.errors import CourseError

# 100 tokens a second are 0.36 million an hour and, in 730 hours, 262.8 million; a dollar an hour is 730 a month.
SMALL = Prices(gpu_dollars_per_hour=1.0, tokens_per_second=100, api_dollars_per_million=5.0)


def test_a_full_machine_costs_its_hour_divided_by_its_tokens():
    # $1 buys 0.36 million tokens: 1 / 0.36 = 2.7778 dollars per million; half idle, twice that.
    assert decide.own_dollars_per_million(1.0, 100) == pytest.approx(2.7778, abs=1e-4)
    assert decide.own_dollars_per_million(1.0, 100, utilisation=0.5) == pytest.approx(5.5556, abs=1e-4)


def test_the_break_even_is_where_both_bills_are_equal():
    # 262.8 million hosted tokens cost 1314; the machine costs 730: 730 / 1314 = 0.5556, and 730 / 5 = 146 million.
    assert decide.break_even_utilisation(1.0, 100, 5.0) == pytest.approx(730 / 1314)
    tokens = decide.break_even_tokens(1.0, 100, 5.0)
    assert tokens == pytest.approx(146e6)
    bill = decide.compare(tokens, SMALL)
    assert bill.own_dollars == pytest.approx(bill.api_dollars)
    assert decide.compare(tokens * 1.01, SMALL).cheaper == "own"
    assert decide.compare(tokens * 0.99, SMALL).cheaper == "api"


def test_upkeep_moves_the_break_even():
    # 730 for the machine and 365 for the people: 1095 / 1314 = 0.8333.
    assert decide.break_even_utilisation(1.0, 100, 5.0, 365.0) == pytest.approx(0.8333, abs=1e-4)
    assert decide.break_even_tokens(1.0, 100, 5.0, 365.0) == pytest.approx(219e6)


def test_a_machine_that_is_dearer_even_when_full_never_breaks_even():
    # At 2 dollars per million a full month's tokens cost 525.6 hosted, less than the machine's 730.
    assert decide.break_even_utilisation(1.0, 100, 2.0) > 1
    assert decide.break_even_tokens(1.0, 100, 2.0) == math.inf


def test_machines_are_rented_whole_so_hosted_is_cheaper_again_after_a_step():
    # 270 million tokens are more than 262.8: two machines, 1460 dollars, 51% busy; hosted 1350.
    full, beyond = decide.compare(262e6, SMALL), decide.compare(270e6, SMALL)
    assert (full.machines, full.own_dollars, full.cheaper) == (1, 730, "own")
    assert (beyond.machines, beyond.own_dollars, beyond.cheaper) == (2, 1460, "api")
    assert beyond.utilisation == pytest.approx(270 / 525.6)
    assert "2 machines of your own, 51% busy, cost $1,460; the hosted model costs $1,350" in beyond.sentence


def test_a_blended_price_lies_between_the_two():
    assert decide.blended_price(1.0, 5.0, 0.5) == 3.0
    assert decide.blended_price(1.0, 5.0, 0.0) == 1.0


def test_a_bought_machine_costs_its_share_of_the_price_and_its_electricity():
    # 2628 dollars over 3 years are 876 a year, 0.10 an hour; 400 W at 0.25 are 0.10 an hour.
    assert decide.owned_dollars_per_hour(2628, years=3, watts=400, dollars_per_kwh=0.25) == pytest.approx(0.20)


def test_a_need_that_rules_hosted_out_comes_before_the_bill():
    assert decide.advise(1e6, SMALL).choice == "api"
    advice = decide.advise(1e6, SMALL, data_must_stay=True)
    assert advice.choice == "own"
    assert "may not leave" in advice.reasons[0]
    assert "Hosted is cheaper" in advice.reasons[-1]  # what the need costs is said all the same


def test_the_example_prices_say_that_they_are_assumed():
    assert all("assumed" in prices.note for prices in decide.EXAMPLES.values())


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.inf, math.nan])
def test_a_price_that_is_no_positive_number_is_named(wrong: float):
    with pytest.raises(CourseError, match="tokens_per_second must be a number above 0"):
        Prices(1.0, wrong, 1.0)
    with pytest.raises(CourseError, match="tokens_per_month"):
        decide.compare(wrong, SMALL)


def test_a_share_outside_its_bounds_is_refused():
    with pytest.raises(CourseError, match="Utilisation"):
        decide.own_dollars_per_million(1.0, 100, utilisation=1.2)
    with pytest.raises(CourseError, match="share of output tokens"):
        decide.blended_price(1.0, 2.0, 1.5)
    with pytest.raises(CourseError, match="upkeep"):
        Prices(1.0, 1.0, 1.0, upkeep_dollars_per_month=-5)
