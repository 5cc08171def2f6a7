"""Lesson 00: what a model of your own costs next to a hosted one. The arithmetic is `course_lib.decide`."""

from __future__ import annotations

from collections.abc import Mapping

from course_lib.decide import EXAMPLES, Prices, break_even_utilisation, compare
from course_lib.teach.claim_checks.evidence import Finding

LOADS = [percent / 100 for percent in range(1, 101)]  # of one machine's capacity


def prefer_local(examples: Mapping[str, Prices]) -> Finding:
    """A fixed bill, and at which loads is it the smaller one?

    Holds if it is the smaller one at every load looked at in every example, with conditions if at some, and has to be
    corrected if at none, or if the bill were not fixed.
    """
    shares: dict[str, float] = {}
    values: dict[str, float] = {}
    fixed = True
    for name, prices in examples.items():
        bills = [compare(load * prices.capacity, prices) for load in LOADS]
        fixed = fixed and len({bill.own_dollars for bill in bills}) == 1
        values[f"own dollars per month: {name}"] = bills[-1].own_dollars
        values[f"share of loads where own is cheaper: {name}"] = sum(b.cheaper == "own" for b in bills) / len(bills)
        shares[name] = break_even_utilisation(
            prices.gpu_dollars_per_hour,
            prices.tokens_per_second,
            prices.api_dollars_per_million,
            prices.upkeep_dollars_per_month,
        )
        values[f"break-even utilisation: {name}"] = shares[name]
    cheaper = [value for name, value in values.items() if name.startswith("share of loads")]
    if not fixed or max(cheaper) == 0:
        supports = "corrected"
    else:
        supports = "holds" if min(cheaper) == 1 else "holds with conditions"
    listed = ", ".join(f"{_percent(share)} of its capacity against {name}" for name, share in shares.items())
    sentence = (
        "With example prices that are assumptions, a rented machine costs the same every month, busy or idle, and is "
        f"cheaper than a hosted model once it is busy for {listed}; that the data stay with you and the weights are "
        "yours follows from where they lie, and no number here measures it."
    )
    figure = "break-even at " + " or ".join(_percent(share) for share in shares.values()) + " utilisation"
    return Finding("prefer-local", figure, values, supports, sentence)


def _percent(share: float) -> str:
    return "more than all" if share > 1 else f"{share:.0%}"


def default_evidence() -> Mapping[str, Prices]:
    """The example prices: assumptions, no quotations."""
    return EXAMPLES


CHECKS = {"prefer-local": prefer_local}
