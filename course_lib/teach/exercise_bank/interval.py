"""Lesson 03: how sure an accuracy is. The slips are other intervals, and Wilson's with a part left out."""

from __future__ import annotations

import math
from typing import Any

from course_lib.metrics.classification import wilson_interval
from course_lib.teach.judging import Case, Exercise, Slip, Wrong, close, described, judge, pair

Interval = tuple[float, float]


def wald(successes: int, trials: int, z: float = 1.96) -> Interval:
    """The textbook interval p -+ z sqrt(p (1 - p) / n)."""
    p = successes / trials
    half = z * math.sqrt(p * (1 - p) / trials)
    return p - half, p + half


def bent(successes: int, trials: int, *, centre: bool = True, divide: bool = True, inner: bool = True) -> Interval:
    """Wilson's interval with one of its three corrections left out."""
    p, z = successes / trials, 1.96
    middle = p + (z**2 / (2 * trials) if centre else 0)
    half = z * math.sqrt(p * (1 - p) / trials + (z**2 / (4 * trials**2) if inner else 0))
    factor = 1 + z**2 / trials if divide else 1
    return (middle - half) / factor, (middle + half) / factor


def agresti_coull(successes: int, trials: int) -> Interval:
    """Wald's interval around the shifted centre."""
    z2 = 1.96**2
    p, n = (successes + z2 / 2) / (trials + z2), trials + z2
    half = 1.96 * math.sqrt(p * (1 - p) / n)
    return p - half, p + half


def clopper_pearson(successes: int, trials: int) -> Interval:
    """The "exact" interval, which is wider than it needs to be."""
    from scipy.stats import beta

    low = float(beta.ppf(0.025, successes, trials - successes + 1)) if successes else 0.0
    return low, float(beta.ppf(0.975, successes + 1, trials - successes)) if successes < trials else 1.0


def _clipped(interval: Interval) -> Interval:
    return max(0.0, interval[0]), min(1.0, interval[1])


def _times(factor: float, interval: Interval) -> Interval:
    return factor * interval[0], factor * interval[1]


WALD = (
    "That is the Wald interval, p -+ 1.96 sqrt(p (1 - p) / n). Near 0 and 1 it is too narrow and can leave [0, 1]; at"
    " 50 of 50 it has no width at all. Wilson's interval moves its centre towards 1/2 and adds z^2 / 4n^2 under the"
    " root."
)
WILSON_SLIPS = (
    Slip(WALD, wald),
    Slip(WALD, lambda s, n: _clipped(wald(s, n))),
    Slip("That is the Wald interval with z = 1, one standard error; 95% needs z = 1.96, and Wilson's formula.",
         lambda s, n: wald(s, n, 1)),
    Slip("z = 1 gives one standard error, a 68% interval; 95% needs z = 1.96.", lambda s, n: wilson_interval(s, n, 1)),
    Slip("z = 1.645 leaves 5% at each end; for 95% inside, 2.5% may lie at each end: z = 1.96.",
         lambda s, n: wilson_interval(s, n, 1.645)),
    Slip("z = 2.576 belongs to 99%; 95% needs z = 1.96.", lambda s, n: wilson_interval(s, n, 2.576)),
    Slip("z = 2 is a rule of thumb; use 1.96.", lambda s, n: wilson_interval(s, n, 2)),
    Slip("Those are percentages; return shares between 0 and 1.", lambda s, n: _times(100, wilson_interval(s, n))),
    Slip("Those are percentages of the Wald interval; return shares, from Wilson's formula.",
         lambda s, n: _times(100, wald(s, n))),
    Slip("Those are numbers of right answers; divide by `trials` to get shares.",
         lambda s, n: _times(n, wilson_interval(s, n))),
    Slip("The ends are the wrong way round: return (low, high).", lambda s, n: wilson_interval(s, n)[::-1]),
    Slip("The centre is not shifted: Wilson's is p + z^2 / 2n, divided by 1 + z^2 / n.",
         lambda s, n: bent(s, n, centre=False)),
    Slip("The division by 1 + z^2 / n is missing; it applies to the centre and to the half-width.",
         lambda s, n: bent(s, n, divide=False)),
    Slip("Under the root z^2 / 4n^2 is missing.", lambda s, n: bent(s, n, inner=False)),
    Slip("That is the interval of Agresti and Coull, a good one too; Wilson's is asked for.", agresti_coull),
    Slip("That is the interval of Clopper and Pearson, which is wider than it needs to be; Wilson's is asked for.",
         clopper_pearson),
)  # fmt: skip

WILSON_CASES = (
    Case((46, 50)),
    Case((50, 50), "All right of 50 does not mean certainly 100%; the upper end is 1, the lower is not."),
    Case((0, 12), "None right of 12 does not mean certainly 0%."),
    Case((333, 400)),
)


def _read_interval(value: Any) -> Interval:
    if not hasattr(value, "__len__") and hasattr(value, "__float__"):
        raise Wrong(
            f"{described(value)}, a single number; an interval has two ends: return (low, high). Half its width is no"
            " substitute, because Wilson's interval does not lie evenly around p"
        )
    return pair(value)


def wilson_problems(answer: Any) -> list[str]:
    """What is wrong with an interval."""
    return judge(answer, "interval", WILSON_CASES, wilson_interval, WILSON_SLIPS, _read_interval, close(6e-4))


EXERCISE = Exercise(
    id="03-wilson",
    title="How sure is an accuracy?",
    prompt=(
        "A classifier is right on 46 of 50 test reviews. Write a function that returns Wilson's 95% interval of its"
        " accuracy as a pair (low, high) of shares. With p = successes / trials, n = trials and z = 1.96 it is"
        " (p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)."
    ),
    stub="def interval(successes, trials):\n    ...",
    hints=(
        "Work out three things: the centre p + z^2 / 2n, the half-width z * sqrt(...), and the factor 1 + z^2 / n.",
        "Both centre and half-width are divided by the factor. low is (centre - half) / factor.",
        "For 46 of 50 the interval goes from about 0.81 to 0.97: not evenly around 0.92.",
    ),
    code=(
        "from math import sqrt\n\n"
        "def interval(successes, trials):\n"
        "    p, n, z = successes / trials, trials, 1.96\n"
        "    centre = p + z**2 / (2 * n)\n"
        "    half = z * sqrt(p * (1 - p) / n + z**2 / (4 * n**2))\n"
        "    factor = 1 + z**2 / n\n"
        "    return (centre - half) / factor, (centre + half) / factor"
    ),
    why=(
        "92% on 50 reviews says: somewhere between 81% and 97%. Most differences between the rungs of the ladder are"
        " smaller than that, so 50 test reviews cannot rank them. The interval shrinks with the root of n: half as wide"
        " takes four times as many reviews."
    ),
    problems=wilson_problems,
)
