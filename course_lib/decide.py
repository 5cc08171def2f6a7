"""Your own model or somebody else's: the arithmetic of one question.

A hosted model is paid by the token, a machine of your own by the hour, busy or idle. So the comparison hangs on one
number, the utilisation u: the share of its capacity that your machine really serves.

    capacity per month          c = tokens_per_second * 3600 * 730
    your own, per million       own(u) = (gpu_dollars_per_hour * 730 + upkeep) / (u * c) * 1e6
    the same price at           u* = (gpu_dollars_per_hour * 730 + upkeep) / (c / 1e6 * api_dollars_per_million)

With u* above 1 even a machine that never rests is dearer than the hosted model. Left out: discounts, taxes, the time
to build anything at all, and quality: the two models compared must be good enough for the task, which is what the
later lessons measure. No price in this module is a quotation: prices change by the month, so they are arguments.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from course_lib.errors import CourseError

HOURS_PER_MONTH = 8760 / 12  # 730: a rented machine is paid around the clock
MILLION = 1_000_000


@dataclass(frozen=True)
class Prices:
    """What the two ways cost. Money in dollars; ``upkeep`` is what people who look after the machine cost per month.

    ``tokens_per_second`` is the machine's total at full load, all requests together. Raises CourseError for anything
    that is not a positive number (upkeep may be 0).
    """

    gpu_dollars_per_hour: float
    tokens_per_second: float
    api_dollars_per_million: float
    upkeep_dollars_per_month: float = 0.0
    note: str = ""

    def __post_init__(self) -> None:
        for name in ("gpu_dollars_per_hour", "tokens_per_second", "api_dollars_per_million"):
            _positive(name, getattr(self, name))
        if not 0 <= self.upkeep_dollars_per_month < math.inf:
            raise CourseError("upkeep_dollars_per_month must be 0 or more.")

    @property
    def machine_dollars(self) -> float:
        """What one machine costs per month, busy or idle, without upkeep."""
        return self.gpu_dollars_per_hour * HOURS_PER_MONTH

    @property
    def capacity(self) -> float:
        """Tokens per month that one machine serves when it never rests."""
        return self.tokens_per_second * 3600 * HOURS_PER_MONTH


def _positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise CourseError(f"{name} must be a number above 0, not {value}.")


# Round numbers assumed for the exercise, not quotations: put your own in their place.
EXAMPLES: dict[str, Prices] = {
    "a small hosted model": Prices(0.80, 600, 0.60, note="assumed: a rented 24 GB card, a 7B model served in batches"),
    "a large hosted model": Prices(0.80, 600, 10.0, note="assumed: the same card, against a frontier model's price"),
}


@dataclass(frozen=True)
class Comparison:
    """One month's bill both ways. ``cheaper`` is "own" or "api" (a tie goes to "api": it needs no one to run it)."""

    tokens_per_month: float
    machines: int
    utilisation: float
    own_dollars: float
    api_dollars: float
    cheaper: str
    sentence: str


@dataclass(frozen=True)
class Advice:
    """``choice`` is "own" or "api"; ``reasons`` are sentences, the deciding one first."""

    choice: str
    reasons: tuple[str, ...]


def own_dollars_per_million(gpu_dollars_per_hour: float, tokens_per_second: float, utilisation: float = 1.0) -> float:
    """Dollars per million tokens of a machine that is busy the share ``utilisation`` (0 to 1] of the time.

    >>> round(own_dollars_per_million(1.80, 500), 2)  # 1.8 million tokens per hour
    1.0
    >>> round(own_dollars_per_million(1.80, 500, utilisation=0.25), 2)
    4.0
    """
    _positive("gpu_dollars_per_hour", gpu_dollars_per_hour)
    _positive("tokens_per_second", tokens_per_second)
    if not 0 < utilisation <= 1:
        raise CourseError(f"Utilisation is a share above 0 and at most 1, not {utilisation}.")
    return gpu_dollars_per_hour / (tokens_per_second * 3600 * utilisation) * MILLION


def break_even_utilisation(
    gpu_dollars_per_hour: float,
    tokens_per_second: float,
    api_dollars_per_million: float,
    upkeep_dollars_per_month: float = 0.0,
) -> float:
    """The share of its capacity from which one machine is cheaper than the hosted model; above 1: never.

    >>> round(break_even_utilisation(1.80, 500, 4.0), 2)
    0.25
    """
    prices = Prices(gpu_dollars_per_hour, tokens_per_second, api_dollars_per_million, upkeep_dollars_per_month)
    full_machine_hosted = prices.capacity / MILLION * api_dollars_per_million
    return (prices.machine_dollars + upkeep_dollars_per_month) / full_machine_hosted


def break_even_tokens(
    gpu_dollars_per_hour: float,
    tokens_per_second: float,
    api_dollars_per_million: float,
    upkeep_dollars_per_month: float = 0.0,
) -> float:
    """Tokens per month from which one machine of your own is cheaper; ``math.inf`` where it cannot serve that many.

    >>> round(break_even_tokens(1.80, 500, 4.0) / 1e6, 1)  # 1314 dollars a month buy 328.5 million hosted tokens
    328.5
    """
    share = break_even_utilisation(
        gpu_dollars_per_hour, tokens_per_second, api_dollars_per_million, upkeep_dollars_per_month
    )
    if share > 1:
        return math.inf
    return (gpu_dollars_per_hour * HOURS_PER_MONTH + upkeep_dollars_per_month) / api_dollars_per_million * MILLION


def blended_price(input_dollars: float, output_dollars: float, output_share: float) -> float:
    """One price per million for a service that asks different prices for tokens in and tokens out.

    >>> blended_price(1.0, 5.0, output_share=0.25)
    2.0
    """
    if not 0 <= output_share <= 1:
        raise CourseError(f"The share of output tokens lies between 0 and 1, not at {output_share}.")
    return input_dollars * (1 - output_share) + output_dollars * output_share


def owned_dollars_per_hour(purchase_dollars: float, years: float, watts: float, dollars_per_kwh: float) -> float:
    """What a bought machine costs per hour: its price spread evenly over its life, and electricity around the clock.

    >>> round(owned_dollars_per_hour(8760, years=1, watts=500, dollars_per_kwh=0.20), 2)
    1.1
    """
    _positive("years", years)
    return purchase_dollars / (years * 8760) + watts / 1000 * dollars_per_kwh


def compare(tokens_per_month: float, prices: Prices) -> Comparison:
    """Both bills for a month with this many tokens; machines are rented whole, so the own bill rises in steps."""
    _positive("tokens_per_month", tokens_per_month)
    machines = math.ceil(tokens_per_month / prices.capacity)
    utilisation = tokens_per_month / (machines * prices.capacity)
    own = machines * prices.machine_dollars + prices.upkeep_dollars_per_month
    hosted = tokens_per_month / MILLION * prices.api_dollars_per_million
    cheaper = "own" if own < hosted else "api"
    what = "one machine" if machines == 1 else f"{machines} machines"
    sentence = (
        f"{tokens_per_month / MILLION:,.0f} million tokens a month: {what} of your own, {utilisation:.0%} busy, "
        f"cost ${own:,.0f}; the hosted model costs ${hosted:,.0f}. "
        + ("Your own is cheaper." if cheaper == "own" else "Hosted is cheaper.")
    )
    return Comparison(tokens_per_month, machines, utilisation, own, hosted, cheaper, sentence)


def advise(
    tokens_per_month: float,
    prices: Prices,
    *,
    data_must_stay: bool = False,
    works_offline: bool = False,
    version_must_not_change: bool = False,
) -> Advice:
    """The decision guide: what rules a hosted model out comes first, and only then the bill.

    A rule that excludes one way is worth more than any price, so the three needs are asked before the cost.
    """
    needs = {
        "The data may not leave your machines, so the model comes to the data.": data_must_stay,
        "It must work without a network, so the model lies on your own disk.": works_offline,
        "The model must stay as it was tested; a hosted one is changed by its owner.": version_must_not_change,
    }
    reasons = tuple(reason for reason, needed in needs.items() if needed)
    bill = compare(tokens_per_month, prices)
    return Advice("own" if reasons else bill.cheaper, (*reasons, bill.sentence))
