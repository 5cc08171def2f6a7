"""How surprised a model is by a text: as if it had to choose, at every token, among so many equally likely ones.

    perplexity = exp(- sum of log p(token | the tokens before) / number of tokens)

It needs no reference answers and changes smoothly, which is why training and domain adaptation are watched by it. It
compares models only where they cut texts into the same tokens: a model whose tokens are shorter predicts more of them,
each with less surprise, and has the lower perplexity without being the better one. Nor does it compare texts that were
cut at different lengths, since a token with little before it is harder. Left out: bits per byte, which does compare
tokenizers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from course_lib.errors import CourseError


class Reads(Protocol):
    """A model with its tokenizer that says how surprised it is, such as `generate.Writer`."""

    def perplexity(self, texts: Sequence[str]) -> float:
        """Of the tokens of these texts together."""
        ...


def perplexity(log_probabilities: Sequence[float], tokens: Sequence[int]) -> float:
    """The perplexity of texts together: each one's total log-probability (natural logarithm) and number of tokens.

    Every token weighs the same, so long texts weigh more. Infinite where a model rules a token out. Raises CourseError
    when there is nothing, or when a number of tokens or a log-probability is none.

    >>> round(perplexity([math.log(1 / 8), math.log(1 / 2)], [3, 1]), 6)  # four tokens, each as likely as one in two
    2.0
    """
    if len(log_probabilities) != len(tokens) or not tokens:
        raise CourseError(
            f"Perplexity takes a number of tokens for every text, not {len(tokens)} for {len(log_probabilities)} texts:"
            " give two lists of the same length."
        )
    for k, (value, count) in enumerate(zip(log_probabilities, tokens, strict=True)):
        if count < 1 or math.isnan(value) or value > 0:
            raise CourseError(
                f"Text {k + 1} has the log-probability {value} for {count} tokens:"
                " give a number up to 0 for 1 or more tokens."
            )
    mean = -math.fsum(log_probabilities) / sum(tokens)
    return math.exp(mean) if mean < 709 else math.inf
