"""Lesson 01: how long training takes. The slips are passes forgotten, and the share of the peak used the wrong way."""

from __future__ import annotations

from typing import Any

from course_lib.teach.judging import Case, Exercise, Slip, judge, number

DAY = 86_400  # seconds


def days(parameters: float, tokens: float, gpus: int, rate: float, utilisation: float) -> float:
    """Days for 6 N D operations on GPUs of ``rate`` FLOP/s each, of which the share ``utilisation`` is reached."""
    return 6 * parameters * tokens / (gpus * rate * utilisation) / DAY


DAYS_CASES = (
    Case((13e9, 1.4e12, 1000, 312e12, 0.4), "That is 13B parameters and 1.4T tokens on 1000 A100s."),
    Case((7e9, 2e12, 512, 312e12, 0.5)),
    Case((70e9, 2e12, 2048, 989e12, 0.35)),
    Case((22.7e6, 1e6, 1, 65e12, 0.3), "A small model on a T4 takes a moment: hand back a fraction of a day."),
    Case((1e9, 20e9, 8, 312e12, 1.0)),
)

DAYS_SLIPS = (
    Slip("The backward pass is missing: it costs two operations for every one of the forward pass, 6 in all, not 2.",
         lambda n, d, g, r, u: days(n, d, g, r, u) / 3),
    Slip("A product with a weight is a multiplication and an addition: 6 operations per parameter and token, not 3.",
         lambda n, d, g, r, u: days(n, d, g, r, u) / 2),
    Slip("The backward pass goes through every weight twice: 2 operations forward and 4 backward, not 2 and 2.",
         lambda n, d, g, r, u: days(n, d, g, r, u) * 4 / 6),
    Slip("The 6 operations per parameter and token are missing.", lambda n, d, g, r, u: days(n, d, g, r, u) / 6),
    Slip("`utilisation` is not used: training reaches only that share of the rate, so it takes longer.",
         lambda n, d, g, r, u: days(n, d, g, r, 1.0)),
    Slip("A lower `utilisation` makes training slower: divide by it.",
         lambda n, d, g, r, u: days(n, d, g, r, 1.0) * u),
    Slip("`gpus` is not used: they share the work.", lambda n, d, g, r, u: days(n, d, 1, r, u)),
    Slip("More GPUs make it shorter: divide by their number.", lambda n, d, g, r, u: days(n, d, 1, r, u) * g),
    Slip("Those are seconds; a day has 86,400 of them.", lambda n, d, g, r, u: days(n, d, g, r, u) * DAY),
    Slip("Those are hours; a day has 24 of them.", lambda n, d, g, r, u: days(n, d, g, r, u) * 24),
    Slip("`tokens` is not used: every token passes through the model.", lambda n, d, g, r, u: days(n, 1, g, r, u)),
)  # fmt: skip


def days_problems(answer: Any) -> list[str]:
    """What is wrong with a number of days: one that is right to a thousandth of itself is right."""

    def same(a: float, b: float) -> bool:
        return a == b or abs(a - b) <= 1e-3 * abs(b) or (a != a and b != b)

    return judge(answer, "days", DAYS_CASES, days, DAYS_SLIPS, number, same)


EXERCISE = Exercise(
    id="01-days",
    title="How long training takes",
    prompt=(
        "Training a model of `parameters` parameters on `tokens` tokens takes 6 operations for each parameter and"
        " token: 2 in the forward pass, 4 in the backward pass. Each of `gpus` GPUs could do `rate` operations per"
        " second, of which training reaches the share `utilisation`. Write a function that returns the days it takes."
    ),
    stub="def days(parameters, tokens, gpus, rate, utilisation):\n    ...",
    hints=(
        "First the work: how many operations are 6 for each parameter and each token?",
        "Then the speed of all GPUs together: their number, times the rate, times the share of it that is reached.",
        "Work divided by speed is seconds; a day has 24 * 3600 of them.",
    ),
    code=(
        "def days(parameters, tokens, gpus, rate, utilisation):\n"
        "    work = 6 * parameters * tokens\n"
        "    speed = gpus * rate * utilisation\n"
        "    return work / speed / (24 * 3600)"
    ),
    why=(
        "13 billion parameters on 1.4 trillion tokens are ten days of a thousand A100s at 40% of their peak. The"
        " peak is in the data sheet, the 40% is experience; who computes with the peak alone is wrong by more than a"
        " factor of two. Times the price per hour of a GPU this is the bill."
    ),
    problems=days_problems,
)
