"""Lesson 02: from how many answers on training pays. The slips are sums with one of the prices forgotten."""

from __future__ import annotations

import math
from typing import Any

from course_lib.teach.judging import Case, Exercise, Slip, close, judge, number


def break_even(training: float, prompted: float, tuned: float) -> float:
    """Answers from which training is paid: ``training`` dollars once, the other two dollars per answer."""
    return training / (prompted - tuned) if prompted > tuned else math.inf


BREAK_EVEN_CASES = (
    Case((120.0, 0.003, 0.001)),
    Case((50.0, 0.0012, 0.0002)),
    Case((300.0, 0.02, 0.005)),
    Case((75.0, 0.001, 0.001), "Where an answer costs the same either way, training never pays: `math.inf`."),
    Case((10.0, 0.001, 0.004), "Where the tuned model is the dearer one for each answer, training never pays."),
    Case((0.0, 0.5, 0.25)),
)


def same_or_never(first: float, second: float) -> bool:
    """Equal within a fifth of a percent; never is only like never."""
    return first == second if math.inf in (first, second) else close(2e-3)(first, second)


def _no_rest(training: float, price: float) -> float:
    return training / price if price > 0 else math.inf


BREAK_EVEN_SLIPS = (
    Slip("You divide by what a prompted answer costs; a tuned one is not free, so only the difference is saved.",
         lambda t, p, q: _no_rest(t, p)),
    Slip("You divide by what a tuned answer costs; what counts is how much less it costs than the prompted one.",
         lambda t, p, q: _no_rest(t, q)),
    Slip("You divide by the sum of both prices; each answer saves their difference.", lambda t, p, q: t / (p + q)),
    Slip("The difference is the wrong way round, so the number is negative: prompted minus tuned.",
         lambda t, p, q: t / (q - p)),
    Slip("A negative number of answers is no break-even: where the tuned model costs as much or more for each answer,"
         " return `math.inf`.", lambda t, p, q: t / (p - q) if p != q else math.inf),
    Slip("Where training never pays the answer is `math.inf`; 0 would say that it pays at once.",
         lambda t, p, q: t / (p - q) if p > q else 0.0),
    Slip("That is in thousands of answers; return answers.",
         lambda t, p, q: t / (p - q) / 1000 if p > q else math.inf),
    Slip("That is how much one answer saves; divide the price of the training by it.", lambda t, p, q: p - q),
)  # fmt: skip


def break_even_problems(answer: Any) -> list[str]:
    """What is wrong with a break-even."""
    return judge(answer, "break_even", BREAK_EVEN_CASES, break_even, BREAK_EVEN_SLIPS, number, same_or_never)


EXERCISE = Exercise(
    id="02-break-even",
    title="When does training pay?",
    prompt=(
        "Training costs `training` dollars once. After it an answer costs `tuned` dollars, before it `prompted`"
        " dollars. Write a function that returns the number of answers from which the training has paid for itself;"
        " `math.inf` where it never does."
    ),
    stub="def break_even(training, prompted, tuned):\n    ...",
    hints=(
        "How much does each answer save once the model is tuned?",
        "The training is paid when the savings of all answers add up to it: answers * (prompted - tuned) = training.",
        "Nothing is saved where `prompted <= tuned`: there the answer is `math.inf`.",
    ),
    code=(
        "import math\n\n"
        "def break_even(training, prompted, tuned):\n"
        "    saved = prompted - tuned\n"
        "    return training / saved if saved > 0 else math.inf"
    ),
    why=(
        "With 120 dollars of training and 0.2 cents saved on each answer it takes 60,000 answers: a day's work for one"
        " shop, ten years for another. The sum takes it that both ways answer equally well, and that the training is"
        " done once; neither goes without saying, and both are in the lesson's calculator."
    ),
    problems=break_even_problems,
)
