"""Lesson 02: perplexity from probabilities. The slips are other means, other logarithms and lost signs."""

from __future__ import annotations

import math
from typing import Any

from course_lib.teach.judging import Case, Exercise, Slip, close, judge, number


def perplexity(probabilities: list[float]) -> float:
    """exp of the mean of minus log p."""
    return math.exp(-sum(math.log(p) for p in probabilities) / len(probabilities))


PERPLEXITY_CASES = (
    Case(([0.5, 0.25, 0.125],)),
    Case(([0.1],)),
    Case(
        ([1.0, 1.0, 1.0],), "Where the model was sure each time and right, the perplexity is 1, the smallest there is."
    ),
    Case(([0.9, 0.01, 0.6, 0.3],)),
    Case(([1 / 3072] * 5,), "A model that knows nothing of 3,072 tokens has a perplexity of 3,072."),
)


def _nats(probabilities: list[float]) -> float:
    return math.log(perplexity(probabilities))


PERPLEXITY_SLIPS = (
    Slip("That is the mean loss in nats; perplexity is `exp` of it.", _nats),
    Slip("That is the sum of the losses; take their mean, and then `exp` of it.", lambda p: len(p) * _nats(p)),
    Slip("You take `exp` of the sum; without the mean a long text always looks worse than a short one.",
         lambda p: math.exp(len(p) * _nats(p))),
    Slip("The minus is missing: that is the mean probability (the geometric one), and perplexity is 1 over it.",
         lambda p: 1 / perplexity(p)),
    Slip("That is 1 over the ordinary mean of the probabilities. Perplexity takes the mean of the logarithms, which one"
         " very unlikely token makes much larger.", lambda p: len(p) / sum(p)),
    Slip("That is the mean of 1 / p; perplexity takes the mean of the logarithms.",
         lambda p: sum(1 / x for x in p) / len(p)),
    Slip("The logarithm is to base 2 and `exp` to base e: use `math.log`, or raise 2 to the mean.",
         lambda p: math.exp(_nats(p) / math.log(2))),
    Slip("That is the mean loss in bits; perplexity is 2 to that power.", lambda p: _nats(p) / math.log(2)),
    Slip("The logarithm is to base 10 and `exp` to base e: use `math.log`.",
         lambda p: math.exp(_nats(p) / math.log(10))),
)  # fmt: skip


def perplexity_problems(answer: Any) -> list[str]:
    """What is wrong with a perplexity."""
    return judge(answer, "perplexity", PERPLEXITY_CASES, perplexity, PERPLEXITY_SLIPS, number, close(2e-3))


EXERCISE = Exercise(
    id="02-perplexity",
    title="How surprised is a model?",
    prompt=(
        "A model read a text, and `probabilities` holds what it had given to each token that really came. Its loss is"
        " the mean of -log p (the natural logarithm), and perplexity is exp(loss). Write a function that returns the"
        " perplexity."
    ),
    stub="def perplexity(probabilities):\n    ...",
    hints=(
        "One token: the loss is `-math.log(p)`; p = 1 is no surprise at all, and its loss is 0.",
        "Take the mean over the tokens first, then `math.exp` of it, once.",
        "`math.exp(-sum(math.log(p) for p in probabilities) / len(probabilities))`",
    ),
    code=(
        "import math\n\n"
        "def perplexity(probabilities):\n"
        "    losses = [-math.log(p) for p in probabilities]\n"
        "    return math.exp(sum(losses) / len(losses))"
    ),
    why=(
        "A perplexity of 20 means: as surprised as if it had drawn lots among 20 equally likely tokens each time. That"
        " makes losses of the same tokenizer easy to compare; with another tokenizer the tokens are other pieces of"
        " text, and so is the number."
    ),
    problems=perplexity_problems,
)
